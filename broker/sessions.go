package broker

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// maxOwn bounds how many of their own sessions a person sees, the newest.
const maxOwn = 100

// SessionsConfig holds what [Sessions] works with. All fields but Limits and
// Now are needed.
type SessionsConfig struct {
	Store   SessionStore
	List    SessionLister
	Revoker Revoker
	Events  Recorder
	Sealer  Sealer
	Limits  SessionLimits
	Now     func() time.Time
}

// Sessions is the use case of looking at one's own sessions and ending them.
type Sessions struct{ c SessionsConfig }

// NewSessions returns the use case.
func NewSessions(c SessionsConfig) *Sessions {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits == (SessionLimits{}) {
		c.Limits = DefaultSessionLimits
	}
	return &Sessions{c: c}
}

// SessionInfo is a session as its person and administrators see it. The key is
// the hash of the token and opens nothing.
type SessionInfo struct {
	Key        string
	Subject    Subject
	Username   string
	Remote     string
	UserAgent  string
	Program    string // that the person let in, and where it runs; "" for a browser
	CreatedAt  time.Time
	LastUsedAt time.Time
	EndsAt     time.Time // absolute end
	IdleEndsAt time.Time // when it ends if it is not used again
}

func (s *Sessions) describe(rows []SessionRow) ([]SessionInfo, error) {
	now := s.c.Now()
	out := make([]SessionInfo, 0, len(rows))
	for _, row := range rows {
		sess, err := decodeSession(row, s.c.Sealer)
		if CodeOf(err) == CodeNotFound {
			continue // a row that is no session must not hide those that are
		}
		if err != nil {
			return nil, err
		}
		idle, program := row.LastUsedAt.Add(s.c.Limits.Idle), ""
		if !sess.IsBrowser() { // a program's lasts until its end, however rarely it is used
			idle, sess.Remote, program = row.ExpiresAt, sess.Client.Remote, sess.Client.Label()
		}
		if !now.Before(idle) {
			continue // has ended, only nobody has looked yet
		}
		out = append(out, SessionInfo{
			Key: row.Key, Subject: row.Subject, Username: sess.Identity.Username, Remote: sess.Remote, UserAgent: sess.UserAgent, Program: program,
			CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, EndsAt: row.ExpiresAt, IdleEndsAt: idle,
		})
	}
	return out, nil
}

// Own lists the person's sessions, the newest first.
func (s *Sessions) Own(ctx context.Context, sess *Session) ([]SessionInfo, error) {
	rows, err := s.of(ctx, sess.Identity.Subject)
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	return s.describe(rows[:min(len(rows), maxOwn)])
}

func (s *Sessions) of(ctx context.Context, sub Subject) ([]SessionRow, error) {
	if sub.IsZero() {
		return nil, Errorf(CodeInvalid, "This is nobody.")
	}
	return s.c.List.FindSessions(ctx, SessionFilter{Provider: sub.Provider, SubjectID: sub.ID})
}

// EndOwn ends one of the person's own sessions. CodeNotFound for one that has
// ended or is somebody else's.
func (s *Sessions) EndOwn(ctx context.Context, sess *Session, key string) error {
	row, err := s.c.Store.Session(ctx, key)
	gone := Errorf(CodeNotFound, "This session has ended already.").Fix("Reload your sessions.")
	if CodeOf(err) == CodeNotFound || err == nil && row.Subject != sess.Identity.Subject {
		return gone
	}
	if err != nil {
		return err
	}
	return s.end(ctx, sess, row)
}

// end records, then ends.
func (s *Sessions) end(ctx context.Context, by *Session, row SessionRow) error {
	e := s.event(ctx, by, ActionSessionEnd, row.Subject)
	e.Detail = map[string]string{"began": row.CreatedAt.UTC().Format(time.RFC3339)}
	if err := s.c.Events.Record(ctx, e); err != nil {
		return err
	}
	return s.c.Store.DeleteSession(ctx, row.Key)
}

// EndOthers ends every session of the person but this one and returns how many.
func (s *Sessions) EndOthers(ctx context.Context, sess *Session) (int, error) {
	rows, err := s.of(ctx, sess.Identity.Subject)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, row := range rows {
		if row.Key == sess.Key {
			continue
		}
		if err := s.end(ctx, sess, row); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// EndEverywhere ends every session of the person that has begun until now, this
// one too, on every node.
func (s *Sessions) EndEverywhere(ctx context.Context, sess *Session) error {
	return s.revoke(ctx, sess, sess.Identity.Subject)
}

func (s *Sessions) revoke(ctx context.Context, by *Session, sub Subject) error {
	rows, err := s.of(ctx, sub)
	if err != nil {
		return err
	}
	e := s.event(ctx, by, ActionRevoke, sub)
	e.Detail = map[string]string{"sessions": strconv.Itoa(len(rows))}
	if err := s.c.Events.Record(ctx, e); err != nil {
		return err
	}
	return s.c.Revoker.RevokeBefore(ctx, sub, s.c.Now())
}

func (s *Sessions) event(ctx context.Context, by *Session, a Action, about Subject) Event {
	e := newEvent(ctx, s.c.Now(), a, OutcomeOK)
	e.Actor, e.Username, e.Target = by.Identity.Subject, by.Identity.Username, about.String()
	return e
}
