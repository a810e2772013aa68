package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// sealedState keeps records in the state store, sealed and bound to their keys:
// who writes to the store can neither make one nor put one in another's place.
// One that does not open, because it was changed, moved, or made by a version
// that did not seal it, is not there.
type sealedState struct {
	state  StateStore
	sealer Sealer
}

func (s sealedState) seal(key string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("broker: encode %T: %w", v, err)
	}
	if b, err = s.sealer.Seal(b, key); err != nil {
		return nil, fmt.Errorf("broker: seal %T: %w", v, err)
	}
	return b, nil
}

func (s sealedState) open(key string, raw []byte, into any) error {
	b, err := s.sealer.Open(raw, key)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return errNotThere.Because(fmt.Errorf("broker: open %T: %w", into, err))
	}
	return nil
}

// errNotThere is the error for what the store has, and we did not put there.
var errNotThere = Errorf(CodeNotFound, "There is nothing under this name, or not any more.")

func (s sealedState) put(ctx context.Context, key string, v any, ttl time.Duration) error {
	b, err := s.seal(key, v)
	if err != nil {
		return err
	}
	return s.state.Put(ctx, key, b, ttl)
}

func (s sealedState) putIfAbsent(ctx context.Context, key string, v any, ttl time.Duration) (bool, error) {
	b, err := s.seal(key, v)
	if err != nil {
		return false, err
	}
	return s.state.PutIfAbsent(ctx, key, b, ttl)
}

// get reads into a record and returns its bytes for a swap. CodeNotFound if
// there is none.
func (s sealedState) get(ctx context.Context, key string, into any) ([]byte, error) {
	raw, err := s.state.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return raw, s.open(key, raw, into)
}

// take reads into a record, which is gone then, even if it does not open.
func (s sealedState) take(ctx context.Context, key string, into any) error {
	raw, err := s.state.Take(ctx, key)
	if err != nil {
		return err
	}
	return s.open(key, raw, into)
}

// swap puts v in the place of what get returned as raw, if that is still there.
func (s sealedState) swap(ctx context.Context, key string, raw []byte, v any, ttl time.Duration) (bool, error) {
	b, err := s.seal(key, v)
	if err != nil {
		return false, err
	}
	return s.state.Swap(ctx, key, raw, b, ttl)
}

// stateKey is where a pending request of a kind is kept under its RelayState or
// state, which the store does not see.
func stateKey(kind, state string) string { return kind + "/" + NewSecret(state).Hash() }

// takePending takes the request of a kind that a browser or a provider answers.
// CodeNotFound when none was begun here under the state, or it was answered.
func (s sealedState) takePending(ctx context.Context, kind, state string, into any) error {
	if state == "" || len(state) > 128 {
		return errNotThere.Because(fmt.Errorf("a state of %d bytes", len(state)))
	}
	return s.take(ctx, stateKey(kind, state), into)
}
