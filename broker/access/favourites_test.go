package access_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
)

type shelfStore struct {
	marked []broker.AssignmentID
	uses   []broker.Use
	err    error
}

func (s *shelfStore) Favourites(context.Context, broker.Subject) ([]broker.AssignmentID, error) {
	return s.marked, s.err
}

func (s *shelfStore) SetFavourite(_ context.Context, _ broker.Subject, id broker.AssignmentID, on bool) error {
	s.marked = slices.DeleteFunc(slices.Clone(s.marked), func(x broker.AssignmentID) bool { return x == id })
	if on {
		s.marked = append(s.marked, id)
	}
	return s.err
}

func (s *shelfStore) Uses(context.Context, broker.Subject, time.Time, int) ([]broker.Use, error) {
	return s.uses, s.err
}

func shelfRoles(n int) []broker.Assignment {
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

// TestShelf ensures that the shelf holds favourites in the list's order, then
// what was used by frequency and recency, and never what the person has no more.
func TestShelf(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	store := &shelfStore{marked: []broker.AssignmentID{"id3", "gone", "id1"}, uses: []broker.Use{
		{Role: "arn2", At: now.Add(-time.Hour)},                                                                             // once, now
		{Role: "arn4", At: now.Add(-7 * day)}, {Role: "arn4", At: now.Add(-7 * day)}, {Role: "arn4", At: now.Add(-7 * day)}, // three times, a week ago
		{Role: "arn5", At: now.Add(-70 * day)}, // once, long ago
		{Role: "arn1", At: now},                // a favourite already
		{Role: "lost", At: now},
		{Role: "arn6", At: now.Add(time.Hour)}, // another node's clock is ahead
	}}
	s := access.NewFavourites(access.FavouritesConfig{Store: store, Now: func() time.Time { return now }})
	got, err := s.Of(t.Context(), &broker.Session{}, shelfRoles(7))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"id1", "id3"}, assignmentIDs(got.Favourites)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"id4", "id6", "id2", "id5"}, assignmentIDs(got.Recent)); diff != "" {
		t.Error(diff)
	}
	store.err = brokertest.ErrDown
	if _, err := s.Of(t.Context(), &broker.Session{}, nil); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("a store that is down: %v", err)
	}
}

// TestMark ensures that only one's own roles become favourites, not without end.
func TestMark(t *testing.T) {
	store := &shelfStore{}
	s, as := access.NewFavourites(access.FavouritesConfig{Store: store}), shelfRoles(access.MaxFavourites+1)
	mark := func(id broker.AssignmentID, on bool) broker.Code {
		return broker.CodeOf(s.Mark(t.Context(), &broker.Session{}, as, id, on))
	}
	if code := mark("somebody else's", true); code != broker.CodeDenied || len(store.marked) != 0 {
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
	if code := mark(as[0].ID, false); code != "" || len(store.marked) != access.MaxFavourites-1 {
		t.Errorf("taking away: %v, %d left", code, len(store.marked))
	}
}
