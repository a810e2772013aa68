// Package saml is rolegate as a SAML 2.0 service provider, one
// [ServiceProvider] per identity provider.
//
// It uses crewjam/saml for metadata and request types only. A response is never
// given to a general parser: one streaming pass bounds size, depth and element
// count and refuses DTDs, comments, processing instructions and repeated IDs;
// then the one signed element is verified with goxmldsig, and everything is
// read from the element the verifier returns and from nothing else. Whatever is
// not exactly as SAML core and the browser SSO profile want it is refused, with
// the reason in the sign-in's trace.
//
// IdP-initiated responses are refused. Replay is guarded by the broker, which
// gets the assertion's ID.
package saml
