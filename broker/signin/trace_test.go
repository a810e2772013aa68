package signin_test

import (
	"strings"
	"testing"
	_ "time/tzdata"

	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestTraceHidesClaims ensures that a trace names claims and not their values.
func TestTraceHidesClaims(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Auth.Claims["secret_claim"] = []string{"planted-value", "planted-other"}
	b := r.Begin(t)
	if _, err := r.Finish(t, b); err != nil {
		t.Fatal(err)
	}
	tr, err := r.Broker().Journal.Trace(t.Context(), b.TraceID)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, s := range tr.Steps() {
		all += s.Name + ": " + s.Detail + "\n"
	}
	if !strings.Contains(all, "secret_claim (2)") || strings.Contains(all, "planted") {
		t.Error(all)
	}
}
