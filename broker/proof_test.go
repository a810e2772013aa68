package broker_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestWithoutProof ensures that the report holds good sign-ins without proof
// and nothing else.
func TestWithoutProof(t *testing.T) {
	e := func(a broker.Action, o broker.Outcome, mfa string) broker.Event {
		return broker.Event{Action: a, Outcome: o, Detail: map[string]string{"mfa": mfa}}
	}
	got := broker.WithoutProof([]broker.Event{
		e(broker.ActionSignIn, broker.OutcomeOK, "true"), e(broker.ActionSignIn, broker.OutcomeOK, "false"),
		e(broker.ActionSignIn, broker.OutcomeRefused, "false"), e(broker.ActionConsole, broker.OutcomeOK, "false"),
	})
	if len(got) != 1 || got[0].Detail["mfa"] != "false" || got[0].Action != broker.ActionSignIn {
		t.Errorf("%+v", got)
	}
}
