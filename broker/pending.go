package broker

import (
	"net/url"
	"strings"
	"time"
)

// AuthRequest is one pending sign-in: a SAML AuthnRequest or an OpenID Connect
// authentication request, kept in the store until its answer comes. Adapters
// read it; they keep nothing of their own.
type AuthRequest struct {
	ID               string // the AuthnRequest ID ("id-" and 32 hex), unique
	State            string // RelayState or state: 43 URL-safe characters, the key of this request
	Nonce            string // OIDC nonce
	CodeVerifier     Secret // PKCE (RFC 7636)
	Provider         ProviderID
	ReturnTo         string // local path
	BindingHash      string // Secret.Hash of the browser's binding cookie
	TraceID          string
	CreatedAt        time.Time
	ExpiresAt        time.Time
	ForceAuthn       bool          // ForceAuthn / prompt=login
	MaxAuthAge       time.Duration // max_age; zero: not asked
	RequestedContext []string      // RequestedAuthnContext / acr_values
	WantMFA          bool          // an answer without proof of a second factor is refused
	Replaces         string        // key of the session that ends when this one begins
}

// Challenge is how to send the browser to the identity provider: a redirect to
// URL, or, if Form is not nil, a POST of Form to URL (SAML HTTP-POST binding).
type Challenge struct {
	URL  string
	Form url.Values
}

// SignInTTL is how long a person has at the identity provider.
const SignInTTL = 10 * time.Minute

// LocalPath returns p if it is a path on this site and "/" otherwise: one
// leading slash, no scheme, host, backslash or control character.
func LocalPath(p string) string {
	if len(p) == 0 || len(p) > 2048 || p[0] != '/' || strings.HasPrefix(p, "//") || strings.ContainsFunc(p, func(r rune) bool {
		return r == '\\' || r < 0x20 || r == 0x7f
	}) {
		return "/"
	}
	u, err := url.Parse(p)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return "/"
	}
	return p
}
