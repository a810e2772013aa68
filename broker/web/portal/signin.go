package portal

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// SignInPage lets a person choose an identity provider.
type SignInPage struct {
	page.Meta
	Providers []ProviderLink
	ByEmail   bool // some provider has e-mail domains
	Email     string
	Problem   string // what is wrong with Email
	ReturnTo  string
}

// Template names the page.
func (SignInPage) Template() string { return "signin" }

// ProviderLink starts a sign-in at a provider.
type ProviderLink struct {
	Name, Href string
	Down       bool // it did not answer at the last try
}

// ContinuePage sends the browser on after a form, outside of the form's own
// redirects: Chromium would hold those to the form's policy.
type ContinuePage struct {
	page.Meta
	Text, Label, Href string
	Other, OtherHref  string // a second way on, if there is one
}

// Template names the page.
func (ContinuePage) Template() string { return "continue" }

func (p *Portal) chooser(w http.ResponseWriter, r *http.Request) error {
	to := p.returnTo(r)
	_, err := p.c.Sessions.Current(r)
	switch {
	case err == nil:
		p.goOn(w, to)
		return nil
	case broker.CodeOf(err) != broker.CodeUnauthenticated:
		return err
	}
	if all := p.c.SignIn.Providers(); len(all) == 1 {
		door.SeeOther(w, startPath(all[0].ID, to))
		return nil
	}
	return p.c.Pages.Render(w, http.StatusOK, p.signInPage(to, "", ""))
}

func (p *Portal) signInPage(to, email, problem string) SignInPage {
	out := SignInPage{Meta: page.Meta{Title: "Sign in"}, Email: email, Problem: problem, ReturnTo: to}
	for _, x := range p.c.SignIn.Providers() {
		s, _ := x.Status()
		out.Providers = append(out.Providers, ProviderLink{x.Name, startPath(x.ID, to), s.Down()})
		out.ByEmail = out.ByEmail || len(x.EmailDomains) > 0
	}
	return out
}

func startPath(id broker.ProviderID, to string) string {
	path := "/signin/" + url.PathEscape(string(id))
	if to == "/" {
		return path
	}
	return path + "?" + url.Values{"return_to": {to}}.Encode()
}

// goOn redirects to a return path, its entry turned into a cookie.
func (p *Portal) goOn(w http.ResponseWriter, to string) {
	bare, entered := cookie.SplitEntry(to)
	if entered {
		p.c.Sessions.Enter(w, bare)
	}
	door.SeeOther(w, bare)
}

func (p *Portal) chooseByEmail(w http.ResponseWriter, r *http.Request) error {
	to, email := p.returnTo(r), strings.TrimSpace(r.PostFormValue("email"))
	if len(email) > 254 { // RFC 5321 4.5.3.1
		email = ""
	}
	x, ok := p.c.SignIn.ProviderFor(email)
	if !ok {
		problem := "Write your whole work e-mail address, like name@example.com."
		if _, domain, found := strings.Cut(email, "@"); found && domain != "" {
			problem = "No identity provider is set up for " + domain + ". Check the spelling, or choose one below."
		}
		return p.c.Pages.Render(w, http.StatusUnprocessableEntity, p.signInPage(to, email, problem))
	}
	return p.c.Pages.Render(w, http.StatusOK, continueTo(x.Name, "sign in", startPath(x.ID, to)))
}

func continueTo(provider, purpose, href string) ContinuePage {
	return ContinuePage{
		Meta: page.Meta{Title: "Continue to " + provider, Refresh: href},
		Text: "You are being taken to " + provider + " to " + purpose + ".", Label: "Continue to " + provider, Href: href,
	}
}

// start begins a sign-in. Where the browser has a session already, a link of
// another site asks before that is replaced: it may be worth more than the new
// one, with rolegate's own second factor in it.
func (p *Portal) start(w http.ResponseWriter, r *http.Request) error {
	if sess, err := p.c.Sessions.Current(r); err == nil && foreign(r) {
		return p.startAgain(w, r, sess)
	}
	x, begun, err := p.begin(w, r, nil)
	if err != nil {
		return err
	}
	if begun.Challenge.Form != nil {
		return p.post(w, x, begun.Challenge)
	}
	door.SeeOther(w, begun.Challenge.URL)
	return nil
}

func (p *Portal) startAgain(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	x, err := p.c.Door.Provider(broker.ProviderID(r.PathValue("idp")))
	if err != nil {
		return err
	}
	to := p.returnTo(r)
	return p.c.Pages.Render(w, http.StatusOK, ContinuePage{
		Meta:  p.meta(sess, "You are signed in already", ""),
		Text:  "A link outside of rolegate wants you to sign in at " + x.Name + " again. That would end the session that you have.",
		Label: "Keep my session", Href: to, Other: "Sign in again", OtherHref: startPath(x.ID, to),
	})
}

// stepUp starts a sign-in that asks for more. The form may ask for anything:
// whether a role's requirement is met is judged again when the role is used.
func (p *Portal) stepUp(w http.ResponseWriter, r *http.Request) error {
	wanted := broker.StepUp{MFA: r.PostFormValue("mfa") == "true"}
	if s := r.PostFormValue("max_auth_age"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 86400 {
			return broker.Errorf(broker.CodeInvalid, "The longest age of a sign-in is a number of seconds up to a day.")
		}
		wanted.MaxAuthAge = time.Duration(n) * time.Second
	}
	x, begun, err := p.begin(w, r, &wanted)
	if err != nil {
		return err
	}
	if begun.Challenge.Form != nil {
		return p.post(w, x, begun.Challenge)
	}
	return p.c.Pages.Render(w, http.StatusOK, continueTo(x.Name, "sign in", begun.Challenge.URL))
}

func (p *Portal) begin(w http.ResponseWriter, r *http.Request, stepUp *broker.StepUp) (broker.Provider, signin.Begun, error) {
	x, err := p.c.Door.Provider(broker.ProviderID(r.PathValue("idp")))
	if err != nil {
		return x, signin.Begun{}, err
	}
	replaces := ""
	switch sess, err := p.c.Sessions.Current(r); {
	case err == nil:
		replaces = sess.Key
	case broker.CodeOf(err) != broker.CodeUnauthenticated:
		return x, signin.Begun{}, err
	}
	begun, err := p.c.SignIn.Begin(r.Context(), signin.Request{
		Provider: x.ID, ReturnTo: p.returnTo(r), Binding: p.c.Sessions.Binding(r), StepUp: stepUp, Replaces: replaces,
	})
	if err != nil {
		return x, begun, &page.Failure{Err: err, TraceID: begun.TraceID, Provider: x.ID, Name: x.Name, ReturnTo: p.returnTo(r)}
	}
	p.c.Sessions.Bind(w, begun.Binding)
	return x, begun, nil
}

func (p *Portal) post(w http.ResponseWriter, x broker.Provider, c broker.Challenge) error {
	out, err := page.NewPost("Continue to "+x.Name, "You are being taken to "+x.Name+" to sign in.", c, p.c.IdPOrigins[x.ID])
	if err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}
