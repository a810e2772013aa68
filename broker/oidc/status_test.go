package oidc_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestSetup ensures that administrators are told every address that a provider
// has to know.
func TestSetup(t *testing.T) {
	rp, err := oidc.New(oidc.Config{
		ID: "corp", PublicURL: "https://sso.example.com", Issuer: "https://id.example.com", ClientID: "rolegate", ClientSecret: broker.NewSecret("planted"), HTTP: http.DefaultClient,
	})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range rp.Setup() {
		all = append(all, v.Value)
		if strings.Contains(v.Value, "planted") {
			t.Errorf("%s shows the secret", v.Name)
		}
	}
	for _, want := range []string{"/oidc/corp/callback", "/oidc/corp/signed-out", "/oidc/corp/backchannel-logout", "/signin/corp"} {
		if !strings.Contains(strings.Join(all, "\n"), "https://sso.example.com"+want) {
			t.Errorf("%s is missing in %q", want, all)
		}
	}
}
