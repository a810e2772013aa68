// Package outbound makes the HTTP clients that rolegate talks to the world
// with. Their dialer checks the address a name resolved to, at the moment of
// the connection: link-local and cloud metadata addresses never, private and
// loopback ones only for hosts that the configuration names itself. So neither
// a document fetched from an identity provider nor its DNS can point rolegate
// at something inside (server-side request forgery).
package outbound
