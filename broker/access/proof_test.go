package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
)

// TestProofTags ensures that the proof travels in the assertion where the role
// says so, cleaned for AWS, beside the role's own tags; what is unknown has no
// tag.
func TestProofTags(t *testing.T) {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.FixedZone("", 3600))
	tests := []struct {
		name string
		id   broker.Identity
		on   bool
		want map[string]string
	}{
		{"off", broker.Identity{MFA: true}, false, map[string]string{"Team": "x"}},
		{"all", broker.Identity{MFA: true, AuthnInstant: at, AuthnContext: broker.AuthnContext{ACR: "urn:a<b>*é"}}, true,
			map[string]string{"Team": "x", "mfa": "true", "acr": "urn:a-b--é", "auth_time": "2026-11-24T08:00:00Z"}},
		{"nothing known", broker.Identity{}, true, map[string]string{"Team": "x", "mfa": "false"}},
		{"long", broker.Identity{AuthnContext: broker.AuthnContext{ACR: strings.Repeat("é", 300)}}, true,
			map[string]string{"Team": "x", "mfa": "false", "acr": strings.Repeat("é", 256)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := broker.Assignment{SessionTags: map[string]string{"Team": "x"}, ProofTags: tt.on}
			if d := cmp.Diff(tt.want, access.WithProof(x, tt.id)); d != "" {
				t.Error(d)
			}
			if len(x.SessionTags) != 1 {
				t.Error("the assignment's own tags changed")
			}
		})
	}
}
