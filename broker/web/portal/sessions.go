package portal

import (
	"context"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// SessionsPage lists one's own sessions, here and at AWS.
type SessionsPage struct {
	page.Meta
	This   session.Info
	Others []session.Info
	AWS    []RoleSessionView
}

// RoleSessionView is a role session that may be open.
type RoleSessionView struct {
	Role, Account string // rolegate's name of the role; name, or id, of the account
	Console       bool
	Program       string // that asked; "": the person in a browser
	Name          string // RoleSessionName
	AskedAt       time.Time
	EndsAt        time.Time
	Unknown       bool // AWS was asked, and what it said is not known
}

// Template names the page.
func (SessionsPage) Template() string { return "sessions" }

func (p *Portal) sessions(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	all, err := p.c.Book.Own(r.Context(), sess)
	if err != nil {
		return err
	}
	out := SessionsPage{Meta: p.meta(sess, "Your sessions", "sessions")}
	for _, s := range all {
		if s.Key == sess.Key {
			out.This = s
		} else {
			out.Others = append(out.Others, s)
		}
	}
	if out.AWS, err = p.openAtAWS(r.Context(), sess); err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

// openAtAWS lists the role sessions that may be open, with the names that the
// accounts have for this person now.
func (p *Portal) openAtAWS(ctx context.Context, sess *broker.Session) ([]RoleSessionView, error) {
	open, err := p.c.Favourites.Open(ctx, sess)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	as, err := p.c.Access.Assignments(ctx, sess)
	if err != nil {
		return nil, err
	}
	names := map[broker.AccountID]string{}
	for _, a := range as {
		names[a.Account.ID] = a.Account.Name
	}
	out := make([]RoleSessionView, 0, len(open))
	for _, x := range open {
		v := RoleSessionView{
			Role: x.Role, Account: names[x.Account], Console: x.Use == broker.ActionConsole, Program: x.Program, Name: x.SessionName,
			AskedAt: x.AskedAt, EndsAt: x.ExpiresAt, Unknown: x.State == broker.RoleSessionAsked,
		}
		if v.Account == "" { // not theirs any more
			v.Account = string(x.Account)
		}
		out = append(out, v)
	}
	return out, nil
}

func (p *Portal) endSession(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	key := r.PostFormValue("session")
	if err := fields(key); err != nil {
		return err
	}
	if err := p.c.Book.EndOwn(r.Context(), sess, key); err != nil {
		return err
	}
	door.SeeOther(w, "/sessions")
	return nil
}

func (p *Portal) endOthers(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	if _, err := p.c.Book.EndOthers(r.Context(), sess); err != nil {
		return err
	}
	door.SeeOther(w, "/sessions")
	return nil
}

func (p *Portal) endAll(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	// The cookie goes whatever happens to the rest, as at a sign-out.
	if err := p.c.Sessions.Clear(w); err != nil {
		return err
	}
	if err := p.c.Book.EndEverywhere(r.Context(), sess); err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, page.NewSignedOut(""))
}
