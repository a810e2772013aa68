package portal

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// GoPage asks before a link of another site opens the console.
type GoPage struct {
	page.Meta
	Account     AccountView
	Role        RoleView
	Destination broker.Destination
}

// Template names the page.
func (GoPage) Template() string { return "go" }

// maxField bounds the short fields of our own forms and links.
const maxField = 256

func fields(values ...string) error {
	for _, v := range values {
		if len(v) > maxField {
			return broker.Errorf(broker.CodeInvalid, "This link or form has been changed and cannot be used.").
				Fix("Go back to the portal and choose the role there.")
		}
	}
	return nil
}

func (p *Portal) console(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	id, d := r.PostFormValue("assignment"), broker.Destination{Path: r.PostFormValue("destination"), Region: r.PostFormValue("region")}
	if err := fields(id, d.Path, d.Region); err != nil {
		return err
	}
	link, err := p.c.Access.ConsoleURL(r.Context(), sess, access.ConsoleRequest{Assignment: broker.AssignmentID(id), Destination: d})
	if err != nil {
		return p.c.Door.Fail(sess, err, p.comeBack(r, sess, broker.AssignmentID(id), d))
	}
	toAWS(w, link)
	return nil
}

// toAWS redirects to a sign-in link, which is a secret for one browser.
func toAWS(w http.ResponseWriter, link broker.Secret) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	door.SeeOther(w, link.Reveal())
}

// comeBack is the deep link to repeat a click on an assignment after signing in
// again; the click itself was the person's.
func (p *Portal) comeBack(r *http.Request, sess *broker.Session, id broker.AssignmentID, d broker.Destination) string {
	as, err := p.c.Access.Assignments(r.Context(), sess)
	if err != nil {
		return "/"
	}
	for _, a := range as {
		if a.ID == id {
			return markEntry(r, access.GoPath(a, d), direct) // the click was on a form of ours
		}
	}
	return "/"
}

func (p *Portal) deepLink(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	q := r.URL.Query()
	account, role := q.Get("account"), q.Get("role")
	d := broker.Destination{Path: q.Get("destination"), Region: q.Get("region")}
	if err := fields(account, role, d.Path, d.Region); err != nil {
		return err
	}
	if account == "" || role == "" {
		return broker.Errorf(broker.CodeInvalid, "This link does not name an account and a role.").
			Fix("A link to the console looks like /go?account=prod&role=Admin.")
	}
	a, err := p.c.Access.FindAssignment(r.Context(), sess, broker.ActionConsole, account, role)
	if err != nil {
		return err
	}
	// Entered comes first: it also takes the note away. Whoever is redirected here
	// without it is asked, also behind a form of ours: another site may have led
	// to the form.
	if !p.c.Sessions.Entered(w, r, r.URL.RequestURI()) && !opened(r) {
		return p.c.Pages.Render(w, http.StatusOK, GoPage{
			Meta: p.meta(sess, "Open the AWS console?", ""), Account: newAccountView(a.Account), Role: newRoleView(&a), Destination: d,
		})
	}
	link, err := p.c.Access.ConsoleURL(r.Context(), sess, access.ConsoleRequest{Assignment: a.ID, Destination: d})
	if err != nil {
		return p.c.Door.Fail(sess, err, cookie.MarkEntry(r.URL.RequestURI()))
	}
	toAWS(w, link)
	return nil
}
