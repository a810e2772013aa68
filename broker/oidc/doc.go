// Package oidc is rolegate as an OpenID Connect relying party, one
// [RelyingParty] per OpenID provider: discovery, the authorization code flow
// with PKCE, state and nonce, userinfo where configured, and refresh tokens for
// roles that use the corporate ID token.
//
// It stands on coreos/go-oidc and golang.org/x/oauth2 and adds what those leave
// to the caller: nonce, azp, at_hash, iat, auth_time, the response's iss
// (RFC 9207), a brake on key fetches, weak-key and key-use checks, size limits
// on every answer, and no redirects from the provider's back-channel endpoints.
// It keeps no state of a sign-in: the broker does.
package oidc
