package session_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/session"
)

// seal seals as a node with our keys would.
func seal(t *testing.T, plain []byte, under string) []byte {
	t.Helper()
	b, err := brokertest.Sealer{}.Seal(plain, under)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSealedBodyThatIsNone ensures that a row whose seal is good is still no
// session where its body is none, or that of somebody else.
func TestSealedBodyThatIsNone(t *testing.T) {
	for _, tt := range []struct {
		name string
		body func(t *testing.T, row broker.SessionRow) []byte
		want broker.Code
	}{
		{"a good one", unsealed, ""},
		{"no JSON", func(*testing.T, broker.SessionRow) []byte { return []byte("{") }, broker.CodeNotFound},
		{"JSON that breaks off after the person", func(t *testing.T, row broker.SessionRow) []byte {
			return []byte(strings.Replace(string(unsealed(t, row)), `"session_name":"alice"`, `"session_name":7`, 1))
		}, broker.CodeNotFound},
		{"another person", func(t *testing.T, row broker.SessionRow) []byte {
			row.Subject.ID = "00u2"
			return unsealed(t, row)
		}, broker.CodeNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			mine := r.SignIn(t)
			row := r.Store.Sessions()[mine.Key]
			row.Body = seal(t, tt.body(t, row), session.SealedUnder(row))
			r.Store.SetSession(row)
			_, err := r.People.Live(t.Context(), row.Key)
			brokertest.WantCode(t, "live", tt.want, err)
			if got, want := len(r.People.Describe([]broker.SessionRow{row})), 1; (tt.want == "") != (got == want) {
				t.Errorf("%d are listed", got)
			}
		})
	}
}

// TestSealedRecordThatIsNone ensures that what opens and is no record is not
// there, and that a store which does not answer is heard of.
func TestSealedRecordThatIsNone(t *testing.T) {
	s := brokertest.NewStore(t, time.Now)
	kept := session.Sealed{State: s, Sealer: brokertest.Sealer{}}
	var into struct{ A string }
	for name, value := range map[string][]byte{
		"no JSON": seal(t, []byte("{"), "k"), "another kind of JSON": seal(t, []byte(`{"A":7}`), "k"),
		"bound to another key": seal(t, []byte(`{"A":"a"}`), "l"), "not sealed": []byte(`{"A":"a"}`),
	} {
		t.Run(name, func(t *testing.T) {
			s.SetState("k", value)
			_, err := kept.Get(t.Context(), "k", &into)
			brokertest.WantCode(t, "get", broker.CodeNotFound, err)
			brokertest.WantCode(t, "take", broker.CodeNotFound, kept.Take(t.Context(), "k", &into))
			if _, ok := s.State()["k"]; ok {
				t.Error("it was not taken")
			}
		})
	}
	s.SetState("k", seal(t, []byte(`{"A":"a"}`), "k"))
	if _, err := kept.Get(t.Context(), "k", &into); err != nil || into.A != "a" {
		t.Errorf("a good one: %+v, %v", into, err)
	}
	s.Down(true)
	brokertest.WantCode(t, "put", broker.CodeUnavailable, kept.Put(t.Context(), "k", into, time.Hour))
	_, err := kept.PutIfAbsent(t.Context(), "k", into, time.Hour)
	brokertest.WantCode(t, "put if absent", broker.CodeUnavailable, err)
	_, err = kept.Swap(t.Context(), "k", nil, into, time.Hour)
	brokertest.WantCode(t, "swap", broker.CodeUnavailable, err)
	_, err = kept.Get(t.Context(), "k", &into)
	brokertest.WantCode(t, "get", broker.CodeUnavailable, err)
	brokertest.WantCode(t, "take", broker.CodeUnavailable, kept.Take(t.Context(), "k", &into))
	brokertest.WantCode(t, "take pending", broker.CodeUnavailable, kept.TakePending(t.Context(), "signin", "state", &into))
}

// TestAttackPendingUnderAnyState ensures that nothing is taken under an empty or
// endless state, whatever the store has there, and that a state is good once.
func TestAttackPendingUnderAnyState(t *testing.T) {
	for _, tt := range []struct {
		name, state string
		want        broker.Code
	}{
		{"none", "", broker.CodeNotFound},
		{"one byte", "s", ""},
		{"128 bytes", strings.Repeat("s", 128), ""},
		{"129 bytes", strings.Repeat("s", 129), broker.CodeNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept := session.Sealed{State: brokertest.NewStore(t, time.Now), Sealer: brokertest.Sealer{}}
			if err := kept.Put(t.Context(), session.StateKey("signin", tt.state), 7, time.Hour); err != nil {
				t.Fatal(err)
			}
			var into int
			brokertest.WantCode(t, "another kind", broker.CodeNotFound, kept.TakePending(t.Context(), "logout", tt.state, &into))
			brokertest.WantCode(t, "the first time", tt.want, kept.TakePending(t.Context(), "signin", tt.state, &into))
			if (into == 7) != (tt.want == "") {
				t.Errorf("read %d", into)
			}
			brokertest.WantCode(t, "again", broker.CodeNotFound, kept.TakePending(t.Context(), "signin", tt.state, &into))
		})
	}
}

// TestAttackIdentityWritten ensures that who writes to the store cannot change
// what explain says of a person, and that one that cannot be kept is heard of.
func TestAttackIdentityWritten(t *testing.T) {
	alice := broker.Identity{Subject: broker.Subject{Provider: "okta", ID: "00u1"}, Username: "alice", Groups: []string{"admins"}}
	plain, err := json.Marshal(alice)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		body []byte
		ok   bool
	}{
		{"hers", seal(t, plain, "identity/okta/00u1"), true},
		{"not sealed", plain, false},
		{"another person's", seal(t, plain, "identity/okta/00u2"), false},
		{"no identity", seal(t, []byte("{"), "identity/okta/00u1"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := brokertest.NewStore(t, time.Now)
			row := broker.IdentityRow{Subject: alice.Subject, Username: "alice", SeenAt: time.Now(), Body: tt.body}
			if err := s.SaveIdentity(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			found, err := session.Identities{Store: s, Sealer: brokertest.Sealer{}}.Find(t.Context(), "alice")
			if (err == nil) != tt.ok || (len(found) == 1) != tt.ok {
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
	s := brokertest.NewStore(t, time.Now)
	s.Down(true)
	err = session.Identities{Store: s, Sealer: brokertest.Sealer{}}.Save(t.Context(), alice, time.Now())
	brokertest.WantCode(t, "saving", broker.CodeUnavailable, err)
}
