package brokertest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// ErrLost, said by what is done before a swap, makes the swap one that somebody
// else was quicker than.
var ErrLost = errors.New("brokertest: lost")

// Trap is the store's state, which [Store.Down] does not reach, with a place to
// step in before each call.
type Trap struct {
	state broker.StateStore
	mu    sync.Mutex
	on    func(call, key string) error
}

// Trap builds the rig's node anew on a trapped state.
func (r *Rig) Trap(t testing.TB) *Trap {
	t.Helper()
	x := &Trap{state: r.Store.Store}
	r.State = x
	r.Limit(t, nil)
	return x
}

// On does f before each call from now on, with "put", "get", "take" or "swap" and
// the key; an error of f is the call's. nil: nothing.
func (s *Trap) On(f func(call, key string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = f
}

// Fail makes the calls of that name fail whose key begins with prefix.
func (s *Trap) Fail(name, prefix string) {
	s.On(func(call, key string) error {
		if call == name && strings.HasPrefix(key, prefix) {
			return ErrDown
		}
		return nil
	})
}

// Once does f before the next call of that name whose key begins with prefix.
func (s *Trap) Once(name, prefix string, f func()) {
	s.On(func(call, key string) error {
		if call == name && strings.HasPrefix(key, prefix) {
			s.On(nil)
			f()
		}
		return nil
	})
}

func (s *Trap) step(call, key string) error {
	s.mu.Lock()
	f := s.on
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(call, key)
}

// Put does as the store's.
func (s *Trap) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.step("put", key); err != nil {
		return err
	}
	return s.state.Put(ctx, key, value, ttl)
}

// PutIfAbsent does as the store's.
func (s *Trap) PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	if err := s.step("put", key); err != nil {
		return false, err
	}
	return s.state.PutIfAbsent(ctx, key, value, ttl)
}

// Get does as the store's.
func (s *Trap) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.step("get", key); err != nil {
		return nil, err
	}
	return s.state.Get(ctx, key)
}

// Take does as the store's.
func (s *Trap) Take(ctx context.Context, key string) ([]byte, error) {
	if err := s.step("take", key); err != nil {
		return nil, err
	}
	return s.state.Take(ctx, key)
}

// Swap does as the store's.
func (s *Trap) Swap(ctx context.Context, key string, old, next []byte, ttl time.Duration) (bool, error) {
	if err := s.step("swap", key); errors.Is(err, ErrLost) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return s.state.Swap(ctx, key, old, next, ttl)
}
