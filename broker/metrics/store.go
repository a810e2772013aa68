package metrics

import (
	"context"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Recorder returns next with its events counted, each after it is durable.
func (m *Metrics) Recorder(next broker.Recorder) broker.Recorder {
	if m == nil {
		return next
	}
	return recorder{m, next}
}

type recorder struct {
	m    *Metrics
	next broker.Recorder
}

// Record implements broker.Recorder.
func (r recorder) Record(ctx context.Context, e broker.Event) error {
	if err := r.m.failed("record_event", r.next.Record(ctx, e)); err != nil {
		return err
	}
	r.m.count(e)
	return nil
}

// RoleSessions returns next with its events counted, as [Metrics.Recorder] does.
func (m *Metrics) RoleSessions(next broker.RoleSessionStore) broker.RoleSessionStore {
	if m == nil {
		return next
	}
	return roleSessions{next, m}
}

type roleSessions struct {
	broker.RoleSessionStore
	m *Metrics
}

// AskRoleSession implements broker.RoleSessionStore.
func (r roleSessions) AskRoleSession(ctx context.Context, row broker.RoleSessionRow, e broker.Event) error {
	if err := r.m.failed("record_event", r.RoleSessionStore.AskRoleSession(ctx, row, e)); err != nil {
		return err
	}
	r.m.count(e)
	return nil
}

// SettleRoleSession implements broker.RoleSessionStore.
func (r roleSessions) SettleRoleSession(ctx context.Context, row broker.RoleSessionRow, e broker.Event) error {
	if err := r.m.failed("record_event", r.RoleSessionStore.SettleRoleSession(ctx, row, e)); err != nil {
		return err
	}
	r.m.count(e)
	return nil
}

// failed counts err if the store is to blame, and returns it.
func (m *Metrics) failed(operation string, err error) error {
	if code := broker.CodeOf(err); code == broker.CodeUnavailable || code == broker.CodeInternal {
		m.storeErrors.WithLabelValues(operation).Inc()
	}
	return err
}

// State returns next with its errors counted.
func (m *Metrics) State(next broker.StateStore) broker.StateStore {
	if m == nil {
		return next
	}
	return state{m, next}
}

type state struct {
	m    *Metrics
	next broker.StateStore
}

// Put implements broker.StateStore.
func (s state) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.m.failed("put_state", s.next.Put(ctx, key, value, ttl))
}

// PutIfAbsent implements broker.StateStore.
func (s state) PutIfAbsent(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	ok, err := s.next.PutIfAbsent(ctx, key, value, ttl)
	return ok, s.m.failed("put_state", err)
}

// Get implements broker.StateStore.
func (s state) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.next.Get(ctx, key)
	return b, s.m.failed("get_state", err)
}

// Take implements broker.StateStore.
func (s state) Take(ctx context.Context, key string) ([]byte, error) {
	b, err := s.next.Take(ctx, key)
	return b, s.m.failed("take_state", err)
}

// Swap implements broker.StateStore.
func (s state) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) (bool, error) {
	ok, err := s.next.Swap(ctx, key, old, new, ttl)
	return ok, s.m.failed("swap_state", err)
}

// Sessions returns next with its errors counted.
func (m *Metrics) Sessions(next broker.SessionStore) broker.SessionStore {
	if m == nil {
		return next
	}
	return sessions{next, m}
}

// sessions counts the errors of the calls that every request and every sign-in
// makes.
type sessions struct {
	broker.SessionStore
	m *Metrics
}

// Session implements broker.SessionStore.
func (s sessions) Session(ctx context.Context, key string) (broker.SessionRow, error) {
	row, err := s.SessionStore.Session(ctx, key)
	return row, s.m.failed("read_session", err)
}

// ReplaceSession implements broker.SessionStore.
func (s sessions) ReplaceSession(ctx context.Context, key string, next broker.SessionRow) error {
	return s.m.failed("save_session", s.SessionStore.ReplaceSession(ctx, key, next))
}

// SaveSession implements broker.SessionStore.
func (s sessions) SaveSession(ctx context.Context, row broker.SessionRow) error {
	return s.m.failed("save_session", s.SessionStore.SaveSession(ctx, row))
}
