// Package broker holds the words of rolegate and its ports.
//
// A person proves who they are at a corporate identity provider; rolegate
// verifies that proof, maps the verified claims to AWS roles, and mints one
// short-lived assertion per STS call. What people and operators do with it are
// use cases, each a package of its own that knows no other one:
//
//   - signin takes a person from "who are you" to a [Session], and ends it.
//   - access takes a [Session] to a [RoleSession].
//   - program lets a program act for a person.
//   - factor is rolegate's own second factor.
//   - admin looks after rolegate and its people.
//
// Under them stand three desks that keep what always holds: session says
// whether a session is live and whose it is, journal makes and records events,
// limit counts. Beside the desks stand the adapters, one for each protocol or
// remote system; they implement the interfaces in ports.go and do not know one
// another.
//
// This package imports the standard library only, does not log, and holds no
// private key. Anything unverified, ambiguous or absent is refused with a reason
// ([Error]); a [Secret] never prints itself.
package broker
