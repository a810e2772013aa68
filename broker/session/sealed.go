package session

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Sealed keeps records in the state store, sealed and bound to their keys:
// who writes to the store can neither make one nor put one in another's place.
// One that does not open, because it was changed, moved, or made by a version
// that did not seal it, is not there.
type Sealed struct {
	State  broker.StateStore
	Sealer broker.Sealer
}

func (s Sealed) seal(key string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("session: encode %T: %w", v, err)
	}
	if b, err = s.Sealer.Seal(b, key); err != nil {
		return nil, fmt.Errorf("session: seal %T: %w", v, err)
	}
	return b, nil
}

func (s Sealed) open(key string, raw []byte, into any) error {
	b, err := s.Sealer.Open(raw, key)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return errNotThere.Because(fmt.Errorf("session: open %T: %w", into, err))
	}
	return nil
}

func (s Sealed) Put(ctx context.Context, key string, v any, ttl time.Duration) error {
	b, err := s.seal(key, v)
	if err != nil {
		return err
	}
	return s.State.Put(ctx, key, b, ttl)
}

func (s Sealed) PutIfAbsent(ctx context.Context, key string, v any, ttl time.Duration) (bool, error) {
	b, err := s.seal(key, v)
	if err != nil {
		return false, err
	}
	return s.State.PutIfAbsent(ctx, key, b, ttl)
}

// Get reads into a record and returns its bytes for a swap. CodeNotFound if
// there is none.
func (s Sealed) Get(ctx context.Context, key string, into any) ([]byte, error) {
	raw, err := s.State.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return raw, s.open(key, raw, into)
}

// Take reads into a record, which is gone then, even if it does not open.
func (s Sealed) Take(ctx context.Context, key string, into any) error {
	raw, err := s.State.Take(ctx, key)
	if err != nil {
		return err
	}
	return s.open(key, raw, into)
}

// Swap puts v in the place of what get returned as raw, if that is still there.
func (s Sealed) Swap(ctx context.Context, key string, raw []byte, v any, ttl time.Duration) (bool, error) {
	b, err := s.seal(key, v)
	if err != nil {
		return false, err
	}
	return s.State.Swap(ctx, key, raw, b, ttl)
}

// StateKey is where a pending request of a kind is kept under its RelayState or
// state, which the store does not see.
func StateKey(kind, state string) string { return kind + "/" + broker.NewSecret(state).Hash() }

// TakePending takes the request of a kind that a browser or a provider answers.
// CodeNotFound when none was begun here under the state, or it was answered.
func (s Sealed) TakePending(ctx context.Context, kind, state string, into any) error {
	if state == "" || len(state) > 128 {
		return errNotThere.Because(fmt.Errorf("a state of %d bytes", len(state)))
	}
	return s.Take(ctx, StateKey(kind, state), into)
}
