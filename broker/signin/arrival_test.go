package signin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/signin"
)

func arrived(t *testing.T) (*brokertest.Rig, *signin.Arrival) {
	t.Helper()
	r := brokertest.New(t)
	r.IdP.Unasked = true
	a, err := r.Unasked(t, "", broker.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	return r, a
}

func agreement(a *signin.Arrival) signin.Agreement {
	return signin.Agreement{Provider: "okta", Token: a.Token, Binding: a.Binding}
}

// TestArrival ensures that an unsolicited answer makes a session when the
// person agrees, at the fixed landing page, with both events and one trace.
func TestArrival(t *testing.T) {
	r, a := arrived(t)
	if a.Identity.Username != "alice" || a.Provider.ID != "okta" {
		t.Errorf("arrival %+v", a)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionArrive || e.Outcome != broker.OutcomeOK || e.Actor.ID != "00u1" {
		t.Errorf("event %+v", e)
	}
	out, traceID, err := r.In.Agree(t.Context(), agreement(a))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Acc.Authenticate(t.Context(), out.Token)
	if err != nil || out.ReturnTo != "/" || s.SessionName != "alice@example.com" || s.NameID != r.IdP.Auth.NameID {
		t.Errorf("%v to %q: %+v", err, out.ReturnTo, s)
	}
	if e := r.LastEvent(t); e.Action != broker.ActionSignIn || e.Detail["idp_initiated"] != "true" || e.TraceID != traceID {
		t.Errorf("event %+v", e)
	}
	trace, err := r.Broker().Journal.Trace(t.Context(), traceID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, st := range trace.Steps() {
		names = append(names, st.Name)
	}
	if got := strings.Join(names, " "); got != "signin.unsolicited idp.unsolicited claims replay identity signin.ask signin.agreed identity names session" {
		t.Errorf("trace steps %q", got)
	}
}

// TestArrivalAttacks ensures that nothing but the click of the person who was
// asked, in the browser that was asked, makes a session of an unsolicited answer.
func TestArrivalAttacks(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T) (*brokertest.Rig, error)
		why  string
	}{
		{"idp_initiated is off", func(t *testing.T) (*brokertest.Rig, error) {
			r := brokertest.New(t)
			_, err := r.Unasked(t, "", broker.Secret{})
			return r, err
		}, "no pending request"},
		{"a solicited sign-in's state does not make an answer unsolicited", func(t *testing.T) (*brokertest.Rig, error) {
			r := brokertest.New(t)
			r.IdP.Unasked = true
			r.Begin(t)
			_, err := r.Unasked(t, r.IdP.Last.State, broker.Secret{}) // in another browser
			return r, err
		}, "binding cookie"},
		{"login CSRF: the click comes from another browser", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			in := agreement(a)
			in.Binding = broker.NewSecret(strings.Repeat("b", 43))
			_, _, err := r.In.Agree(t.Context(), in)
			return r, err
		}, "binding cookie"},
		{"login CSRF: the click comes without the cookie", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			in := agreement(a)
			in.Binding = broker.Secret{}
			_, _, err := r.In.Agree(t.Context(), in)
			return r, err
		}, "binding cookie"},
		{"guessed token", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			in := agreement(a)
			in.Token = broker.NewSecret(strings.Repeat("a", 43))
			_, _, err := r.In.Agree(t.Context(), in)
			return r, err
		}, "no arrival"},
		{"no token", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			in := agreement(a)
			in.Token = broker.Secret{}
			_, _, err := r.In.Agree(t.Context(), in)
			return r, err
		}, "no token"},
		{"at another provider's route", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			in := agreement(a)
			in.Provider = "other"
			_, _, err := r.In.Agree(t.Context(), in)
			return r, err
		}, "was from okta"},
		{"too late", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			r.Clock = r.Clock.Add(signin.ArrivalTTL)
			_, _, err := r.In.Agree(t.Context(), agreement(a))
			return r, err
		}, ""},
		{"switched off while the person was asked", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			r.IdP.Unasked = false
			_, _, err := r.In.Agree(t.Context(), agreement(a))
			return r, err
		}, "does not start sign-ins"},
		{"replayed answer", func(t *testing.T) (*brokertest.Rig, error) {
			r, _ := arrived(t)
			_, err := r.Unasked(t, "", broker.Secret{})
			return r, err
		}, "used before"},
		{"replayed under a RelayState of its own", func(t *testing.T) (*brokertest.Rig, error) {
			r, _ := arrived(t)
			_, err := r.Unasked(t, "https://evil.example", broker.Secret{})
			return r, err
		}, "used before"},
		{"answer without an id for the replay guard", func(t *testing.T) (*brokertest.Rig, error) {
			r := brokertest.New(t)
			r.IdP.Unasked, r.IdP.Auth.ReplayID = true, ""
			_, err := r.Unasked(t, "", broker.Secret{})
			return r, err
		}, "no replay guard"},
		{"adapter refuses", func(t *testing.T) (*brokertest.Rig, error) {
			r := brokertest.New(t)
			r.IdP.Unasked, r.IdP.Err = true, broker.Errorf(broker.CodeUnauthenticated, "The signature does not verify.")
			_, err := r.Unasked(t, "", broker.Secret{})
			return r, err
		}, "does not verify"},
		{"adapter vouches for another provider", func(t *testing.T) (*brokertest.Rig, error) {
			r := brokertest.New(t)
			r.IdP.Unasked, r.IdP.Auth.Subject.Provider = true, "other"
			_, err := r.Unasked(t, "", broker.Secret{})
			return r, err
		}, "vouched for"},
		{"event cannot be recorded", func(t *testing.T) (*brokertest.Rig, error) {
			r, a := arrived(t)
			r.Store.LoseEvents(true)
			_, _, err := r.In.Agree(t.Context(), agreement(a))
			r.Store.LoseEvents(false)
			return r, err
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := tt.do(t)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("error %v, want %q", err, tt.why)
			}
			if len(r.Store.Sessions()) != 0 {
				t.Error("a session was made")
			}
		})
	}
}

