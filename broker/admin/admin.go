package admin

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
)

// Config holds what [Service] works with. All fields but Now are needed.
type Config struct {
	Judge      broker.AdminJudge
	Book       *session.Book
	Log        broker.EventLog
	Journal    *journal.Journal
	Identities session.Identities
	Roles      broker.RoleMapper
	Now        func() time.Time // nil: time.Now
}

// Service is the use case of looking after rolegate and its people. Every method
// asks anew whether the session is an administrator's with a second factor, and
// records what was looked at before it hands it out.
type Service struct{ c Config }

// New returns the use case, or an error that says what is missing.
func New(c Config) (*Service, error) {
	if c.Judge == nil || c.Book == nil || c.Log == nil || c.Journal == nil || c.Identities.Store == nil || c.Roles == nil {
		return nil, errors.New("admin: all but Now are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{c}, nil
}

var errNoAdmin = broker.Errorf(broker.CodeDenied, "This part is for administrators, and you are not one of them.").
	Fix("Administrators are named by the rule under admins in the configuration. Ask whoever keeps it.")

// Enter returns nil for an administrator who proved a second factor.
// CodeDenied, recorded, for everybody else; CodeStepUp without the proof.
func (a *Service) Enter(ctx context.Context, sess *broker.Session) error {
	ok, err := a.c.Judge.IsAdmin(ctx, sess.Identity)
	if err != nil {
		return err
	}
	if !ok {
		return a.c.Journal.Refuse(ctx, journal.Entry{Action: broker.ActionAdminDenied, By: sess, Err: errNoAdmin})
	}
	if missing := (broker.Requirement{MFA: true}).Unmet(sess.Identity, a.c.Now()); missing != nil {
		return (&broker.Error{Code: broker.CodeStepUp, StepUp: missing, Message: "The administrators' part needs a second factor, and your sign-in did not prove one."}).
			Fix("Sign in again with your second factor.")
	}
	return nil
}

func (a *Service) record(ctx context.Context, sess *broker.Session, act broker.Action, target string, detail map[string]string) error {
	return a.c.Journal.Record(ctx, journal.Entry{Action: act, By: sess, Target: broker.ShortText(target), Detail: detail})
}

// view enters and records what is looked at.
func (a *Service) view(ctx context.Context, sess *broker.Session, page, target string) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	return a.record(ctx, sess, broker.ActionAdminView, target, map[string]string{"page": page})
}

// FoundTrace is a trace with the events of the same attempt.
type FoundTrace struct {
	*broker.Trace
	Events []broker.EventRow
}

// Trace finds a trace by its id as people say it: capitals, spaces and hyphens
// do not matter. CodeNotFound if there is none.
func (a *Service) Trace(ctx context.Context, sess *broker.Session, id string) (FoundTrace, error) {
	id = strings.Join(strings.FieldsFunc(strings.ToLower(broker.ShortText(id)), func(r rune) bool { return r == ' ' || r == '-' || r == '_' || r == '\t' }), "-")
	if err := a.view(ctx, sess, "trace", id); err != nil {
		return FoundTrace{}, err
	}
	t, err := a.c.Journal.Trace(ctx, id)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return FoundTrace{}, broker.Errorf(broker.CodeNotFound, "There is no trace with this id, or not any more.").
			Fix("Traces are kept for a week. Check the words: it is three words and two digits.")
	}
	if err != nil {
		return FoundTrace{}, err
	}
	rows, err := a.c.Log.QueryEvents(ctx, broker.EventQuery{TraceID: id, Limit: 20})
	return FoundTrace{t, rows}, err
}

// AuditQuery is an [broker.EventQuery] with a person as people name them.
type AuditQuery struct {
	broker.EventQuery
	Person string // username, e-mail address or subject id
}

// Audit finds events, the latest first.
func (a *Service) Audit(ctx context.Context, sess *broker.Session, q AuditQuery) ([]broker.EventRow, error) {
	if err := a.view(ctx, sess, "audit", q.Person); err != nil {
		return nil, err
	}
	return a.query(ctx, q)
}

func (a *Service) query(ctx context.Context, q AuditQuery) ([]broker.EventRow, error) {
	if q.Person != "" {
		subs, err := a.subjects(ctx, q.Person)
		if err != nil {
			return nil, err
		}
		if q.Actors = subs; len(subs) == 0 {
			q.Username = q.Person // somebody whose identity is not kept any more
		}
	}
	return a.c.Log.QueryEvents(ctx, q.EventQuery)
}

// subjects are those that user names; at most twenty.
func (a *Service) subjects(ctx context.Context, user string) ([]broker.Subject, error) {
	return a.c.Identities.Subjects(ctx, broker.ShortText(user), 20)
}

