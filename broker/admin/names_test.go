package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/brokertest"
)

// TestReleaseName ensures that a name which an operator releases is free for
// somebody else, that its event says whose it was, and that who had it before
// goes on nowhere under it.
func TestReleaseName(t *testing.T) {
	r := brokertest.New(t)
	sub := broker.Subject{Provider: "okta", ID: "00u1"}
	if _, err := r.Store.ClaimName(t.Context(), broker.NameSourceIdentity, sub, "Alice@example.com"); err != nil {
		t.Fatal(err)
	}
	earlier := r.As(t, "00u1", "alice", "i1")
	names := admin.NameReleaser{Names: r.Store, Ender: r.People.Ender, Journal: r.Broker().Journal}
	wanted := earlier.SessionName
	release := func() ([]admin.Released, error) {
		return names.Release(t.Context(), "rolegate names release", map[string]string{"os_user": "oskar"}, "ALICE@example.com")
	}
	if wanted != "alice@example.com" {
		t.Fatal(wanted)
	}
	if next := r.As(t, "00u2", "alice", "i2"); next.SessionName == wanted {
		t.Fatal("two people under one name: the test shows nothing")
	}

	r.Store.LoseEvents(true)
	_, err := release()
	brokertest.WantCode(t, "without its event", broker.CodeUnavailable, err)
	r.Store.LoseEvents(false)
	if _, err := r.People.Live(t.Context(), earlier.Key); err != nil {
		t.Error("a release that did not happen ended a session:", err)
	}

	got, err := release()
	if err != nil || len(got) != 1 || got[0].Subject != earlier.Identity.Subject || len(got[0].Kinds) != 2 || got[0].Sessions != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := r.People.Live(t.Context(), earlier.Key); broker.CodeOf(err) != broker.CodeNotFound {
		t.Errorf("the earlier person's session under the name: %v", err)
	}
	var told bool
	for _, e := range r.Store.AllEvents() {
		told = told || e.Action == broker.ActionNameRelease && strings.EqualFold(e.Target, wanted) && e.Detail["holder"] == "okta/00u1" &&
			e.Detail["os_user"] == "oskar" && e.Detail["kinds"] == "role_session source_identity"
	}
	if !told {
		t.Errorf("events %+v", r.Store.AllEvents())
	}
	_, err = release()
	brokertest.WantCode(t, "once more", broker.CodeNotFound, err)

	r.Clock = r.Clock.Add(time.Minute)
	third := r.As(t, "00u3", "alice", "i3")
	if third.SessionName != wanted {
		t.Errorf("the next person is %s", third.SessionName)
	}
	if again := r.As(t, "00u1", "alice", "i4"); again.SessionName == wanted {
		t.Errorf("the earlier person has the name of another: %s", again.SessionName)
	}
}

// TestHolders ensures that a name is looked up whole, and that no name at all is
// not that of everybody.
func TestHolders(t *testing.T) {
	r := brokertest.New(t)
	r.As(t, "00u1", "alice", "i1")
	names := admin.NameReleaser{Names: r.Store, Ender: r.People.Ender, Journal: r.Broker().Journal}
	for _, name := range []string{"alice@example.co", "lice@example.com", "%", "nobody"} {
		_, err := names.Holders(t.Context(), name)
		brokertest.WantCode(t, name, broker.CodeNotFound, err)
	}
	r.Store.Exec(`insert into names values ('source_identity', 'alice@example.com', 'Alice@example.com', 'okta', '00u2', 1)`) // as it could be once
	two, err := names.Holders(t.Context(), "alice@example.com")
	if err != nil || len(two) != 2 || two[0].Subject == two[1].Subject || len(two[0].Kinds) != 1 || len(two[1].Kinds) != 1 {
		t.Errorf("a name of two people: %+v, %v", two, err)
	}
	r.Store.Down(true)
	_, err = names.Holders(t.Context(), "alice@example.com")
	r.Store.Down(false)
	brokertest.WantCode(t, "without the store", broker.CodeUnavailable, err)
	got, err := names.Holders(t.Context(), "")
	if err == nil || broker.CodeOf(err) == broker.CodeNotFound || len(got) != 0 {
		t.Errorf("no name: %+v, %v", got, err)
	}
}
