// Package broker holds the domain of rolegate and its use cases.
//
// A person proves who they are at a corporate identity provider; rolegate
// verifies that proof, maps the verified claims to AWS roles, and mints one
// short-lived assertion per STS call. The use cases are three:
//
//   - [SignIn] takes a person from "who are you" to a [Session]:
//     Begin → identity provider → Finish.
//   - [Access] takes a [Session] to a [RoleSession]: Authenticate → Assignments
//     → AssumeRole or ConsoleURL.
//   - [Devices] lets a program act for a person: the person approves it in a
//     browser (authorization code with PKCE, or device code), and the program
//     gets tokens for a [Session] of its own.
//
// The interfaces in ports.go are declared here because this package is their
// one consumer; each is implemented by one adapter package below broker/ and
// the adapters do not know one another. This package imports the standard
// library only, does not log, and holds no private key.
//
// What always holds: anything unverified, ambiguous or absent is refused with
// a reason ([Error]); nothing is released before its [Event] is recorded; and
// a [Secret] never prints itself.
package broker
