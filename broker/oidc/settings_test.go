package oidc_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestValidate ensures that settings are looked at without what the program adds
// to them.
func TestValidate(t *testing.T) {
	c := oidc.Config{ID: "corp", PublicURL: "https://sso.example.com", Issuer: "https://idp.example", ClientID: "rolegate"}
	if err := c.Validate(); err != nil {
		t.Errorf("without a secret: %v", err)
	}
	c.Algorithms = []string{"HS256"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "Algorithms") {
		t.Errorf("HMAC: %v", err)
	}
}

// TestPlainHTTPIsExplained ensures that the setting which takes plain http is
// named only where it would help: on this machine.
func TestPlainHTTPIsExplained(t *testing.T) {
	for issuer, named := range map[string]bool{
		"http://localhost:18102": true, "http://127.0.0.1:18102": true, "http://[::1]:18102": true,
		"http://idp.example": false, "http://192.0.2.1": false, "ftp://localhost": false, "ftp://idp.example": false,
	} {
		c := oidc.Config{ID: "corp", PublicURL: "https://sso.example.com", Issuer: issuer, ClientID: "rolegate"}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "must be https") || strings.Contains(err.Error(), "insecure_http") != named {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

// TestAuthorizeBounds holds further parameters at their edges.
func TestAuthorizeBounds(t *testing.T) {
	full := strings.Repeat("x", 1024)
	for _, tt := range []struct {
		name, parameter, value string
		ok                     bool
	}{
		{"a long name", full, "x", true},
		{"a name too long", full + "x", "x", false},
		{"a long value", "x", full, true},
		{"a value too long", "x", full + "x", false},
		{"no value", "x", "", true},
		{"none for something else", "hint", "none", true},
		{"attack: a prompt for nobody", "prompt", "none", false},
	} {
		if err := oidc.CheckAuthorize(map[string]string{tt.parameter: tt.value}); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestDiscoveryInDoubt ensures that a demand of the provider which is written
// oddly is taken for one: what it asks for protects a sign-in.
func TestDiscoveryInDoubt(t *testing.T) {
	for name, v := range map[string]any{"true as text": "true", "a number": 1, "an object": map[string]any{}, "another text": "yes"} {
		p := newOP(t)
		p.nonce = "nonce-1"
		p.discovery["authorization_response_iss_parameter_supported"] = v
		if _, err := p.party(t, nil).Finish(t.Context(), request(), callback()); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("%s: an answer that does not say whose it is: %v", name, err)
		}
		p.discovery["require_signed_request_object"] = v
		if _, err := p.party(t, nil).Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%s: signed requests: %v", name, err)
		}
	}
}

// TestClaimsInDepth holds how deep objects may be nested, at the edge.
func TestClaimsInDepth(t *testing.T) {
	claims, odd, err := oidc.Flatten([]byte(`{"a":{"b":{"c":{"d":{"e":"taken","f":{"g":"too deep"}}}}}}`))
	if err != nil || claims.First("a.b.c.d.e") != "taken" || claims["a.b.c.d.f.g"] != nil {
		t.Errorf("%v, %v", claims, err)
	}
	if why, _ := odd.Why("a.b.c.d.f.g"); !strings.Contains(why, "deep") {
		t.Errorf("%q", why)
	}
}
