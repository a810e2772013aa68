package portal

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/web/page"
)

// SessionsPage lists one's own sessions.
type SessionsPage struct {
	page.Meta
	This   session.Info
	Others []session.Info
}

// Template names the page.
func (SessionsPage) Template() string { return "sessions" }

func (p *Portal) sessions(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	all, err := p.c.People.Own(r.Context(), sess)
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
	return p.c.Pages.Render(w, http.StatusOK, out)
}

func (p *Portal) endSession(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	key := r.PostFormValue("session")
	if err := fields(key); err != nil {
		return err
	}
	if err := p.c.People.EndOwn(r.Context(), sess, key); err != nil {
		return err
	}
	seeOther(w, "/sessions")
	return nil
}

func (p *Portal) endOthers(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	if _, err := p.c.People.EndOthers(r.Context(), sess); err != nil {
		return err
	}
	seeOther(w, "/sessions")
	return nil
}

func (p *Portal) endAll(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	if err := p.c.People.EndEverywhere(r.Context(), sess); err != nil {
		return err
	}
	if err := p.c.Sessions.Clear(w); err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, page.NewSignedOut(""))
}
