package oidc_test

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestEdges holds each time condition at exactly its edge, a minute of skew from
// ours.
func TestEdges(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	for _, tt := range []struct {
		name   string
		claims map[string]any
		req    func(*broker.AuthRequest)
		ok     bool
	}{
		{"auth_time at the skew", map[string]any{"auth_time": at(time.Minute)}, nil, true},
		{"auth_time beyond it", map[string]any{"auth_time": at(61 * time.Second)}, nil, false},
		{"iat at the skew", map[string]any{"iat": at(time.Minute)}, nil, true},
		{"iat beyond it", map[string]any{"iat": at(61 * time.Second)}, nil, false},
		{"nbf at the skew", map[string]any{"nbf": at(time.Minute)}, nil, true},
		{"nbf beyond it", map[string]any{"nbf": at(61 * time.Second)}, nil, false},
		{"exp within the skew", map[string]any{"iat": at(-time.Hour), "exp": at(-59 * time.Second)}, nil, true},
		{"exp at the skew", map[string]any{"iat": at(-time.Hour), "exp": at(-time.Minute)}, nil, false},
		{"max_age at the skew", map[string]any{"auth_time": at(-11 * time.Minute)}, func(r *broker.AuthRequest) { r.MaxAuthAge = 10 * time.Minute }, true},
		{"max_age beyond it", map[string]any{"auth_time": at(-11*time.Minute - time.Second)}, func(r *broker.AuthRequest) { r.MaxAuthAge = 10 * time.Minute }, false},
		{"fresh since the request", map[string]any{"auth_time": at(-8 * time.Minute)}, func(r *broker.AuthRequest) { r.ForceAuthn, r.CreatedAt = true, now.Add(-9*time.Minute) }, true},
		{"fresh at the skew", map[string]any{"auth_time": at(-9 * time.Minute)}, func(r *broker.AuthRequest) { r.ForceAuthn, r.CreatedAt = true, now.Add(-8*time.Minute) }, true},
		{"fresh beyond it", map[string]any{"auth_time": at(-9*time.Minute - time.Second)}, func(r *broker.AuthRequest) { r.ForceAuthn, r.CreatedAt = true, now.Add(-8*time.Minute) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.fill(now)
			p.nonce = "nonce-1"
			for k, v := range tt.claims {
				p.claims[k] = v
			}
			r := request()
			if tt.req != nil {
				tt.req(&r)
			}
			_, err := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } }).Finish(t.Context(), r, callback())
			if (err == nil) != tt.ok || err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Error(err)
			}
		})
	}
}

// TestLogoutTokenEdge holds the age of a logout token at its edge.
func TestLogoutTokenEdge(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	for age, ok := range map[time.Duration]bool{11*time.Minute - time.Second: true, 11 * time.Minute: false} {
		p := newOP(t)
		p.leaving()
		p.claims["iat"], p.claims["exp"] = now.Add(-age).Unix(), now.Add(time.Minute).Unix()
		rp := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
		if _, err := rp.ReceiveLogout(t.Context(), p.logoutMessage()); (err == nil) != ok {
			t.Errorf("%s: %v", age, err)
		}
	}
}

// TestUnusableKeys ensures that keys too small, too large or of a kind that
// signs nothing are as good as none.
func TestUnusableKeys(t *testing.T) {
	modulus := func(bits uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return n.SetBit(n, 0, 1)
	}
	for _, tt := range []struct {
		name string
		key  any
		ok   bool
	}{
		{"RSA of 4096 bits", &rsa.PublicKey{N: modulus(4096), E: 65537}, true},
		{"RSA of 8193 bits", &rsa.PublicKey{N: modulus(8193), E: 65537}, false},
		{"RSA of 2047 bits", &rsa.PublicKey{N: modulus(2047), E: 65537}, false},
		{"RSA with the exponent 3", &rsa.PublicKey{N: modulus(2048), E: 3}, true},
		{"RSA with the exponent 1", &rsa.PublicKey{N: modulus(2048), E: 1}, false},
		{"a secret", []byte("0123456789abcdef0123456789abcdef"), false},
	} {
		p := newOP(t)
		p.jwks = []jose.JSONWebKey{{Key: tt.key, KeyID: "k1"}}
		if err := p.party(t, nil).Refresh(t.Context()); (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "no usable key") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// broken is a client key that does not sign.
type broken struct{ public crypto.PublicKey }

func (b broken) Public() crypto.PublicKey { return b.public }

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("planted")
}

// TestBrokenClientKey ensures that no code and no refresh token goes out without
// the client assertion that belongs to it.
func TestBrokenClientKey(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	rp := p.party(t, func(c *oidc.Config) {
		c.Offline, c.ClientSecret, c.ClientKey = true, broker.Secret{}, broken{ecKey().Public()}
	})
	if _, err := rp.Finish(t.Context(), request(), callback()); err == nil {
		t.Error("signed in")
	}
	alice := broker.Subject{Provider: "corp", ID: "alice-1"}
	if _, err := rp.RefreshTokens(t.Context(), alice, broker.Tokens{RefreshToken: broker.NewSecret("planted")}); err == nil {
		t.Error("refreshed")
	}
	if len(p.forms) != 0 {
		t.Errorf("sent: %v", p.forms)
	}
}

// TestRefusalsOfTheTokenEndpoint ensures that what is the client's fault, the
// provider's and the person's are told apart.
func TestRefusalsOfTheTokenEndpoint(t *testing.T) {
	for _, tt := range []struct {
		status  int
		code    string
		want    broker.Code
		message string
	}{
		{200, "invalid_grant", broker.CodeUnauthenticated, "could not be verified"},
		{299, "invalid_grant", broker.CodeUnauthenticated, "could not be verified"},
		{300, "invalid_grant", broker.CodeUnavailable, "does not answer"},
		{400, "invalid_grant", broker.CodeUnauthenticated, "could not be verified"},
		{400, "invalid_client", broker.CodeUnavailable, "does not know rolegate"},
		{400, "unauthorized_client", broker.CodeUnavailable, "does not know rolegate"},
		{401, "", broker.CodeUnavailable, "does not know rolegate"},
		{429, "invalid_grant", broker.CodeUnavailable, "does not answer"},
		{500, "invalid_grant", broker.CodeUnavailable, "does not answer"},
	} {
		p := newOP(t)
		p.serve = func(w http.ResponseWriter, _ *http.Request) { answer(w, tt.status, map[string]any{"error": tt.code}) }
		if _, err := p.party(t, nil).Finish(t.Context(), request(), callback()); broker.CodeOf(err) != tt.want || !strings.Contains(broker.Message(err), tt.message) {
			t.Errorf("%d %s: %v", tt.status, tt.code, err)
		}
	}
	for status, want := range map[int]broker.Code{400: broker.CodeUnauthenticated, 429: broker.CodeUnavailable} {
		p := newOP(t)
		p.nonce, p.userinfoStatus = "nonce-1", status
		if _, err := p.party(t, func(c *oidc.Config) { c.UserInfo = true }).Finish(t.Context(), request(), callback()); broker.CodeOf(err) != want {
			t.Errorf("userinfo %d: %v", status, err)
		}
	}
}
