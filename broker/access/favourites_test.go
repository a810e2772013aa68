package access_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

func manyRoles(n int) []broker.Assignment {
	out := make([]broker.Assignment, n)
	for i := range out {
		out[i].ID, out[i].RoleARN = broker.AssignmentID(fmt.Sprint("id", i)), broker.RoleARN(fmt.Sprint("arn", i))
	}
	return out
}

func assignmentIDs(as []broker.Assignment) []string {
	out := []string{}
	for _, a := range as {
		out = append(out, string(a.ID))
	}
	return out
}

func favourites(t *testing.T, r *brokertest.Rig) *access.Favourites {
	t.Helper()
	return r.Broker().Favourites
}

// used keeps a role session as a mint does.
func used(t *testing.T, r *brokertest.Rig, sess *broker.Session, role broker.RoleARN, at time.Time, state broker.RoleSessionState) {
	t.Helper()
	row := broker.RoleSessionRow{
		ID: broker.NewSecret(t.Name() + rand.Text()).Hash()[:32], Subject: sess.Identity.Subject, Username: "alice", Session: sess.Key, Use: broker.ActionConsole,
		RoleARN: role, State: broker.RoleSessionAsked, AskedAt: at, ExpiresAt: at.Add(time.Hour),
	}
	if err := r.Store.AskRoleSession(t.Context(), row, broker.Event{Time: at, Action: broker.ActionAsk, Outcome: broker.OutcomeOK}); err != nil {
		t.Fatal(err)
	}
	if state == broker.RoleSessionAsked {
		return
	}
	row.State = state
	if err := r.Store.SettleRoleSession(t.Context(), row, broker.Event{Time: at, Action: broker.ActionConsole, Outcome: broker.OutcomeOK}); err != nil {
		t.Fatal(err)
	}
}

// TestAtHand ensures that a person has favourites at hand in the list's order,
// then what was used by frequency and recency, and never what they have no more,
// or what AWS refused.
func TestAtHand(t *testing.T) {
	r := brokertest.New(t)
	sess, now, s := r.SignIn(t), r.Clock, favourites(t, r)
	day := 24 * time.Hour
	for _, id := range []broker.AssignmentID{"id3", "gone", "id1"} {
		if err := r.Store.SetFavourite(t.Context(), sess.Identity.Subject, id, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []struct {
		role  broker.RoleARN
		at    time.Time
		state broker.RoleSessionState
	}{
		{"arn2", now.Add(-time.Hour), broker.RoleSessionLive}, // once, now
		{"arn4", now.Add(-7 * day), broker.RoleSessionLive},   // three times, a week ago
		{"arn4", now.Add(-7 * day), broker.RoleSessionLive},
		{"arn4", now.Add(-7 * day), broker.RoleSessionLive},
		{"arn5", now.Add(-70 * day), broker.RoleSessionLive}, // once, long ago
		{"arn1", now, broker.RoleSessionLive},                // a favourite already
		{"lost", now, broker.RoleSessionLive},
		{"arn6", now.Add(time.Hour), broker.RoleSessionLive}, // another node's clock is ahead
		{"arn0", now, broker.RoleSessionRefused},
		{"arn0", now, broker.RoleSessionAsked},
	} {
		used(t, r, sess, u.role, u.at, u.state)
	}
	got, err := s.Of(t.Context(), sess, manyRoles(7))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"id1", "id3"}, assignmentIDs(got.Favourites)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"id4", "id6", "id2", "id5"}, assignmentIDs(got.Recent)); diff != "" {
		t.Error(diff)
	}
	bob := *sess
	bob.Identity.Subject.ID = "00u2"
	if got, err := s.Of(t.Context(), &bob, manyRoles(7)); err != nil || len(got.Favourites)+len(got.Recent) != 0 {
		t.Errorf("somebody else has %+v, %v", got, err)
	}
	r.Store.Down(true)
	if _, err := s.Of(t.Context(), sess, nil); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("a store that is down: %v", err)
	}
}

// TestOpen ensures that what may be open at AWS is listed, what is unknown too,
// and not what was refused, has expired, or is somebody else's.
func TestOpen(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	bob := *sess
	bob.Identity.Subject.ID = "00u2"
	used(t, r, sess, "live", r.Clock, broker.RoleSessionLive)
	used(t, r, sess, "unknown", r.Clock.Add(-time.Minute), broker.RoleSessionAsked)
	used(t, r, sess, "refused", r.Clock, broker.RoleSessionRefused)
	used(t, r, sess, "expired", r.Clock.Add(-time.Hour), broker.RoleSessionLive)
	used(t, r, &bob, "theirs", r.Clock, broker.RoleSessionLive)
	rows, err := favourites(t, r).Open(t.Context(), sess)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range rows {
		got = append(got, string(row.RoleARN))
	}
	if diff := cmp.Diff([]string{"live", "unknown"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestMark ensures that only one's own roles become favourites, not without end.
func TestMark(t *testing.T) {
	r := brokertest.New(t)
	sess := r.SignIn(t)
	s, as := favourites(t, r), manyRoles(access.MaxFavourites+1)
	mark := func(id broker.AssignmentID, on bool) broker.Code {
		return broker.CodeOf(s.Mark(t.Context(), sess, as, id, on))
	}
	marked := func() int {
		all, err := r.Store.Favourites(t.Context(), sess.Identity.Subject)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if code := mark("somebody else's", true); code != broker.CodeDenied || marked() != 0 {
		t.Errorf("a foreign role: %v", code)
	}
	for _, a := range as[:access.MaxFavourites] {
		if code := mark(a.ID, true); code != "" {
			t.Fatal(code)
		}
	}
	if code := mark(as[access.MaxFavourites].ID, true); code != broker.CodeInvalid {
		t.Errorf("one too many: %v", code)
	}
	if code := mark(as[0].ID, true); code != "" {
		t.Errorf("one that is there: %v", code)
	}
	if code := mark("gone", false); code != "" {
		t.Errorf("taking away what one has no more: %v", code)
	}
	if code := mark(as[0].ID, false); code != "" || marked() != access.MaxFavourites-1 {
		t.Errorf("taking away: %v, %d left", code, marked())
	}
}