// Failures are the latest events that did not go well.
func (a *Service) Failures(ctx context.Context, sess *broker.Session) ([]broker.EventRow, error) {
	if err := a.view(ctx, sess, "failures", ""); err != nil {
		return nil, err
	}
	return a.c.Log.QueryEvents(ctx, broker.EventQuery{NotOK: true, Limit: 25})
}

// MaxExport bounds one exported file.
const MaxExport = 100_000

// Export hands every event that q selects to write, the latest first, up to
// [MaxExport]; q.Before goes on where another file ended.
func (a *Service) Export(ctx context.Context, sess *broker.Session, q AuditQuery, write func(broker.EventRow) error) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	if err := a.record(ctx, sess, broker.ActionAdminExport, q.Person, nil); err != nil {
		return err
	}
	for n := 0; n < MaxExport; {
		q.Limit = 1000
		rows, err := a.query(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := write(r); err != nil {
				return err
			}
			q.Before = r.ID
		}
		n += len(rows)
		if len(rows) < q.Limit {
			return nil
		}
	}
	return nil
}

// PeopleSessions asks for sessions of one person, or a page of everybody's.
type PeopleSessions struct {
	Person string // username, e-mail address or subject id; "": everybody
	Before string
	Limit  int
}

// SessionList is a page of sessions.
type SessionList struct {
	Sessions []session.Info
	People   []broker.Subject // those that Person names
	Total    int              // of everybody
	Next     string           // the next page begins after this one; "": there is none
}

// List lists sessions.
func (a *Service) List(ctx context.Context, sess *broker.Session, in PeopleSessions) (SessionList, error) {
	if err := a.view(ctx, sess, "sessions", in.Person); err != nil {
		return SessionList{}, err
	}
	var out SessionList
	var err error
	if in.Person == "" {
		out.Sessions, out.Next, out.Total, err = a.c.Book.Page(ctx, broker.SessionPage{Before: in.Before, Limit: in.Limit})
		return out, err
	}
	if out.Total, err = a.c.Book.Count(ctx); err != nil {
		return SessionList{}, err
	}
	if out.People, err = a.subjects(ctx, in.Person); err != nil {
		return SessionList{}, err
	}
	for _, sub := range out.People {
		more, err := a.c.Book.Of(ctx, sub)
		if err != nil {
			return SessionList{}, err
		}
		out.Sessions = append(out.Sessions, more...)
	}
	return out, nil
}

// End ends one session of anybody. CodeNotFound when it has ended.
func (a *Service) End(ctx context.Context, sess *broker.Session, key string) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	return a.c.Book.EndOne(ctx, sess, broker.Subject{}, key)
}

// Revoke ends every session of the subject that has begun until now.
func (a *Service) Revoke(ctx context.Context, sess *broker.Session, sub broker.Subject) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	_, err := a.c.Book.RevokeAs(ctx, sess, sub)
	return err
}

// Explained is a person's last sign-in and why they have what they have.
type Explained struct {
	Identity broker.Identity
	broker.Explanation
}

// Explain explains the people that user names, as if they were in the further
// groups too.
func (a *Service) Explain(ctx context.Context, sess *broker.Session, user string, groups ...string) ([]Explained, error) {
	if err := a.view(ctx, sess, "explain", user); err != nil {
		return nil, err
	}
	if user == "" {
		return nil, nil
	}
	ids, err := a.c.Identities.Find(ctx, broker.ShortText(user))
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, broker.Errorf(broker.CodeNotFound, "Nobody of this name has signed in during the last 90 days.").
			Fix("Write the username, the e-mail address or the subject id as the identity provider sends it.")
	}
	var out []Explained
	for _, id := range ids[:min(len(ids), 10)] {
		for _, g := range groups {
			if g != "" && !slices.Contains(id.Groups, g) {
				id.Groups = append(slices.Clone(id.Groups), g)
			}
		}
		why, err := a.c.Roles.Explain(ctx, id)
		if err != nil {
			return nil, err
		}
		out = append(out, Explained{id, why})
	}
	return out, nil
}

// Everybody returns the last sign-in of each person, for the simulation of a
// change.
func (a *Service) Everybody(ctx context.Context, sess *broker.Session) ([]broker.Identity, error) {
	if err := a.Enter(ctx, sess); err != nil {
		return nil, err
	}
	ids, err := a.c.Identities.Find(ctx, "")
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, sess, broker.ActionSimulate, "", map[string]string{"people": strconv.Itoa(len(ids))}); err != nil {
		return nil, err
	}
	return ids, nil
}
