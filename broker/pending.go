package broker

import (
	"net/url"
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

type authRequestRecord struct {
	ID               string        `json:"id"`
	State            string        `json:"state"`
	Nonce            string        `json:"nonce"`
	CodeVerifier     string        `json:"code_verifier"`
	Provider         ProviderID    `json:"provider"`
	ReturnTo         string        `json:"return_to"`
	BindingHash      string        `json:"binding_hash"`
	TraceID          string        `json:"trace_id"`
	TraceSteps       []TraceStep   `json:"trace_steps,omitempty"`
	CreatedAt        time.Time     `json:"created_at"`
	ExpiresAt        time.Time     `json:"expires_at"`
	ForceAuthn       bool          `json:"force_authn,omitempty"`
	MaxAuthAge       time.Duration `json:"max_auth_age,omitempty"`
	RequestedContext []string      `json:"requested_context,omitempty"`
	WantMFA          bool          `json:"want_mfa,omitempty"`
	Replaces         string        `json:"replaces,omitempty"`
}

func newAuthRequestRecord(r AuthRequest, steps []TraceStep) authRequestRecord {
	return authRequestRecord{
		ID: r.ID, State: r.State, Nonce: r.Nonce, CodeVerifier: r.CodeVerifier.Reveal(),
		Provider: r.Provider, ReturnTo: r.ReturnTo, BindingHash: r.BindingHash, TraceID: r.TraceID,
		TraceSteps: steps, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ForceAuthn: r.ForceAuthn,
		MaxAuthAge: r.MaxAuthAge, RequestedContext: r.RequestedContext, WantMFA: r.WantMFA, Replaces: r.Replaces,
	}
}

func (r authRequestRecord) request() AuthRequest {
	return AuthRequest{
		ID: r.ID, State: r.State, Nonce: r.Nonce, CodeVerifier: NewSecret(r.CodeVerifier),
		Provider: r.Provider, ReturnTo: r.ReturnTo, BindingHash: r.BindingHash, TraceID: r.TraceID,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ForceAuthn: r.ForceAuthn,
		MaxAuthAge: r.MaxAuthAge, RequestedContext: r.RequestedContext, WantMFA: r.WantMFA, Replaces: r.Replaces,
	}
}
