package client_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// TestCachedUnderTheOtherName ensures that with the server away an account is
// found by its name and by its id, whichever was asked for before, and no other
// role is given in its place.
func TestCachedUnderTheOtherName(t *testing.T) {
	id := string(roles("prod/Admin")[0].Account.ID)
	for _, tt := range []struct {
		name, before, account, role string
		found                       bool
	}{
		{"by name after id", id, "prod", "Admin", true},
		{"by id after name", "prod", id, "Admin", true},
		{"in capitals", id, "PROD", "admin", true},
		{"another role", id, "prod", "ReadOnly", false},
		{"another account", id, "staging", "Admin", false},
		{"an account that nobody named", id, "prd", "Admin", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPerson(t)
			if err := p.login(t); err != nil {
				t.Fatal(err)
			}
			cached, err := p.Credentials(t.Context(), tt.before, "Admin", 0, func(error) {})
			if err != nil {
				t.Fatal(err)
			}
			p.s.broken.Store(true)
			warned := 0
			got, err := p.Credentials(t.Context(), tt.account, tt.role, 0, func(error) { warned++ })
			if !tt.found {
				if broker.CodeOf(err) != broker.CodeUnavailable || got != nil {
					t.Errorf("%s (%v)", got, err)
				}
				return
			}
			if err != nil || string(got) != string(cached) || warned != 1 {
				t.Errorf("%s (%v), %d warnings", got, err, warned)
			}
		})
	}
}

// TestServerInCapitals ensures that the host of a server may be written in any
// case, as in a browser, and that plain http stays for this computer.
func TestServerInCapitals(t *testing.T) {
	p := newPerson(t)
	for from, code := range map[string]broker.Code{
		strings.Replace(p.s.URL, "http://", "HTTP://", 1): "",
		"http://LOCALHOST:1":                              broker.CodeUnavailable,
		"http://LocalHost.:1":                             broker.CodeInvalid,
		"http://SSO.EXAMPLE.COM":                          broker.CodeInvalid,
		"http://localhost.example.com":                    broker.CodeInvalid,
	} {
		err := p.login(t, func(in *client.Login) { in.Server = from })
		if broker.CodeOf(err) != code {
			t.Errorf("%s: %v", from, err)
		}
	}
}

// TestIssuerInCapitals ensures that a server whose own address has capitals in it
// is the one that was asked for, and one that only looks like it is not.
func TestIssuerInCapitals(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://SSO.Example.com": true, "https://sso.example.com": true, "https://sso.example.com.evil.example": false,
		"https://\u017fso.example.com": false, "sso.example.com": false, "https://sso.example.com/": false, "$(touch x)": false,
	} {
		c, err := client.New(client.Config{
			Env: func(name string) string { return map[string]string{"ROLEGATE_HOME": t.TempDir()}[name] },
			HTTP: &http.Client{Transport: inside(func(r *http.Request) (int, string) {
				switch {
				case strings.HasPrefix(r.URL.Path, "/.well-known/"):
					return http.StatusOK, strings.ReplaceAll(goodMetadata, fuzzServer, issuer)
				case r.URL.Path == "/oauth/token":
					return http.StatusOK, strings.ReplaceAll(goodTokens, "2026", "2099")
				}
				return http.StatusOK, `{"username":"alice"}`
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		in := client.Login{Server: "https://SSO.EXAMPLE.COM", Way: client.PasteBack, Show: func(string, string) {}, Paste: func() (string, error) { return "code", nil }}
		if _, _, err := c.Login(t.Context(), in); (err == nil) != ok || !ok && broker.CodeOf(err) != broker.CodeInvalid {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}
