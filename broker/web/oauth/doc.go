// Package oauth lets programs sign in for a person.
//
//	GET  /authorize                    the person is asked; not signed in → /signin and back
//	POST /authorize                    yes or no → 303 to the program's loopback address, or a code to paste
//	POST /oauth/device_authorization   a device code (RFC 8628)
//	GET  /device                       the person types the user code
//	POST /device                       is shown what asks and from where, then answers
//	POST /oauth/token                  authorization_code, device_code, refresh_token, token-exchange
//	POST /oauth/revoke                 RFC 7009
//	GET  /.well-known/oauth-authorization-server   RFC 8414
//
// A link never approves: every yes is a POST from a page of ours in a signed-in
// browser session, and the session cookie does not travel with another site's
// POST. /authorize also serves AWS clients, which send their scopes as
// "scopes" and a redirect URI with any port.
package oauth