// TestArrivalIsTakenOnce ensures that one agreement makes one session.
func TestArrivalIsTakenOnce(t *testing.T) {
	r, a := arrived(t)
	if _, _, err := r.In.Agree(t.Context(), agreement(a)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.In.Agree(t.Context(), agreement(a)); broker.CodeOf(err) != broker.CodeUnauthenticated || len(r.Store.Sessions()) != 1 {
		t.Errorf("error %v, %d sessions", err, len(r.Store.Sessions()))
	}
}

// TestArrivalNeedsMFA ensures that a provider that must prove a second factor
// must do so unasked too, before anybody is asked.
func TestArrivalNeedsMFA(t *testing.T) {
	r := brokertest.New(t)
	r.IdP.Unasked, r.IdP.Auth.AuthnContext.ACR = true, "pwd"
	r.Policy.Required = true
	in := r.Node(t, nil).SignIn
	out, _, err := in.Finish(t.Context(), signin.Answer{Provider: "okta"})
	if broker.CodeOf(err) != broker.CodeStepUp || out.Arrival != nil {
		t.Errorf("error %v, arrival %v", err, out.Arrival)
	}
}

// TestArrivalIsSealed ensures that the store sees neither the token nor who
// arrived.
func TestArrivalIsSealed(t *testing.T) {
	r, a := arrived(t)
	found := false
	for k, v := range r.Store.State() {
		if strings.HasPrefix(k, "arrival/") {
			found = true
			for _, secret := range []string{a.Token.Reveal(), a.Binding.Reveal(), "alice"} {
				if strings.Contains(k, secret) || strings.Contains(string(v), secret) {
					t.Errorf("%s holds %q", k, secret)
				}
			}
		}
	}
	if !found {
		t.Error("no arrival in the store")
	}
}

// TestArrivalReplacesOldSession ensures that agreeing ends the session that the
// browser had.
func TestArrivalReplacesOldSession(t *testing.T) {
	r := brokertest.New(t)
	old := r.SignIn(t)
	r.IdP.Unasked, r.IdP.Auth.ReplayID = true, "_2"
	out, _, err := r.In.Finish(t.Context(), signin.Answer{Provider: "okta"})
	if err != nil {
		t.Fatal(err)
	}
	in := agreement(out.Arrival)
	in.Replaces = old.Key
	if _, _, err := r.In.Agree(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Store.Sessions()[old.Key]; ok || len(r.Store.Sessions()) != 1 {
		t.Errorf("%d sessions, old one there: %t", len(r.Store.Sessions()), ok)
	}
}

// TestReplayOnAnotherNode ensures that an answer taken by one node is refused by
// every other node on the same store, solicited and unsolicited.
func TestReplayOnAnotherNode(t *testing.T) {
	for _, unasked := range []bool{false, true} {
		r := brokertest.New(t)
		r.IdP.Unasked = unasked
		other := *r.IdP
		here := r.In
		r.Bye = &brokertest.Leaver{IdP: &other}
		nodes := []struct {
			in *signin.Service
			p  *brokertest.IdP
		}{{here, r.IdP}, {r.Node(t, nil).SignIn, &other}}
		var codes []broker.Code
		for _, n := range nodes {
			f := signin.Answer{Provider: "okta"}
			if !unasked {
				b, err := n.in.Begin(t.Context(), signin.Request{Provider: "okta"})
				if err != nil {
					t.Fatal(err)
				}
				f.State, f.Binding = n.p.Last.State, b.Binding
			}
			_, _, err := n.in.Finish(t.Context(), f)
			codes = append(codes, broker.CodeOf(err))
		}
		if !slices.Equal(codes, []broker.Code{"", broker.CodeUnauthenticated}) {
			t.Errorf("unasked %t: codes %q", unasked, codes)
		}
	}
}

// TestBeginHereFinishThere ensures that a sign-in begun on one node ends on
// another, once.
func TestBeginHereFinishThere(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	there := r.Node(t, nil).SignIn
	f := signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding}
	if _, _, err := there.Finish(t.Context(), f); err != nil {
		t.Error(err)
	}
	if _, _, err := r.In.Finish(t.Context(), f); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("again here: %v", err)
	}
}
