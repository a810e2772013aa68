package broker_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestUnreadable ensures that an unreadable claim is found by its own name and
// by that of a member of it, and by no other.
func TestUnreadable(t *testing.T) {
	some := broker.Unreadable{"groups": "a list of objects", "groups.": "a list of objects", "https://x.example/roles": "XML"}
	for name, want := range map[string]string{
		"groups": "a list of objects", "groups.name": "a list of objects", "groups.a.b": "a list of objects", "https://x.example/roles": "XML",
		"https://x.example/roles.x": "", "group": "", "groupsx": "", "x.groups": "", "https://x.example/role": "", "": "",
	} {
		if why, bad := some.Why(name); why != want || bad != (want != "") {
			t.Errorf("%q: %q, %t", name, why, bad)
		}
	}
	if why, bad := (broker.Unreadable{"": "an attribute was encrypted"}).Why("anything"); !bad || why != "an attribute was encrypted" {
		t.Errorf("%q, %t", why, bad)
	}
	if _, bad := broker.Unreadable(nil).Why("groups"); bad {
		t.Error("nothing is unreadable")
	}
}
