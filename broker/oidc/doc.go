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
//
// What does not verify is CodeUnauthenticated; a provider that is down, breaks
// the protocol's transport or refuses our client credentials is CodeUnavailable
// and named. Discovery and keys are fetched at first use and by Run, each by one
// request at a time, and the last good copy stays: discovery for good, keys for
// a day.
package oidc
