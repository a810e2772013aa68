package admin_test

import (
	"testing"
	_ "time/tzdata"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestEveryAdminUseAsks ensures that no use case of administrators relies on
// the pages above it.
func TestEveryAdminUseAsks(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	ctx := t.Context()
	for name, use := range map[string]func() error{
		"trace":    func() error { _, err := r.Admin.Trace(ctx, sess, "x"); return err },
		"audit":    func() error { _, err := r.Admin.Audit(ctx, sess, admin.AuditQuery{}); return err },
		"failures": func() error { _, err := r.Admin.Failures(ctx, sess); return err },
		"export": func() error {
			return r.Admin.Export(ctx, sess, admin.AuditQuery{}, func(broker.EventRow) error { return nil })
		},
		"list":      func() error { _, err := r.Admin.List(ctx, sess, admin.PeopleSessions{Limit: 1}); return err },
		"end":       func() error { return r.Admin.End(ctx, sess, sess.Key) },
		"revoke":    func() error { return r.Admin.Revoke(ctx, sess, sess.Identity.Subject) },
		"explain":   func() error { _, err := r.Admin.Explain(ctx, sess, "alice"); return err },
		"everybody": func() error { _, err := r.Admin.Everybody(ctx, sess); return err },
	} {
		r.AWS.Admins = ""
		if err := use(); broker.CodeOf(err) != broker.CodeDenied {
			t.Errorf("%s for somebody: %v", name, err)
		}
		r.AWS.Admins, sess.Identity.MFA = "g", false
		if err := use(); broker.CodeOf(err) != broker.CodeStepUp {
			t.Errorf("%s without a second factor: %v", name, err)
		}
		sess.Identity.MFA = true
		if name != "end" && name != "revoke" {
			r.Store.LoseEvents(true)
			if err := use(); broker.CodeOf(err) != broker.CodeUnavailable {
				t.Errorf("%s without an event: %v", name, err)
			}
			r.Store.LoseEvents(false)
		}
	}
}
