package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/rolegate/rolegate/broker"
)

type authRequestRecord struct {
	ID               string             `json:"id"`
	State            string             `json:"state"`
	Nonce            string             `json:"nonce"`
	CodeVerifier     string             `json:"code_verifier"`
	Provider         broker.ProviderID  `json:"provider"`
	ReturnTo         string             `json:"return_to"`
	BindingHash      string             `json:"binding_hash"`
	TraceID          string             `json:"trace_id"`
	TraceSteps       []broker.TraceStep `json:"trace_steps,omitempty"`
	CreatedAt        time.Time          `json:"created_at"`
	ExpiresAt        time.Time          `json:"expires_at"`
	ForceAuthn       bool               `json:"force_authn,omitempty"`
	MaxAuthAge       time.Duration      `json:"max_auth_age,omitempty"`
	RequestedContext []string           `json:"requested_context,omitempty"`
	WantMFA          bool               `json:"want_mfa,omitempty"`
	Replaces         string             `json:"replaces,omitempty"`
}

func newAuthRequestRecord(r broker.AuthRequest, steps []broker.TraceStep) authRequestRecord {
	return authRequestRecord{
		ID: r.ID, State: r.State, Nonce: r.Nonce, CodeVerifier: r.CodeVerifier.Reveal(),
		Provider: r.Provider, ReturnTo: r.ReturnTo, BindingHash: r.BindingHash, TraceID: r.TraceID,
		TraceSteps: steps, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ForceAuthn: r.ForceAuthn,
		MaxAuthAge: r.MaxAuthAge, RequestedContext: r.RequestedContext, WantMFA: r.WantMFA, Replaces: r.Replaces,
	}
}

func (r authRequestRecord) request() broker.AuthRequest {
	return broker.AuthRequest{
		ID: r.ID, State: r.State, Nonce: r.Nonce, CodeVerifier: broker.NewSecret(r.CodeVerifier),
		Provider: r.Provider, ReturnTo: r.ReturnTo, BindingHash: r.BindingHash, TraceID: r.TraceID,
		CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, ForceAuthn: r.ForceAuthn,
		MaxAuthAge: r.MaxAuthAge, RequestedContext: r.RequestedContext, WantMFA: r.WantMFA, Replaces: r.Replaces,
	}
}

// findProvider returns the provider with the id. CodeNotFound, with what to do,
// if there is none.
func findProvider(all []broker.Provider, id broker.ProviderID, fix string) (broker.Provider, error) {
	for _, p := range all {
		if p.ID == id {
			return p, nil
		}
	}
	return broker.Provider{}, broker.Errorf(broker.CodeNotFound, "There is no identity provider with this name.").Fix("%s", fix)
}

// bindingFor returns the value of the browser's binding cookie, a new one if it
// has none.
func bindingFor(random io.Reader, binding broker.Secret) (broker.Secret, error) {
	if len(binding.Reveal()) == 43 {
		return binding, nil
	}
	return broker.RandomSecret(random)
}

// boundTo reports whether the browser is the one that began.
func boundTo(hash string, binding broker.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(hash), []byte(binding.Hash())) == 1
}

// replayMark is where it is kept that a provider's message was used, and for how
// long: a minute longer than the message is taken by its own times.
func replayMark(p broker.ProviderID, id string, expires, now time.Time) (key string, ttl time.Duration, err error) {
	if ttl = expires.Sub(now); id == "" || ttl <= 0 {
		return "", 0, fmt.Errorf("broker: adapter of %s gave no replay guard", p)
	}
	sum := sha256.Sum256([]byte(string(p) + "\x00" + id))
	return "replay/" + hex.EncodeToString(sum[:]), ttl + time.Minute, nil
}
