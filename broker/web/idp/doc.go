// Package idp serves the two protocol sides that machines and identity
// providers speak to: our relying-party side (SAML metadata, ACS, OpenID Connect
// callback) and our issuer side, which IAM reads.
//
//	GET  /saml/{idp}/metadata                SAML metadata 2.3.2, one entity per provider
//	POST /saml/{idp}/acs                     SAML bindings 3.5; cross-site by nature
//	POST /saml/{idp}/agree                   the click that an unsolicited answer needs (profiles 4.1.5)
//	GET,POST /saml/{idp}/slo                 SAML profiles 4.4, by both bindings, both directions
//	GET  /oidc/{idp}/callback                OpenID Connect core 3.1.2.5
//	POST /oidc/{idp}/backchannel-logout      Back-Channel Logout 2.5
//	GET  /oidc/{idp}/signed-out              RP-Initiated Logout 3
//	GET  /aws/saml/metadata                  our metadata, to register in IAM
//	GET  /.well-known/openid-configuration   our discovery document
//	GET  /aws/jwks.json                      our public keys
//
// What an identity provider sends is never looked at together with the session
// cookie: who the browser was before must not matter for a sign-in, and a logout
// ends the sessions that the provider's signature names, in whatever browser.
package idp
