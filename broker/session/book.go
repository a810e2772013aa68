package session

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
)

// MaxOwn bounds how many of their own sessions a person sees, the newest.
const MaxOwn = 100

// Config holds what [Book] works with. All fields but Limits and
// Now are needed.
type Config struct {
	Store   broker.SessionStore
	List    broker.SessionLister
	Revoker broker.Revoker
	Events  broker.Recorder
	Sealer  broker.Sealer
	Limits  broker.SessionLimits
	Now     func() time.Time
}

// Book is the use case of looking at one's own sessions and ending them.
type Book struct{ C Config }

// New returns the use case.
func New(c Config) *Book {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Limits == (broker.SessionLimits{}) {
		c.Limits = broker.DefaultSessionLimits
	}
	return &Book{C: c}
}

// Info is a session as its person and administrators see it. The key is
// the hash of the token and opens nothing.
type Info struct {
	Key        string
	Subject    broker.Subject
	Username   string
	Remote     string
	UserAgent  string
	Program    string // that the person let in, and where it runs; "" for a browser
	CreatedAt  time.Time
	LastUsedAt time.Time
	EndsAt     time.Time // absolute end
	IdleEndsAt time.Time // when it ends if it is not used again
}

func (s *Book) Describe(rows []broker.SessionRow) ([]Info, error) {
	now := s.C.Now()
	out := make([]Info, 0, len(rows))
	for _, row := range rows {
		sess, err := Decode(row, s.C.Sealer)
		if broker.CodeOf(err) == broker.CodeNotFound {
			continue // a row that is no session must not hide those that are
		}
		if err != nil {
			return nil, err
		}
		idle, program := row.LastUsedAt.Add(s.C.Limits.Idle), ""
		if !sess.IsBrowser() { // a program's lasts until its end, however rarely it is used
			idle, sess.Remote, program = row.ExpiresAt, sess.Client.Remote, sess.Client.Label()
		}
		if !now.Before(idle) {
			continue // has ended, only nobody has looked yet
		}
		out = append(out, Info{
			Key: row.Key, Subject: row.Subject, Username: sess.Identity.Username, Remote: sess.Remote, UserAgent: sess.UserAgent, Program: program,
			CreatedAt: row.CreatedAt, LastUsedAt: row.LastUsedAt, EndsAt: row.ExpiresAt, IdleEndsAt: idle,
		})
	}
	return out, nil
}

// Own lists the person's sessions, the newest first.
func (s *Book) Own(ctx context.Context, sess *broker.Session) ([]Info, error) {
	rows, err := s.Of(ctx, sess.Identity.Subject)
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	return s.Describe(rows[:min(len(rows), MaxOwn)])
}

func (s *Book) Of(ctx context.Context, sub broker.Subject) ([]broker.SessionRow, error) {
	if sub.IsZero() {
		return nil, broker.Errorf(broker.CodeInvalid, "This is nobody.")
	}
	return s.C.List.FindSessions(ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: sub.ID})
}

// EndOwn ends one of the person's own sessions. CodeNotFound for one that has
// ended or is somebody else's.
func (s *Book) EndOwn(ctx context.Context, sess *broker.Session, key string) error {
	row, err := s.C.Store.Session(ctx, key)
	gone := broker.Errorf(broker.CodeNotFound, "This session has ended already.").Fix("Reload your sessions.")
	if broker.CodeOf(err) == broker.CodeNotFound || err == nil && row.Subject != sess.Identity.Subject {
		return gone
	}
	if err != nil {
		return err
	}
	return s.End(ctx, sess, row)
}

// End records, then ends.
func (s *Book) End(ctx context.Context, by *broker.Session, row broker.SessionRow) error {
	e := s.event(ctx, by, broker.ActionSessionEnd, row.Subject)
	e.Detail = map[string]string{"began": row.CreatedAt.UTC().Format(time.RFC3339)}
	if err := s.C.Events.Record(ctx, e); err != nil {
		return err
	}
	return s.C.Store.DeleteSession(ctx, row.Key)
}

// EndOthers ends every session of the person but this one and returns how many.
func (s *Book) EndOthers(ctx context.Context, sess *broker.Session) (int, error) {
	rows, err := s.Of(ctx, sess.Identity.Subject)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, row := range rows {
		if row.Key == sess.Key {
			continue
		}
		if err := s.End(ctx, sess, row); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// EndEverywhere ends every session of the person that has begun until now, this
// one too, on every node.
func (s *Book) EndEverywhere(ctx context.Context, sess *broker.Session) error {
	return s.RevokeAs(ctx, sess, sess.Identity.Subject)
}

func (s *Book) RevokeAs(ctx context.Context, by *broker.Session, sub broker.Subject) error {
	rows, err := s.Of(ctx, sub)
	if err != nil {
		return err
	}
	e := s.event(ctx, by, broker.ActionRevoke, sub)
	e.Detail = map[string]string{"sessions": strconv.Itoa(len(rows))}
	if err := s.C.Events.Record(ctx, e); err != nil {
		return err
	}
	return s.C.Revoker.RevokeBefore(ctx, sub, s.C.Now())
}

func (s *Book) event(ctx context.Context, by *broker.Session, a broker.Action, about broker.Subject) broker.Event {
	e := journal.NewEvent(ctx, s.C.Now(), a, broker.OutcomeOK)
	e.Actor, e.Username, e.Target = by.Identity.Subject, by.Identity.Username, about.String()
	return e
}
