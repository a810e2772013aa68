package session_test

import (
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/session"
)

func TestRecorded(t *testing.T) {
	r := brokertest.New(t)
	r.SignIn(t)
	ids, err := session.Recorded(t.Context(), r.Mem, brokertest.Sealer{}, "Alice@example.com")
	if err != nil || len(ids) != 1 || ids[0].Username != "alice" {
		t.Errorf("%v %v", ids, err)
	}
	for _, row := range r.Mem.Ids {
		if strings.Contains(string(row.Body), "alice") {
			t.Error("claims are in the store in the clear")
		}
	}
}
