package access

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The limits of a shelf.
const (
	MaxFavourites = 100 // of one person
	maxRecent     = 8   // roles shown as recently used
	maxUses       = 500 // events looked at
	usesAge       = 90 * 24 * time.Hour
	useHalfLife   = 7 * 24 * time.Hour // a use of a week ago counts half
)

// FavouritesConfig holds what [Favourites] works with; Now may be nil.
type FavouritesConfig struct {
	Store broker.FavouriteStore
	Now   func() time.Time
}

// Favourites is the use case of finding one's own roles again: favourites, and what
// was used often and lately.
type Favourites struct{ c FavouritesConfig }

// NewFavourites returns the use case.
func NewFavourites(c FavouritesConfig) *Favourites {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Favourites{c: c}
}

// AtHand are assignments that a person wants at hand. Both lists hold only
// what the person may use now.
type AtHand struct {
	Favourites []broker.Assignment // in the order of the assignments
	Recent     []broker.Assignment // best first, without the favourites
}

// Of sorts out of the person's assignments what belongs on the shelf.
func (s *Favourites) Of(ctx context.Context, sess *broker.Session, as []broker.Assignment) (AtHand, error) {
	var out AtHand
	who, now := sess.Identity.Subject, s.c.Now()
	favourites, err := s.c.Store.Favourites(ctx, who)
	if err != nil {
		return out, err
	}
	uses, err := s.c.Store.Uses(ctx, who, now.Add(-usesAge), maxUses)
	if err != nil {
		return out, err
	}
	marked := make(map[broker.AssignmentID]bool, len(favourites))
	for _, id := range favourites {
		marked[id] = true
	}
	scores := map[broker.RoleARN]float64{}
	for _, u := range uses {
		scores[u.Role] += math.Exp2(-float64(max(now.Sub(u.At), 0)) / float64(useHalfLife))
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
	if len(have) >= MaxFavourites && !slices.Contains(have, id) {
		return broker.Errorf(broker.CodeInvalid, "You have %d favourites already.", MaxFavourites).Fix("Take one away first.")
	}
	return s.c.Store.SetFavourite(ctx, who, id, true)
}
