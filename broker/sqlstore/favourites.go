package sqlstore

import (
	"context"
	"database/sql"

	"github.com/rolegate/rolegate/broker"
)

var _ broker.FavouriteStore = (*Store)(nil)

// Favourites returns the subject's favourites, the first marked first.
func (s *Store) Favourites(ctx context.Context, sub broker.Subject) ([]broker.AssignmentID, error) {
	var out []broker.AssignmentID
	err := s.query(ctx, "list favourites", `select assignment from favourites
		where provider = $1 and subject_id = $2 order by added_at, assignment`,
		[]any{string(sub.Provider), sub.ID}, func(r *sql.Rows) error {
			var id broker.AssignmentID
			err := r.Scan(&id)
			out = append(out, id)
			return err
		})
	return out, err
}

// SetFavourite marks an assignment, or takes the mark away.
func (s *Store) SetFavourite(ctx context.Context, sub broker.Subject, a broker.AssignmentID, on bool) error {
	if !on {
		_, err := s.exec(ctx, "remove favourite", `delete from favourites
			where provider = $1 and subject_id = $2 and assignment = $3`, string(sub.Provider), sub.ID, string(a))
		return err
	}
	_, err := s.exec(ctx, "add favourite", `insert into favourites (provider, subject_id, assignment, added_at)
		values ($1, $2, $3, $4) on conflict do nothing`, string(sub.Provider), sub.ID, string(a), micros(s.now()))
	return err
}
