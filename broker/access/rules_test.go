package access_test

import (
	"testing"
	_ "time/tzdata"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestRolesAreJudgedAtEachUse ensures that a role or an administrator's right
// that the rules do not give any more is gone at once, in the same session.
func TestRolesAreJudgedAtEachUse(t *testing.T) {
	r := brokertest.New(t)
	r.AWS.Admins = "g"
	out, err := r.Finish(t, r.Begin(t))
	if err != nil {
		t.Fatal(err)
	}
	sess, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil || !sess.Admin {
		t.Fatalf("%v, admin %t", err, sess.Admin)
	}
	id := r.AWS.Granted[0].ID
	r.AWS.Granted, r.AWS.Admins = nil, "others"
	if _, err := r.Acc.AssumeRole(t.Context(), sess, access.RoleRequest{Assignment: id}); broker.CodeOf(err) != broker.CodeDenied {
		t.Errorf("role: %v", err)
	}
	if err := r.Admin.Enter(t.Context(), sess); broker.CodeOf(err) != broker.CodeDenied {
		t.Errorf("administration: %v", err)
	}
	if sess, err = r.Acc.Authenticate(t.Context(), out.Token); err != nil || sess.Admin {
		t.Errorf("%v, admin %t", err, sess.Admin)
	}
}
