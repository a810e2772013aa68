package brokertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Memory is every store of the broker in one map each, with a switch to fail.
type Memory struct {
	mu         sync.Mutex
	Now        func() time.Time
	State      map[string][]byte
	Expires    map[string]time.Time
	Sessions   map[string]broker.SessionRow
	Names      map[string]broker.Subject
	Ids        map[broker.Subject]broker.IdentityRow
	Events     []broker.Event
	FactorRows []broker.FactorRow
	Down       bool // everything is unavailable
	Revoked    map[broker.Subject]time.Time
	NoEvents   bool // only the recorder is unavailable
	Replaced   map[string]string
	Before     map[string]func() // done once, in the middle of a use case, before "replace" or "delete"
}

func (m *Memory) pause(call string) {
	if f := m.Before[call]; f != nil {
		m.Before = nil
		f()
	}
}

var ErrDown = broker.Errorf(broker.CodeUnavailable, "The store does not answer.")

func (m *Memory) check() error {
	if m.Down {
		return ErrDown
	}
	return nil
}

func (m *Memory) Put(_ context.Context, key string, v []byte, ttl time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.State[key], m.Expires[key] = v, m.Now().Add(ttl)
	return m.check()
}

func (m *Memory) PutIfAbsent(_ context.Context, key string, v []byte, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.live(key) {
		return false, m.check()
	}
	m.State[key], m.Expires[key] = v, m.Now().Add(ttl)
	return true, m.check()
}

func (m *Memory) live(key string) bool {
	_, ok := m.State[key]
	return ok && m.Now().Before(m.Expires[key])
}

func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Down {
		return nil, ErrDown
	}
	if !m.live(key) {
		return nil, broker.Errorf(broker.CodeNotFound, "no %s", key)
	}
	return m.State[key], nil
}

func (m *Memory) Take(ctx context.Context, key string) ([]byte, error) {
	v, err := m.Get(ctx, key)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.State, key)
	return v, err
}

func (m *Memory) Swap(_ context.Context, key string, before, after []byte, _ time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.State[key], before) {
		return false, nil
	}
	m.State[key] = after
	return true, nil
}

func (m *Memory) SaveSession(_ context.Context, s broker.SessionRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Sessions[s.Key] = s
	return m.check()
}

func (m *Memory) Session(_ context.Context, key string) (broker.SessionRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Down {
		return broker.SessionRow{}, ErrDown
	}
	s, ok := m.Sessions[key]
	if !ok {
		return s, broker.Errorf(broker.CodeNotFound, "no session")
	}
	s.RevokedBefore = m.Revoked[s.Subject]
	return s, nil
}

func (m *Memory) TouchSession(_ context.Context, key string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.Sessions[key]
	s.LastUsedAt = at
	m.Sessions[key] = s
	return m.check()
}

func (m *Memory) DeleteSession(_ context.Context, key string) error {
	m.pause("delete")
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.Sessions, key)
	delete(m.Sessions, m.Replaced[key])
	return m.check()
}

func (m *Memory) ReplaceSession(_ context.Context, key string, next broker.SessionRow) error {
	m.pause("replace")
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.Sessions[key]
	if !ok {
		return broker.Errorf(broker.CodeNotFound, "no session")
	}
	if s.LastUsedAt.After(next.LastUsedAt) {
		next.LastUsedAt = s.LastUsedAt
	}
	delete(m.Sessions, key)
	m.Sessions[next.Key] = next
	if key != next.Key {
		m.Replaced[key] = next.Key
	}
	return m.check()
}

func (m *Memory) ClaimName(_ context.Context, kind broker.NameKind, s broker.Subject, candidates ...string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range candidates {
		key := string(kind) + "/" + strings.ToLower(c)
		if holder, taken := m.Names[key]; !taken || holder == s {
			m.Names[key] = s
			return c, nil
		}
	}
	return "", broker.Errorf(broker.CodeConflict, "all names are taken")
}

func (m *Memory) SaveIdentity(_ context.Context, r broker.IdentityRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Ids[r.Subject] = r
	return m.check()
}

func (m *Memory) FindIdentities(_ context.Context, user string) ([]broker.IdentityRow, error) {
	var out []broker.IdentityRow
	for _, r := range m.Ids {
		if user == "" || user == r.Username || user == r.Email || user == r.Subject.ID {
			out = append(out, r)
		}
	}
	return out, m.check()
}

func (m *Memory) Record(_ context.Context, e broker.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Down || m.NoEvents {
		return ErrDown
	}
	m.Events = append(m.Events, e)
	return nil
}

// xorSealer is a reversible stand-in for AES-GCM that refuses other additional
// data and changed values, and hides the plaintext.
type Sealer struct{}

func (Sealer) Seal(plain []byte, additional string) ([]byte, error) {
	out := append([]byte(additional+"\x00"), plain...)
	sum := sha256.Sum256(out)
	out = append(sum[:], out...)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out, nil
}

func (Sealer) Open(sealed []byte, additional string) ([]byte, error) {
	out := bytes.Clone(sealed)
	for i := range out {
		out[i] ^= 0x5a
	}
	if len(out) < sha256.Size || sha256.Sum256(out[sha256.Size:]) != [sha256.Size]byte(out[:sha256.Size]) {
		return nil, errors.New("changed")
	}
	rest, ok := bytes.CutPrefix(out[sha256.Size:], []byte(additional+"\x00"))
	if !ok {
		return nil, errors.New("sealed under other data")
	}
	return rest, nil
}

func (m *Memory) FindSessions(_ context.Context, f broker.SessionFilter) ([]broker.SessionRow, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []broker.SessionRow
	for _, s := range m.Sessions {
		if s.Subject.Provider == f.Provider && (f.SubjectID == "" || f.SubjectID == s.Subject.ID) && (f.NameID == "" || f.NameID == s.NameID) &&
			(f.SessionIndex == "" || f.SessionIndex == s.SessionIndex) && s.CreatedAt.After(m.Revoked[s.Subject]) {
			out = append(out, s)
		}
	}
	return out, m.check()
}

func (m *Memory) ListSessions(context.Context, broker.SessionPage) ([]broker.SessionRow, error) {
	return nil, m.check()
}

func (m *Memory) CountSessions(context.Context) (int, error) { return len(m.Sessions), m.check() }

func (m *Memory) RevokeBefore(_ context.Context, s broker.Subject, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Revoked == nil {
		m.Revoked = map[broker.Subject]time.Time{}
	}
	m.Revoked[s] = at
	return m.check()
}

func (m *Memory) QueryEvents(context.Context, broker.EventQuery) ([]broker.EventRow, error) {
	return nil, m.check()
}
