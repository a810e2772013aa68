package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/door"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// AuthorizePage asks whether a program may act for the person.
type AuthorizePage struct {
	page.Meta
	Client  string
	Named   bool   // the program gave itself its name, and nobody has verified it
	Host    string // as the program says
	Address string // where on this machine the answer goes; "" for a code to paste
	Fields  []Field
	Closed  bool // some of the person's roles need more proof than the session has
}

// Template names the page.
func (AuthorizePage) Template() string { return "authorize" }

// Field is a hidden value of a form.
type Field struct{ Name, Value string }

// PastePage shows a code to carry over to the program.
type PastePage struct {
	page.Meta
	Client string
	Code   string
}

// Template names the page.
func (PastePage) Template() string { return "paste" }

// maxHost bounds the host name a program gives, before it is cleaned.
const maxHost = 400

// kept are the parameters that the form carries from the question to the
// answer, where all of them are checked again.
var kept = []string{
	"client_id", "redirect_uri", "response_type", "state", "code_challenge", "code_challenge_method", "host", "acr_values", "max_age",
}

func parseRequest(form url.Values) (program.Authorize, error) {
	v, err := wire.Once(form)
	if err != nil {
		return program.Authorize{}, err
	}
	out := program.Authorize{
		ClientID: v["client_id"], RedirectURI: v["redirect_uri"], ResponseType: v["response_type"], State: v["state"],
		Challenge: v["code_challenge"], ChallengeMethod: v["code_challenge_method"], Host: v["host"],
	}
	if len(out.Host) > maxHost {
		out.Host = out.Host[:maxHost]
	}
	out.Need, err = needOf(v)
	return out, err
}

// needOf is what a program asks of the sign-in, in the words of RFC 9470.
func needOf(v map[string]string) (broker.Requirement, error) {
	out := broker.Requirement{MFA: slices.Contains(strings.Fields(v["acr_values"]), "mfa")}
	if s := v["max_age"]; s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 86400 {
			return out, broker.Errorf(broker.CodeInvalid, "max_age is a number of seconds from 1 to 86400.")
		}
		out.MaxAuthAge = time.Duration(n) * time.Second
	}
	return out, nil
}

// check refuses a request. Until client and redirect URI are known to belong
// together, the person is told; after that, the program.
func (o *OAuth) check(w http.ResponseWriter, form url.Values) (program.Authorize, program.Client, bool, error) {
	req, err := parseRequest(form)
	if err != nil {
		return req, program.Client{}, false, err
	}
	c, err := o.c.Programs.CheckClient(req)
	if err != nil {
		return req, c, false, &page.Failure{Err: err}
	}
	if err := req.Check(); err != nil {
		if req.RedirectURI == program.RedirectPaste {
			return req, c, false, err
		}
		o.back(w, req, url.Values{"error": {wire.InvalidRequest}, "error_description": {broker.Message(err)}})
		return req, c, false, nil
	}
	return req, c, true, nil
}

// back sends the browser to the program with the answer (RFC 6749 4.1.2, RFC
// 9207).
func (o *OAuth) back(w http.ResponseWriter, req program.Authorize, answer url.Values) {
	if len(req.State) <= 512 {
		answer.Set("state", req.State)
	}
	answer.Set("iss", o.c.PublicURL)
	w.Header().Set("Referrer-Policy", "no-referrer")
	door.SeeOther(w, req.RedirectURI+"?"+answer.Encode())
}

func (o *OAuth) ask(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	q := r.URL.Query()
	req, c, ok, err := o.check(w, q)
	if !ok {
		return err
	}
	closed, err := o.c.Programs.Admits(r.Context(), sess, req.Need)
	if err != nil {
		return o.c.Door.Fail(sess, err, r.URL.RequestURI())
	}
	out := AuthorizePage{Meta: o.meta(sess, "Let "+c.Name+" in?"), Client: c.Name, Named: c.Registered, Host: broker.CleanLabel(req.Host, 100), Closed: closed}
	if req.RedirectURI != program.RedirectPaste {
		u, err := url.Parse(req.RedirectURI)
		if err != nil {
			return err
		}
		out.Address = u.Host
		// Chromium applies form-action to the redirect of the answer, and takes
		// no IPv6 address as a source: only the port is held then.
		origin := "http://" + u.Host
		if strings.Contains(u.Host, "[") {
			origin = "http://*:" + u.Port()
		}
		out.FormAction = []string{origin}
	}
	for _, name := range kept {
		if v := q.Get(name); v != "" {
			out.Fields = append(out.Fields, Field{name, v})
		}
	}
	return o.c.Pages.Render(w, http.StatusOK, out)
}

// errStronger leads to a second factor that the person wants to prove first.
var errStronger = (&broker.Error{Code: broker.CodeStepUp, StepUp: &broker.StepUp{MFA: true}, Message: "Prove your second factor first."}).
	Fix("Then you come back here, and the program gets the roles that need it, too.")

func (o *OAuth) answer(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	answer := r.PostForm.Get("answer")
	form := url.Values{}
	for k, v := range r.PostForm {
		if k != "answer" {
			form[k] = v
		}
	}
	req, c, ok, err := o.check(w, form)
	if !ok {
		return err
	}
	switch answer {
	case "yes":
	case "stronger":
		return o.c.Door.Fail(sess, errStronger, PathAuthorize+"?"+form.Encode())
	case "no":
		if err := o.c.Programs.Deny(r.Context(), sess, req); err != nil {
			return err
		}
		if req.RedirectURI == program.RedirectPaste {
			return o.c.Pages.Render(w, http.StatusOK, DevicePage{Meta: o.meta(sess, "Not let in"), Client: c.Name, Done: "denied"})
		}
		o.back(w, req, url.Values{"error": {wire.AccessDenied}})
		return nil
	default:
		return broker.Errorf(broker.CodeInvalid, "This form has been changed and cannot be used.").Fix("Start again in your program.")
	}
	code, err := o.c.Programs.Approve(r.Context(), sess, req)
	if err != nil {
		return o.c.Door.Fail(sess, err, PathAuthorize+"?"+form.Encode())
	}
	if req.RedirectURI == program.RedirectPaste {
		return o.c.Pages.Render(w, http.StatusOK, PastePage{Meta: o.meta(sess, "Your code"), Client: c.Name, Code: code.Reveal()})
	}
	o.back(w, req, url.Values{"code": {code.Reveal()}})
	return nil
}
