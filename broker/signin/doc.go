// Package signin is the use case of proving who one is, and of ending that.
//
//   - [Service] takes a person from "who are you" to a session:
//     Begin → identity provider → Finish. An answer that nobody asked for is an
//     [Arrival], and becomes a session only when the person agrees.
//   - [Logout] ends sessions: when the person signs out, here and at the
//     identity provider, and when the provider says so.
//
// It knows identity providers by the ports of package broker only, and says
// nothing about roles.
package signin
