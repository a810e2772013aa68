package admin

import (
	"context"
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
	Sessions   *session.Book
	Log        broker.EventLog
	Events     broker.Recorder
	Identities broker.IdentityStore
	Roles      broker.RoleMapper
	Traces     journal.Traces
	Sealer     broker.Sealer
	Now        func() time.Time
}

// Service is the use case of looking after rolegate and its people. Every method
// asks anew whether the session is an administrator's with a second factor, and
// records what was looked at before it hands it out.
type Service struct{ c Config }

// New returns the use case.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{c: c}
}

// Enter returns nil for an administrator who proved a second factor.
// CodeDenied, recorded, for everybody else; CodeStepUp without the proof.
func (a *Service) Enter(ctx context.Context, sess *broker.Session) error {
	ok, err := a.c.Judge.IsAdmin(ctx, sess.Identity)
	if err != nil {
		return err
	}
	if !ok {
		if err := a.record(ctx, sess, broker.ActionAdminDenied, broker.OutcomeRefused, "", nil); err != nil {
			return err
		}
		return broker.Errorf(broker.CodeDenied, "This part is for administrators, and you are none.").
			Fix("Administrators are named by the rule under admins in the configuration. Ask whoever keeps it.")
	}
	if missing := (broker.Requirement{MFA: true}).Unmet(sess.Identity, a.c.Now()); missing != nil {
		return (&broker.Error{Code: broker.CodeStepUp, StepUp: missing, Message: "The administrators' part needs a second factor, and your sign-in did not prove one."}).
			Fix("Sign in again with your second factor.")
	}
	return nil
}

func (a *Service) record(ctx context.Context, sess *broker.Session, act broker.Action, o broker.Outcome, target string, detail map[string]string) error {
	e := journal.NewEvent(ctx, a.c.Now(), act, o)
	e.Actor, e.Username, e.Target, e.Detail = sess.Identity.Subject, sess.Identity.Username, broker.ShortText(target), detail
	if o == broker.OutcomeRefused {
		e.Code = broker.CodeDenied
	}
	return a.c.Events.Record(ctx, e)
}

// view enters and records what is looked at.
func (a *Service) view(ctx context.Context, sess *broker.Session, page, target string) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	return a.record(ctx, sess, broker.ActionAdminView, broker.OutcomeOK, target, map[string]string{"page": page})
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
	t, err := a.c.Traces.Find(ctx, id)
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
	rows, err := a.c.Identities.FindIdentities(ctx, strings.ToLower(broker.ShortText(user)))
	if err != nil {
		return nil, err
	}
	var out []broker.Subject
	for _, r := range rows[:min(len(rows), 20)] {
		out = append(out, r.Subject)
	}
	return out, nil
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
	if err := a.record(ctx, sess, broker.ActionAdminExport, broker.OutcomeOK, q.Person, nil); err != nil {
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
	total, err := a.c.Sessions.C.List.CountSessions(ctx)
	if err != nil {
		return SessionList{}, err
	}
	out := SessionList{Total: total}
	var rows []broker.SessionRow
	if in.Person == "" {
		if rows, err = a.c.Sessions.C.List.ListSessions(ctx, broker.SessionPage{Before: in.Before, Limit: in.Limit + 1}); err != nil {
			return SessionList{}, err
		}
		if len(rows) > in.Limit {
			rows = rows[:in.Limit]
			out.Next = rows[in.Limit-1].Key
		}
	} else {
		subs, err := a.subjects(ctx, in.Person)
		if err != nil {
			return SessionList{}, err
		}
		out.People = subs
		for _, sub := range subs {
			more, err := a.c.Sessions.Of(ctx, sub)
			if err != nil {
				return SessionList{}, err
			}
			slices.Reverse(more)
			rows = append(rows, more[:min(len(more), session.MaxOwn)]...)
		}
	}
	out.Sessions, err = a.c.Sessions.Describe(rows)
	return out, err
}

// End ends one session of anybody. CodeNotFound when it has ended.
func (a *Service) End(ctx context.Context, sess *broker.Session, key string) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	row, err := a.c.Sessions.C.Store.Session(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.Errorf(broker.CodeNotFound, "This session has ended already.").Fix("Reload the list.")
	}
	if err != nil {
		return err
	}
	return a.c.Sessions.End(ctx, sess, row)
}

// Revoke ends every session of the subject that has begun until now.
func (a *Service) Revoke(ctx context.Context, sess *broker.Session, sub broker.Subject) error {
	if err := a.Enter(ctx, sess); err != nil {
		return err
	}
	return a.c.Sessions.RevokeAs(ctx, sess, sub)
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
	ids, err := session.Recorded(ctx, a.c.Identities, a.c.Sealer, broker.ShortText(user))
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
	ids, err := session.Recorded(ctx, a.c.Identities, a.c.Sealer, "")
	if err != nil {
		return nil, err
	}
	if err := a.record(ctx, sess, broker.ActionSimulate, broker.OutcomeOK, "", map[string]string{"people": strconv.Itoa(len(ids))}); err != nil {
		return nil, err
	}
	return ids, nil
}
