package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// TestAttackSimulationGoesOn ensures that simulations wait for one another and
// end with their request, and that one which nobody waits for works no more.
func TestAttackSimulationGoesOn(t *testing.T) {
	var text strings.Builder
	text.WriteString("public_url: https://sso.example.com\nidentity_providers: [{id: a, saml: {metadata_url: 'https://idp.example.com/m'}}]\n" +
		"accounts: [{id: \"111122223333\", name: prod}]\nroles: [{name: Admin, iam_role: Admin}]\nrules:\n")
	for i := range 1_000 {
		fmt.Fprintf(&text, "  - {name: r%d, when: 'identity.mfa', accounts: ['*'], roles: [Admin]}\n", i)
	}
	c, err := config.ParseDetached(t.Context(), "rolegate.yaml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := simulate(c)(ctx, []byte(text.String()), nil); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%v", err)
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			one := make(chan struct{}, 1)
			run := simulateOneByOne(one, c)
			one <- struct{}{} // another one works
			began := time.Now()
			_, err := run(t.Context(), []byte(text.String()), nil)
			if waited := time.Since(began); broker.CodeOf(err) != broker.CodeUnavailable || waited != simulationTime {
				t.Errorf("beside another: %v after %s", err, waited)
			}
			<-one
			for range 2 {
				if _, err := run(t.Context(), []byte(text.String()), nil); err != nil {
					t.Errorf("after the other: %v", err)
				}
			}
		})
	})
}
