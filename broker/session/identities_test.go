package session_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/brokertest"
)

func TestRecorded(t *testing.T) {
	r := brokertest.New(t)
	r.SignIn(t)
	ids, err := r.Broker().Identities.Find(t.Context(), "Alice@example.com")
	if err != nil || len(ids) != 1 || ids[0].Username != "alice" {
		t.Errorf("%v %v", ids, err)
	}
	rows, err := r.Store.FindIdentities(t.Context(), "")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		if strings.Contains(string(row.Body), "alice") {
			t.Error("claims are in the store in the clear")
		}
	}
}
