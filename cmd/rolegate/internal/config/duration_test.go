package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "400d": 400 * 24 * time.Hour, "0": 0, "0d": 0,
		"d": -1, "1.5d": -1, "-1d": -1, "+1d": -1, "1d12h": -1, "12h1d": -1, "100001d": -1, "99999999999999999999d": -1, "-1h": -1, "": -1, "1w": -1,
	} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); (err != nil) != (want < 0) || err == nil && time.Duration(d) != want {
			t.Errorf("%q: %s, %v", text, time.Duration(d), err)
		}
	}
}

// TestEventsKeep ensures that events are kept for ever, or for a day at least.
func TestEventsKeep(t *testing.T) {
	const rest = `
public_url: https://sso.example.com
identity_providers: [{id: corp, saml: {metadata_url: "https://idp.example.com/metadata"}, identity: {groups: claims.groups}}]
accounts: [{id: "111122223333", name: prod}]
roles: [{name: Admin, iam_role: Admin}]
rules: [{name: r, groups: [g], accounts: [prod], roles: [Admin]}]
`
	for text, want := range map[string]string{"": "", "events: {keep: 1d}": "", "events: {keep: 23h}": "less than a day", "events: {keep: 1w}": "is no duration"} {
		_, err := config.Parse("rolegate.yaml", []byte(rest+text), func(string) string { return "" })
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
