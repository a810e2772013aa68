package brokertest

import (
	"context"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Failing is a store of which one call fails, while the others go on: "save",
// "read", "touch", "delete", "replace" and "revoke" of sessions, "put", "get" and
// "take" of state, "identity", which keeps one, "favourite", which marks one, and
// "settle" of role sessions.
type Failing struct {
	*Store
	Call string
	Key  string // what the key begins with of that for which it fails; "": everything
}

func (s Failing) fails(call, key string) error {
	if s.Call == call && strings.HasPrefix(key, s.Key) {
		return ErrDown
	}
	return nil
}

// SaveSession fails as "save".
func (s Failing) SaveSession(ctx context.Context, r broker.SessionRow) error {
	if err := s.fails("save", r.Key); err != nil {
		return err
	}
	return s.Store.SaveSession(ctx, r)
}

// Session fails as "read".
func (s Failing) Session(ctx context.Context, key string) (broker.SessionRow, error) {
	if err := s.fails("read", key); err != nil {
		return broker.SessionRow{}, err
	}
	return s.Store.Session(ctx, key)
}

// TouchSession fails as "touch".
func (s Failing) TouchSession(ctx context.Context, key string, at time.Time) error {
	if err := s.fails("touch", key); err != nil {
		return err
	}
	return s.Store.TouchSession(ctx, key, at)
}

// DeleteSession fails as "delete".
func (s Failing) DeleteSession(ctx context.Context, key string) error {
	if err := s.fails("delete", key); err != nil {
		return err
	}
	return s.Store.DeleteSession(ctx, key)
}

// ReplaceSession fails as "replace".
func (s Failing) ReplaceSession(ctx context.Context, key string, next broker.SessionRow) error {
	if err := s.fails("replace", key); err != nil {
		return err
	}
	return s.Store.ReplaceSession(ctx, key, next)
}

// RevokeBefore fails as "revoke".
func (s Failing) RevokeBefore(ctx context.Context, sub broker.Subject, at time.Time) error {
	if err := s.fails("revoke", ""); err != nil {
		return err
	}
	return s.Store.RevokeBefore(ctx, sub, at)
}

// Put fails as "put".
func (s Failing) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.fails("put", key); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, value, ttl)
}

// Get fails as "get".
func (s Failing) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.fails("get", key); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

// Take fails as "take".
func (s Failing) Take(ctx context.Context, key string) ([]byte, error) {
	if err := s.fails("take", key); err != nil {
		return nil, err
	}
	return s.Store.Take(ctx, key)
}

// SaveIdentity fails as "identity".
func (s Failing) SaveIdentity(ctx context.Context, r broker.IdentityRow) error {
	if err := s.fails("identity", ""); err != nil {
		return err
	}
	return s.Store.SaveIdentity(ctx, r)
}

// SetFavourite fails as "favourite".
func (s Failing) SetFavourite(ctx context.Context, sub broker.Subject, a broker.AssignmentID, on bool) error {
	if err := s.fails("favourite", ""); err != nil {
		return err
	}
	return s.Store.SetFavourite(ctx, sub, a, on)
}

// SettleRoleSession fails as "settle".
func (s Failing) SettleRoleSession(ctx context.Context, r broker.RoleSessionRow, e broker.Event) error {
	if err := s.fails("settle", ""); err != nil {
		return err
	}
	return s.Store.SettleRoleSession(ctx, r, e)
}
