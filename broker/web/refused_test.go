package web_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestRefusalsAreFoundByAccount ensures that an administrator who searches the
// audit log for an account finds who was refused a role in it, in words, and so
// among the failures.
func TestRefusalsAreFoundByAccount(t *testing.T) {
	h := newHouse(t)
	h.aws.unheld = []broker.Assignment{assignment("777788889999", "vault", "Root")}
	h.mfa, h.aws.admin = true, true
	h.signIn()
	h.post("/console", url.Values{"assignment": {string(h.aws.unheld[0].ID)}}).want(t, http.StatusForbidden)
	h.get("/go?account=vault&role=Root", typed)
	for _, page := range []string{"/admin/audit?account=777788889999", "/admin/traces"} {
		h.get(page).want(t, http.StatusOK, "console.open: refused", "alice", "Root in vault", "arn:aws:iam::777788889999:role/Root")
	}
	h.get("/admin/audit?account=777788880000").want(t, http.StatusOK, "No event matches.")
}
