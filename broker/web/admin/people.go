package admin

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// perPage is how many rows a page lists.
const perPage = 50

// SessionsPage lists everybody's sessions.
type SessionsPage struct {
	page.Meta
	Who      string // was asked for
	Sessions []session.Info
	People   []broker.Subject // those found, when a person was asked for
	Total    int
	This     string // the key of the administrator's own session
	Next     string
}

// Template names the page.
func (SessionsPage) Template() string { return "admin-sessions" }

func (a *Admin) sessions(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	person, before := strings.TrimSpace(r.URL.Query().Get("person")), r.URL.Query().Get("before")
	if err := fields(person, before); err != nil {
		return err
	}
	list, err := a.c.Admin.List(r.Context(), sess, admin.PeopleSessions{Person: person, Before: before, Limit: perPage})
	if err != nil {
		return err
	}
	out := SessionsPage{Meta: a.meta(sess, "Sessions"), Who: person, Sessions: list.Sessions, People: list.People, Total: list.Total, This: sess.Key}
	if list.Next != "" {
		out.Next = "/admin/sessions?" + url.Values{"before": {list.Next}}.Encode()
	}
	return a.render(w, out)
}

func (a *Admin) endSession(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	key, person := r.PostFormValue("session"), r.PostFormValue("person")
	if err := fields(key, person); err != nil {
		return err
	}
	if err := a.c.Admin.End(r.Context(), sess, key); err != nil {
		return err
	}
	backToSessions(w, person)
	return nil
}

func (a *Admin) revoke(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	sub := broker.Subject{Provider: broker.ProviderID(r.PostFormValue("provider")), ID: r.PostFormValue("subject")}
	person := r.PostFormValue("person")
	if err := fields(string(sub.Provider), person); err != nil {
		return err
	}
	if sub.IsZero() {
		return broker.Errorf(broker.CodeInvalid, "The form does not say whose sessions are to end.")
	}
	if err := a.c.Admin.Revoke(r.Context(), sess, sub); err != nil {
		return err
	}
	backToSessions(w, person)
	return nil
}

func backToSessions(w http.ResponseWriter, person string) {
	to := "/admin/sessions"
	if person != "" {
		to += "?" + url.Values{"person": {person}}.Encode()
	}
	door.SeeOther(w, to)
}

// TracesPage finds a trace and lists what went wrong lately.
type TracesPage struct {
	page.Meta
	ID       string
	Problem  string // why there is no trace
	Started  time.Time
	Steps    []broker.TraceStep
	Cause    string // of the last step that failed
	Fix      string
	Events   []broker.EventRow
	Failures []broker.EventRow
}

// Template names the page.
func (TracesPage) Template() string { return "admin-traces" }

func (a *Admin) traces(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	out := TracesPage{Meta: a.meta(sess, "Sign-in traces"), ID: strings.TrimSpace(r.URL.Query().Get("id"))}
	if err := fields(out.ID); err != nil {
		return err
	}
	if out.ID == "" {
		var err error
		if out.Failures, err = a.c.Admin.Failures(r.Context(), sess); err != nil {
			return err
		}
		return a.render(w, out)
	}
	t, err := a.c.Admin.Trace(r.Context(), sess, out.ID)
	if broker.CodeOf(err) == broker.CodeNotFound {
		out.Problem = broker.Message(err) + " " + broker.Remedy(err)
		return a.render(w, out)
	}
	if err != nil {
		return err
	}
	out.ID, out.Started, out.Steps, out.Events = t.ID, t.Started, t.Steps(), t.Events
	for _, s := range out.Steps {
		if !s.OK {
			out.Cause = s.Detail
		}
	}
	for _, e := range out.Events {
		if fix := e.Detail["fix"]; fix != "" {
			out.Fix = fix
		}
	}
	return a.render(w, out)
}

// ExplainPage says why a person has what they have.
type ExplainPage struct {
	page.Meta
	Who     string
	Group   string // what if they were in it
	Problem string
	People  []PersonView
}

// Template names the page.
func (ExplainPage) Template() string { return "admin-explain" }

// PersonView is a person's last sign-in with each rule.
type PersonView struct {
	Subject  string
	Username string
	Email    string
	MFA      bool
	Groups   []string
	Rules    []broker.RuleResult
	Roles    []string
}

// maxListed bounds each list about one person.
const maxListed = 300

func (a *Admin) explain(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	q := r.URL.Query()
	out := ExplainPage{Meta: a.meta(sess, "Explain a person"), Who: strings.TrimSpace(q.Get("person")), Group: strings.TrimSpace(q.Get("group"))}
	if err := fields(out.Who, out.Group); err != nil {
		return err
	}
	found, err := a.c.Admin.Explain(r.Context(), sess, out.Who, out.Group)
	if broker.CodeOf(err) == broker.CodeNotFound {
		out.Problem = broker.Message(err) + " " + broker.Remedy(err)
		return a.render(w, out)
	}
	if err != nil {
		return err
	}
	for _, x := range found {
		v := PersonView{
			Subject: x.Identity.Subject.String(), Username: x.Identity.Username, Email: x.Identity.Email, MFA: x.Identity.MFA,
			Groups: x.Identity.Groups[:min(len(x.Identity.Groups), maxListed)], Rules: x.Rules[:min(len(x.Rules), maxListed)],
		}
		for _, as := range x.Assignments[:min(len(x.Assignments), maxListed)] {
			v.Roles = append(v.Roles, as.Role+" in "+as.Account.Name)
		}
		out.People = append(out.People, v)
	}
	return a.render(w, out)
}
