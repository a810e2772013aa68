package portal

import (
	"errors"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
)

// Ceremony is a begun passkey ceremony as the page's script needs it.
type Ceremony struct {
	ID      string
	Options string // JSON
}

// FactorPage asks for the second factor.
type FactorPage struct {
	page.Meta
	ReturnTo string
	Problem  string    // what is wrong with the last answer
	Passkey  *Ceremony // nil: the person has no passkey
	Code     bool      // the person has an authenticator app
	Recovery bool      // the person has recovery codes left
}

// Template names the page.
func (FactorPage) Template() string { return "factor" }

// EnrolPage offers what can be enrolled.
type EnrolPage struct {
	page.Meta
	ReturnTo string
	Problem  string
	Passkey  Ceremony
}

// Template names the page.
func (EnrolPage) Template() string { return "enrol" }

// CodePage shows the key of an authenticator app and asks for its first code.
type CodePage struct {
	page.Meta
	ReturnTo string
	Problem  string
	ID       string
	Name     string
	Secret   string // in groups of four
	Size     int    // of the picture
	Path     string
}

// Template names the page.
func (CodePage) Template() string { return "enrolcode" }

// RecoveryPage shows the recovery codes once.
type RecoveryPage struct {
	page.Meta
	Codes    []string
	ReturnTo string
}

// Template names the page.
func (RecoveryPage) Template() string { return "recovery" }

// SecurityPage lists the person's factors.
type SecurityPage struct {
	page.Meta
	Factors []FactorView
	Left    int // recovery codes
	Proven  bool
	Notice  *Notice
}

// Template names the page.
func (SecurityPage) Template() string { return "security" }

// FactorView is one factor.
type FactorView struct {
	ID, Name, Kind string
	CreatedAt      time.Time
	LastUsedAt     time.Time
}

// Notice asks to enrol before Until; zero: roles are closed until then.
type Notice struct{ Until time.Time }

// mountFactors registers the routes of rolegate's own second factor.
func (p *Portal) mountFactors(handle Handle) {
	handle("GET /security", p.signedIn(p.security))
	handle("GET /mfa", p.unlessPrefetch(p.signedIn(p.askFactor)))
	handle("POST /mfa", p.signedIn(p.useCode))
	handle("POST /mfa/passkey", p.signedIn(p.usePasskey))
	handle("GET /mfa/enrol", p.unlessPrefetch(p.signedIn(p.enrol)))
	handle("POST /mfa/enrol/passkey", p.signedIn(p.enrolPasskey))
	handle("POST /mfa/enrol/code", p.signedIn(p.enrolCode))
	handle("POST /mfa/enrol/code/confirm", p.signedIn(p.confirmCode))
	handle("POST /mfa/remove", p.signedIn(p.removeFactor))
}

// notice is what the pages say to a person who has to enrol; nil: nothing.
func (p *Portal) notice(r *http.Request, sess *broker.Session) (*Notice, error) {
	if p.c.Factors == nil {
		return nil, nil
	}
	until, due, err := p.c.Factors.Reminder(r.Context(), sess)
	if err != nil || !due {
		return nil, err
	}
	return &Notice{until}, nil
}

