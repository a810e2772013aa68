// Package saml is rolegate as a SAML 2.0 service provider, one
// [ServiceProvider] per identity provider.
//
// It uses crewjam/saml for metadata and request types only. A response is never
// given to a general parser. In this order:
//
//  1. One streaming pass bounds size, depth and nodes, refuses DTDs, entities,
//     comments, processing instructions, undeclared prefixes and repeated IDs,
//     and holds the Response, its one assertion and their signatures in their
//     places.
//  2. The signed element's SignedInfo is held to the one form of SAML core 5.4,
//     and the certificate is chosen among those of the metadata; KeyInfo is a
//     hint at most.
//  3. goxmldsig verifies that element, and everything is read from the element
//     it returns and from nothing else.
//  4. Whatever is not exactly as SAML core and the browser SSO profile want it
//     is refused, with the reason in the sign-in's trace.
//
// Claims go by the exact Name of the attribute; a FriendlyName is a second key
// where it is unambiguous. Values are trimmed and never split or folded.
//
// IdP-initiated responses are refused unless IDPInitiated is set; then they must
// name no request, and the broker asks the person before a session begins. Replay is guarded by the broker, which
// gets the assertion's ID. No text of a response reaches a public message.
package saml
