// Package program is the use case of letting a program act for a person: OAuth
// 2.0 authorization code with PKCE (RFC 7636, RFC 8252), device code (RFC 8628),
// the tokens of both, their refresh, exchange (RFC 8693) and end (RFC 7009), and
// the registration of clients (RFC 7591).
//
// A program's session is derived from the browser session in which the person
// approved it, and proves no more than that one did.
package program