func (p *Portal) security(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	all, err := p.c.Factors.List(r.Context(), sess)
	if err != nil {
		return err
	}
	out := SecurityPage{Meta: p.meta(sess, "Second factor", "security"), Proven: sess.Identity.MFA}
	if out.Notice, err = p.notice(r, sess); err != nil {
		return err
	}
	for _, x := range all {
		switch x.Kind {
		case broker.FactorRecovery:
			out.Left = x.Left
		case broker.FactorPasskey:
			out.Factors = append(out.Factors, FactorView{x.ID, x.Name, "Passkey", x.CreatedAt, x.LastUsedAt})
		case broker.FactorCode:
			out.Factors = append(out.Factors, FactorView{x.ID, x.Name, "Authenticator app", x.CreatedAt, x.LastUsedAt})
		}
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

func (p *Portal) askFactor(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	return p.factorPage(w, r, sess, nil)
}

// factorPage asks for a factor, again after a wrong answer. A person without
// one is led to enrol.
func (p *Portal) factorPage(w http.ResponseWriter, r *http.Request, sess *broker.Session, wrong error) error {
	all, err := p.c.Factors.List(r.Context(), sess)
	if err != nil {
		return err
	}
	to := p.returnTo(r)
	if len(all) == 0 {
		door.SeeOther(w, door.WithReturn("/mfa/enrol", to))
		return nil
	}
	out := FactorPage{Meta: p.meta(sess, "Use your second factor", ""), ReturnTo: to}
	for _, x := range all {
		switch x.Kind {
		case broker.FactorCode:
			out.Code = true
		case broker.FactorRecovery:
			out.Recovery = x.Left > 0
		case broker.FactorPasskey:
			if out.Passkey != nil {
				continue
			}
			id, options, err := p.c.Factors.BeginPasskey(r.Context(), sess)
			if err != nil {
				return err
			}
			out.Passkey = &Ceremony{id.Reveal(), string(options)}
		}
	}
	status := http.StatusOK
	if wrong != nil {
		status, out.Problem = http.StatusUnprocessableEntity, said(wrong)
	}
	return p.c.Pages.Render(w, status, out)
}

func said(err error) string {
	if fix := broker.Remedy(err); fix != "" {
		return broker.Message(err) + " " + fix
	}
	return broker.Message(err)
}

func (p *Portal) useCode(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	proven, err := p.c.Factors.UseCode(r.Context(), sess, r.PostFormValue("code"))
	return p.used(w, r, sess, proven, err)
}

func (p *Portal) usePasskey(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	proven, err := p.c.Factors.UsePasskey(r.Context(), sess, broker.NewSecret(r.PostFormValue("id")), []byte(r.PostFormValue("answer")))
	return p.used(w, r, sess, proven, err)
}

// used goes back to the click, in the session that is worth more.
func (p *Portal) used(w http.ResponseWriter, r *http.Request, sess *broker.Session, proven factor.Proven, err error) error {
	if broker.CodeOf(err) == broker.CodeUnauthenticated {
		return p.factorPage(w, r, sess, err)
	}
	if err != nil {
		return err
	}
	if err := p.c.Sessions.Start(w, proven.Token); err != nil {
		return err
	}
	p.goOn(w, p.returnTo(r))
	return nil
}

// mayChange leads to what is missing for a change of factors.
func (p *Portal) mayChange(w http.ResponseWriter, r *http.Request, sess *broker.Session, back string) (bool, error) {
	err := p.c.Factors.MayChange(r.Context(), sess)
	if e, ok := errors.AsType[*broker.Error](err); ok && e.StepUp != nil && e.StepUp.MFA {
		door.SeeOther(w, door.WithReturn("/mfa", back))
		return false, nil
	}
	if err != nil {
		return false, p.c.Door.Fail(sess, err, back)
	}
	return true, nil
}

func (p *Portal) enrol(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	return p.enrolPage(w, r, sess, nil)
}

func (p *Portal) enrolPage(w http.ResponseWriter, r *http.Request, sess *broker.Session, wrong error) error {
	to := p.returnTo(r)
	if ok, err := p.mayChange(w, r, sess, door.WithReturn("/mfa/enrol", to)); !ok {
		return err
	}
	id, options, err := p.c.Factors.EnrolPasskey(r.Context(), sess)
	if err != nil {
		return err
	}
	out := EnrolPage{
		Meta: p.meta(sess, "Set up a second factor", ""), ReturnTo: to, Passkey: Ceremony{id.Reveal(), string(options)},
	}
	status := http.StatusOK
	if wrong != nil {
		status, out.Problem = http.StatusUnprocessableEntity, said(wrong)
	}
	return p.c.Pages.Render(w, status, out)
}

func (p *Portal) enrolPasskey(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	proven, err := p.c.Factors.FinishPasskey(r.Context(), sess, broker.NewSecret(r.PostFormValue("id")),
		r.PostFormValue("name"), []byte(r.PostFormValue("answer")))
	switch broker.CodeOf(err) {
	case broker.CodeUnauthenticated, broker.CodeConflict, broker.CodeStepUp:
		return p.enrolPage(w, r, sess, err)
	default:
		return p.enrolled(w, r, proven, err)
	}
}

func (p *Portal) enrolCode(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	if ok, err := p.mayChange(w, r, sess, door.WithReturn("/mfa/enrol", p.returnTo(r))); !ok {
		return err
	}
	begun, err := p.c.Factors.EnrolCode(r.Context(), sess)
	if err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, p.codePage(r, sess, begun))
}

func (p *Portal) codePage(r *http.Request, sess *broker.Session, n factor.NewCode) CodePage {
	out := CodePage{
		Meta: p.meta(sess, "Set up an authenticator app", ""), ReturnTo: p.returnTo(r), ID: n.ID.Reveal(), Name: r.PostFormValue("name"),
		Size: n.Key.Picture.Size, Path: n.Key.Picture.Path.Reveal(),
	}
	for i, c := range n.Key.Secret.Reveal() {
		if i > 0 && i%4 == 0 {
			out.Secret += " "
		}
		out.Secret += string(c)
	}
	return out
}

func (p *Portal) confirmCode(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	id := broker.NewSecret(r.PostFormValue("id"))
	proven, err := p.c.Factors.FinishCode(r.Context(), sess, id, r.PostFormValue("name"), r.PostFormValue("code"))
	switch broker.CodeOf(err) {
	case broker.CodeUnauthenticated:
		begun, again := p.c.Factors.ResumeCode(r.Context(), sess, id)
		if again != nil {
			return p.enrolPage(w, r, sess, err)
		}
		out := p.codePage(r, sess, begun)
		out.Problem = said(err)
		return p.c.Pages.Render(w, http.StatusUnprocessableEntity, out)
	case broker.CodeConflict, broker.CodeStepUp:
		return p.enrolPage(w, r, sess, err)
	default:
		return p.enrolled(w, r, proven, err)
	}
}

// enrolled goes back to the click, by way of the recovery codes if there are
// new ones.
func (p *Portal) enrolled(w http.ResponseWriter, r *http.Request, proven factor.Proven, err error) error {
	if err != nil {
		return err
	}
	if err := p.c.Sessions.Start(w, proven.Token); err != nil {
		return err
	}
	to := p.returnTo(r)
	if to == "/" {
		to = "/security"
	}
	if len(proven.RecoveryCodes) == 0 {
		p.goOn(w, to)
		return nil
	}
	out := RecoveryPage{Meta: p.meta(proven.Session, "Keep your recovery codes", ""), ReturnTo: to}
	if _, entered := cookie.SplitEntry(to); entered {
		out.ReturnTo = door.WithReturn("/signin", to) // which turns the entry into its cookie
	}
	for _, c := range proven.RecoveryCodes {
		out.Codes = append(out.Codes, c.Reveal())
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

func (p *Portal) removeFactor(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	if ok, err := p.mayChange(w, r, sess, "/security"); !ok {
		return err
	}
	if err := p.c.Factors.Remove(r.Context(), sess, r.PostFormValue("factor")); err != nil {
		return err
	}
	door.SeeOther(w, "/security")
	return nil
}
