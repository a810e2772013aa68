package access

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The limits of what is kept at hand.
const (
	MaxFavourites = 100 // of one person
	maxRecent     = 8   // roles shown as recently used
	maxUses       = 500 // role sessions looked at
	maxOpen       = 100 // role sessions shown as open
	usesAge       = 90 * 24 * time.Hour
	useHalfLife   = 7 * 24 * time.Hour // a use of a week ago counts half
)

// FavouritesConfig holds what [Favourites] works with. All fields but Now are
// needed.
type FavouritesConfig struct {
	Store        broker.FavouriteStore
	RoleSessions broker.RoleSessionStore
	Now          func() time.Time // nil: time.Now
}

// Favourites is the use case of finding one's own roles again: favourites, what
// was used often and lately, and what is open at AWS.
type Favourites struct{ c FavouritesConfig }

// NewFavourites returns the use case, or an error that says what is missing.
func NewFavourites(c FavouritesConfig) (*Favourites, error) {
	if c.Store == nil || c.RoleSessions == nil {
		return nil, errors.New("access: Store and RoleSessions are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Favourites{c}, nil
}

// Open returns the person's role sessions that may be open now, the newest first:
// those that AWS gave and that have neither expired nor been ended, and those of
// which it is not known whether AWS gave them.
func (s *Favourites) Open(ctx context.Context, sess *broker.Session) ([]broker.RoleSessionRow, error) {
	return s.c.RoleSessions.RoleSessions(ctx, broker.RoleSessionFilter{Subject: sess.Identity.Subject, OpenAt: s.c.Now(), Limit: maxOpen})
}

// AtHand are assignments that a person wants at hand. Both lists hold only
// what the person may use now.
type AtHand struct {
	Favourites []broker.Assignment // in the order of the assignments
	Recent     []broker.Assignment // best first, without the favourites
}

// Of sorts out of the person's assignments what they want at hand.
func (s *Favourites) Of(ctx context.Context, sess *broker.Session, as []broker.Assignment) (AtHand, error) {
	var out AtHand
	who, now := sess.Identity.Subject, s.c.Now()
	favourites, err := s.c.Store.Favourites(ctx, who)
	if err != nil {
		return out, err
	}
	uses, err := s.c.RoleSessions.RoleSessions(ctx, broker.RoleSessionFilter{Subject: who, Since: now.Add(-usesAge), Limit: maxUses})
	if err != nil {
		return out, err
	}
	marked := make(map[broker.AssignmentID]bool, len(favourites))
	for _, id := range favourites {
		marked[id] = true
	}
	scores := map[broker.RoleARN]float64{}
	for _, u := range uses {
		if u.State == broker.RoleSessionLive {
			scores[u.RoleARN] += math.Exp2(-float64(max(now.Sub(u.AskedAt), 0)) / float64(useHalfLife))
		}
	}
	for _, a := range as {
		switch {
		case marked[a.ID]:
			out.Favourites = append(out.Favourites, a)
		case scores[a.RoleARN] > 0:
			out.Recent = append(out.Recent, a)
		}
	}
	slices.SortStableFunc(out.Recent, func(a, b broker.Assignment) int {
		switch x, y := scores[a.RoleARN], scores[b.RoleARN]; {
		case x > y:
			return -1
		case x < y:
			return 1
		default:
			return 0
		}
	})
	out.Recent = out.Recent[:min(len(out.Recent), maxRecent)]
	return out, nil
}

// Mark makes an assignment of as a favourite, or no longer one. CodeDenied for
// one that the person does not have, CodeInvalid when there are too many.
func (s *Favourites) Mark(ctx context.Context, sess *broker.Session, as []broker.Assignment, id broker.AssignmentID, on bool) error {
	who := sess.Identity.Subject
	if !on {
		return s.c.Store.SetFavourite(ctx, who, id, false)
	}
	if !slices.ContainsFunc(as, func(a broker.Assignment) bool { return a.ID == id }) {
		return broker.Errorf(broker.CodeDenied, "You do not have this role, or not any more.").
			Fix("Reload the portal to see the roles you have now.")
	}
	have, err := s.c.Store.Favourites(ctx, who)
	if err != nil {
		return err
	}
	// Of roles that are not theirs any more they see nothing: those do not count.
	theirs := slices.DeleteFunc(slices.Clone(have), func(id broker.AssignmentID) bool {
		return !slices.ContainsFunc(as, func(a broker.Assignment) bool { return a.ID == id })
	})
	if len(theirs) >= MaxFavourites && !slices.Contains(have, id) {
		return broker.Errorf(broker.CodeInvalid, "You have %d favourites already.", MaxFavourites).Fix("Take one away first.")
	}
	return s.c.Store.SetFavourite(ctx, who, id, true)
}
