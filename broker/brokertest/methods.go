package brokertest

import (
	"context"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// The methods of the store, each of which fails while it is down.

// Put does as the store's.
func (s *Store) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, value, ttl)
}

// PutIfAbsent does as the store's.
func (s *Store) PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.PutIfAbsent(ctx, key, value, ttl)
}

// Get does as the store's.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

// Take does as the store's.
func (s *Store) Take(ctx context.Context, key string) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Take(ctx, key)
}

// Swap does as the store's.
func (s *Store) Swap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.Swap(ctx, key, old, next, ttl)
}

// SaveSession does as the store's.
func (s *Store) SaveSession(ctx context.Context, r broker.SessionRow) error {
	s.pause("save")
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.SaveSession(ctx, r)
}

// Session does as the store's.
func (s *Store) Session(ctx context.Context, key string) (broker.SessionRow, error) {
	if err := s.check(); err != nil {
		return broker.SessionRow{}, err
	}
	return s.Store.Session(ctx, key)
}

// TouchSession does as the store's.
func (s *Store) TouchSession(ctx context.Context, key string, at time.Time) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.TouchSession(ctx, key, at)
}

// DeleteSession does as the store's.
func (s *Store) DeleteSession(ctx context.Context, key string) error {
	s.pause("delete")
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.DeleteSession(ctx, key)
}

// ReplaceSession does as the store's.
func (s *Store) ReplaceSession(ctx context.Context, key string, next broker.SessionRow) error {
	s.pause("replace")
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.ReplaceSession(ctx, key, next)
}

// FindSessions does as the store's.
func (s *Store) FindSessions(ctx context.Context, f broker.SessionFilter) ([]broker.SessionRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.FindSessions(ctx, f)
}

// ListSessions does as the store's.
func (s *Store) ListSessions(ctx context.Context, p broker.SessionPage) ([]broker.SessionRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.ListSessions(ctx, p)
}

// CountSessions does as the store's.
func (s *Store) CountSessions(ctx context.Context) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.CountSessions(ctx)
}

// RevokeBefore does as the store's.
func (s *Store) RevokeBefore(ctx context.Context, sub broker.Subject, at time.Time) error {
	s.pause("revoke")
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.RevokeBefore(ctx, sub, at)
}

// RevokedBefore does as the store's.
func (s *Store) RevokedBefore(ctx context.Context, sub broker.Subject) (time.Time, error) {
	if err := s.check(); err != nil {
		return time.Time{}, err
	}
	return s.Store.RevokedBefore(ctx, sub)
}

// SaveIdentity does as the store's.
func (s *Store) SaveIdentity(ctx context.Context, r broker.IdentityRow) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.SaveIdentity(ctx, r)
}

// FindIdentities does as the store's.
func (s *Store) FindIdentities(ctx context.Context, user string) ([]broker.IdentityRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.FindIdentities(ctx, user)
}

// Record does as the store's.
func (s *Store) Record(ctx context.Context, e broker.Event) error {
	if err := s.checkEvents(); err != nil {
		return err
	}
	return s.Store.Record(ctx, e)
}

// AskRoleSession does as the store's.
func (s *Store) AskRoleSession(ctx context.Context, r broker.RoleSessionRow, e broker.Event) error {
	if err := s.checkEvents(); err != nil {
		return err
	}
	return s.Store.AskRoleSession(ctx, r, e)
}

// SettleRoleSession does as the store's.
func (s *Store) SettleRoleSession(ctx context.Context, r broker.RoleSessionRow, e broker.Event) error {
	if err := s.checkEvents(); err != nil {
		return err
	}
	return s.Store.SettleRoleSession(ctx, r, e)
}

// RoleSessions does as the store's.
func (s *Store) RoleSessions(ctx context.Context, f broker.RoleSessionFilter) ([]broker.RoleSessionRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.RoleSessions(ctx, f)
}

// QueryEvents does as the store's.
func (s *Store) QueryEvents(ctx context.Context, q broker.EventQuery) ([]broker.EventRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.QueryEvents(ctx, q)
}

// CountEventsBefore does as the store's.
func (s *Store) CountEventsBefore(ctx context.Context, at time.Time) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.CountEventsBefore(ctx, at)
}

// DeleteEventsBefore does as the store's.
func (s *Store) DeleteEventsBefore(ctx context.Context, at time.Time) (int64, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.DeleteEventsBefore(ctx, at)
}

// Favourites does as the store's.
func (s *Store) Favourites(ctx context.Context, sub broker.Subject) ([]broker.AssignmentID, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Favourites(ctx, sub)
}

// SetFavourite does as the store's.
func (s *Store) SetFavourite(ctx context.Context, sub broker.Subject, a broker.AssignmentID, on bool) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.SetFavourite(ctx, sub, a, on)
}

// Factors does as the store's.
func (s *Store) Factors(ctx context.Context, sub broker.Subject) ([]broker.FactorRow, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Store.Factors(ctx, sub)
}

// AddFactors does as the store's.
func (s *Store) AddFactors(ctx context.Context, rows ...broker.FactorRow) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.AddFactors(ctx, rows...)
}

// SwapFactor does as the store's.
func (s *Store) SwapFactor(ctx context.Context, r broker.FactorRow) (bool, error) {
	if err := s.check(); err != nil {
		return false, err
	}
	return s.Store.SwapFactor(ctx, r)
}

// DeleteFactor does as the store's.
func (s *Store) DeleteFactor(ctx context.Context, sub broker.Subject, id string) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.DeleteFactor(ctx, sub, id)
}

// DeleteFactors does as the store's.
func (s *Store) DeleteFactors(ctx context.Context, sub broker.Subject) (int, error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	return s.Store.DeleteFactors(ctx, sub)
}

// ClaimName does as the store's.
func (s *Store) ClaimName(ctx context.Context, kind broker.NameKind, sub broker.Subject, candidates ...string) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	return s.Store.ClaimName(ctx, kind, sub, candidates...)
}

// Names does as the store's.
func (s *Store) Names(ctx context.Context, user string, each func(broker.NameRow) error) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Names(ctx, user, each)
}

// ReleaseName does as the store's, and fails where events cannot be kept.
func (s *Store) ReleaseName(ctx context.Context, name string, sub broker.Subject, e broker.Event) error {
	if err := s.checkEvents(); err != nil {
		return err
	}
	return s.Store.ReleaseName(ctx, name, sub, e)
}

// Ping does as the store's.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	return s.Store.Ping(ctx)
}
