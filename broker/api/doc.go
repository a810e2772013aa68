// Package api holds the JSON of /api/v1: one Go type per document, and nothing
// else. Server and client share it, so a field is spelled in one place.
//
// Times are RFC 3339 in UTC, durations are whole seconds. Every error is a
// [Problem] (RFC 9457, application/problem+json).
package api
