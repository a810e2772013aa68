package idp

import (
	"sync"
	"time"
)

// shelfLimit bounds every shelf, whoever asks how often.
const shelfLimit = 10_000

// shelf keeps values for a while under names that cannot be guessed: sign-ins
// on their way, sessions, codes, tokens.
type shelf[T any] struct {
	now  func() time.Time
	life time.Duration

	mu    sync.Mutex
	items map[string]shelved[T]
}

type shelved[T any] struct {
	value T
	end   time.Time
}

func newShelf[T any](now func() time.Time, life time.Duration) *shelf[T] {
	return &shelf[T]{now: now, life: life, items: map[string]shelved[T]{}}
}

// put keeps v until its life is over. A full shelf loses what is over first,
// then anything.
func (s *shelf[T]) put(name string, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(name, v)
}

// putNew is put, but keeps what is there and says false where the name is taken.
func (s *shelf[T]) putNew(name string, v T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.items[name]; ok && s.now().Before(old.end) {
		return false
	}
	s.store(name, v)
	return true
}

func (s *shelf[T]) store(name string, v T) {
	if len(s.items) >= shelfLimit {
		for old, i := range s.items {
			if !s.now().Before(i.end) {
				delete(s.items, old)
			}
		}
	}
	for old := range s.items {
		if len(s.items) < shelfLimit {
			break
		}
		delete(s.items, old)
	}
	s.items[name] = shelved[T]{v, s.now().Add(s.life)}
}

func (s *shelf[T]) get(name string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.items[name]
	if !ok || !s.now().Before(i.end) {
		var none T
		return none, false
	}
	return i.value, true
}

// take is get and delete in one step: of two who ask, one gets it.
func (s *shelf[T]) take(name string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.items[name]
	delete(s.items, name)
	if !ok || !s.now().Before(i.end) {
		var none T
		return none, false
	}
	return i.value, true
}
