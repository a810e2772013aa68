package oidc_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestDiscoveryOffers ensures that what a provider's document offers is held to
// what we need of it, and nothing else of it is.
func TestDiscoveryOffers(t *testing.T) {
	const evil = "http://evil.example/x"
	userinfo := func(c *oidc.Config) { c.UserInfo = true }
	for _, tt := range []struct {
		name     string
		document map[string]any
		config   func(*oidc.Config)
		why      string // "": it will do
	}{
		{"nothing said", nil, nil, ""},
		{"PKCE with S256", map[string]any{"code_challenge_methods_supported": []string{"plain", "S256"}}, nil, ""},
		{"PKCE without S256", map[string]any{"code_challenge_methods_supported": []string{"plain"}}, nil, "PKCE"},
		{"the code flow", map[string]any{"response_types_supported": []string{"id_token", "code"}}, nil, ""},
		{"no code flow", map[string]any{"response_types_supported": []string{"id_token"}}, nil, "code flow"},
		{"attack: requests pushed over http", map[string]any{
			"require_pushed_authorization_requests": true, "pushed_authorization_request_endpoint": evil,
		}, nil, "pushed_authorization_request_endpoint"},
		{"requests that need not be pushed, over http", map[string]any{"pushed_authorization_request_endpoint": evil}, nil, ""},
		{"attack: claims over http", map[string]any{"userinfo_endpoint": evil}, userinfo, "userinfo_endpoint"},
		{"no address for claims", map[string]any{"userinfo_endpoint": nil}, userinfo, "userinfo_endpoint"},
		{"claims that are not read, over http", map[string]any{"userinfo_endpoint": evil}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			for name, value := range tt.document {
				if p.discovery[name] = value; value == nil {
					delete(p.discovery, name)
				}
			}
			_, err := p.party(t, tt.config).Begin(t.Context(), request())
			if tt.why == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), tt.why) || len(p.forms) != 0 {
				t.Errorf("%v, want %q; %d requests went there", err, tt.why, len(p.forms))
			}
		})
	}
}
