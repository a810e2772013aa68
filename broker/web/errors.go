package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/web/awssso"
	"github.com/rolegate/rolegate/broker/web/oauth"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// retryAfter is how many seconds a client waits after a 503 or 429.
const retryAfter = "10"

// fallbackTrace stands for the trace id in the error page rendered at start.
const fallbackTrace = "trace-id-of-this-request"

var errFallback = errors.New("web: page cannot be rendered")

// statuses maps codes to HTTP. A code that is missing is an internal error.
var statuses = map[broker.Code]struct {
	status int
	title  string
}{
	broker.CodeInvalid:         {http.StatusBadRequest, "That did not work"},
	broker.CodeUnauthenticated: {http.StatusUnauthorized, "You are not signed in"},
	broker.CodeDenied:          {http.StatusForbidden, "This is not allowed"},
	broker.CodeStepUp:          {http.StatusUnauthorized, "One more step is needed"},
	broker.CodeNotFound:        {http.StatusNotFound, "Nothing here"},
	broker.CodeConflict:        {http.StatusConflict, "Somebody else was faster"},
	broker.CodeRateLimited:     {http.StatusTooManyRequests, "Too many tries"},
	broker.CodePending:         {http.StatusBadRequest, "Not yet"},
	broker.CodeSlowDown:        {http.StatusBadRequest, "Too often"},
	broker.CodeUnavailable:     {http.StatusServiceUnavailable, "Not available right now"},
	broker.CodeInternal:        {http.StatusInternalServerError, "Something went wrong"},
}

// errorPage is what a person sees of an error.
type errorPage struct {
	page.Meta
	Status   int
	Code     broker.Code
	Message  string
	Remedy   string
	TraceID  string // "": nothing is kept that it would lead to
	Provider string // name of the identity provider it is about
	StepUp   *api.StepUp
	Action   string // of the step-up form
	Factor   string // where to use rolegate's own second factor
	Again    string // address to sign in again
	ReturnTo string
}

// Template names the page.
func (errorPage) Template() string { return "error" }

func statusOf(err error) (status int, title string) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, "That was too much"
	}
	if errors.Is(err, errMethod) {
		return http.StatusMethodNotAllowed, "That does not work here"
	}
	row := statuses[broker.CodeOf(err)]
	return row.status, row.title
}

func newErrorPage(status int, err error, traceID string) errorPage {
	_, title := statusOf(err)
	out := errorPage{
		Meta: page.Meta{Title: title}, Status: status, Code: broker.CodeOf(err), Message: broker.Message(err), Remedy: broker.Remedy(err), TraceID: traceID,
	}
	if out.Code == broker.CodeInternal {
		out.Remedy = "Try again. If it stays, tell your administrator the trace id below."
		if traceID == "" {
			out.Remedy = "Try again. If it stays, tell your administrator at what time you tried."
		}
	}
	f, ok := errors.AsType[*page.Failure](err)
	if !ok {
		return out
	}
	out.Provider, out.ReturnTo, out.Refresh = f.Name, f.ReturnTo, f.Refresh
	switch {
	case f.Title != "":
		out.Title = f.Title
	case f.TraceID != "":
		out.Title = "Signing in did not work"
	}
	var start string
	if f.Provider != "" {
		start = "/signin/" + url.PathEscape(string(f.Provider))
	} else {
		start = "/signin"
	}
	if e, ok := errors.AsType[*broker.Error](err); ok && e.StepUp != nil && f.Provider != "" {
		out.StepUp, out.Action = api.NewStepUp(e.StepUp), start
		if f.Factor == "" || !e.StepUp.MFA {
			return out
		}
		// Our own factor counts. A sign-in that is too old comes first, as our
		// proof would go with the session; a provider that cannot prove a factor
		// is not asked for one.
		switch {
		case e.StepUp.MaxAuthAge > 0:
			out.StepUp.MFA = false
		case f.Unproven:
			out.StepUp, out.Factor = nil, f.Factor
		default:
			out.Factor = f.Factor
		}
		return out
	}
	if f.ReturnTo != "" && f.ReturnTo != "/" {
		start += "?" + url.Values{"return_to": {f.ReturnTo}}.Encode()
	}
	out.Again = start
	return out
}

// renderError answers with err, keeps its trace and notes it for the log.
func (s *Server) renderError(w http.ResponseWriter, r *http.Request, err error) {
	info := requestFrom(r.Context())
	info.fail(err)
	info.kept = s.keptTrace(r, info, err)
	status, title := statusOf(err)
	h := w.Header()
	backChannel, _ := errors.AsType[*page.BackChannel](err)
	if backChannel != nil && status != http.StatusTooManyRequests {
		status = http.StatusBadRequest // whatever went wrong (Back-Channel Logout 2.8); what was not looked at may come again
	}
	h.Del("Content-Length")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		h.Set("Retry-After", waitFor(err))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(err))
	}
	if backChannel != nil {
		wire.JSON(w, status, map[string]string{"error": oauthCode(err), "error_description": broker.Message(err)})
		return
	}
	if shape := shapeOf(r.URL.Path); shape != nil && !errors.Is(err, errCrossSite) { // a browser sent that
		a := shape(err, status)
		h.Del("WWW-Authenticate")
		for k, v := range a.Header {
			h.Set(k, v)
		}
		wire.JSON(w, a.Status, a.Body)
		return
	}
	if wantsJSON(r) {
		problem(w, status, title, err, info.kept)
		return
	}
	if renderErr := s.pages.Render(w, status, newErrorPage(status, err, info.kept)); renderErr != nil {
		info.cause += "; " + renderErr.Error()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", page.Policy())
		w.WriteHeader(http.StatusInternalServerError)
		body := s.bare
		if info.kept != "" {
			body = bytes.ReplaceAll(s.fallback, []byte(fallbackTrace), []byte(info.kept))
		}
		_, _ = w.Write(body) // the client went away: nobody to tell
	}
}

// waitFor is the Retry-After value: what the error says, rounded up.
func waitFor(err error) string {
	if e, ok := errors.AsType[*broker.Error](err); ok && e.RetryAfter > 0 {
		return strconv.Itoa(int((e.RetryAfter + time.Second - 1) / time.Second))
	}
	return retryAfter
}

// shapeOf returns how errors look at an address of a protocol, nil elsewhere.
func shapeOf(path string) wire.Shape {
	switch {
	case strings.HasPrefix(path, oauth.Prefix):
		return oauth.Shape
	case strings.HasPrefix(path, awssso.PrefixOIDC):
		return awssso.ShapeOIDC
	case strings.HasPrefix(path, awssso.PrefixPortal):
		return awssso.ShapePortal
	}
	return nil
}

// keptTrace returns the id under which an administrator finds what happened, ""
// if there is nothing to find: an id that leads nowhere is not shown.
//
// A sign-in or sign-out has kept its own trace, unless it was slowed down or the
// store did not answer. Of the rest, what anybody can provoke without signing in
// (not found, bad input) is in the log only, so that nobody fills the store.
func (s *Server) keptTrace(r *http.Request, info *requestInfo, err error) string {
	// The answer does not wait long for a store that may be what is broken.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 2*time.Second)
	defer cancel()
	if f, ok := errors.AsType[*page.Failure](err); ok && f.TraceID != "" {
		if _, lookErr := s.c.Journal.Trace(ctx, f.TraceID); lookErr != nil {
			info.cause += "; trace not kept: " + lookErr.Error()
			return ""
		}
		return f.TraceID
	}
	switch info.code {
	case broker.CodeNotFound, broker.CodeInvalid, broker.CodeUnauthenticated, broker.CodeRateLimited,
		broker.CodePending, broker.CodeSlowDown:
		return ""
	default:
	}
	if errors.Is(err, errCrossSite) {
		return ""
	}
	info.trace.Fail("request", "%s %s: %v", clip(r.Method, 20), clip(r.URL.Path, 200), err)
	if saveErr := s.c.Journal.Keep(ctx, info.trace); saveErr != nil {
		info.cause += "; trace not kept: " + saveErr.Error()
		return ""
	}
	return info.trace.ID
}

// challenge is the WWW-Authenticate value of a 401 (RFC 6750 3, RFC 9470 3).
func challenge(err error) string {
	e, ok := errors.AsType[*broker.Error](err)
	if !ok || e.StepUp == nil {
		return `Bearer realm="rolegate"`
	}
	v := `Bearer realm="rolegate", error="insufficient_user_authentication", error_description="stronger or fresher authentication is needed"`
	if e.StepUp.MaxAuthAge > 0 {
		v += fmt.Sprintf(", max_age=%q", strconv.Itoa(int(e.StepUp.MaxAuthAge.Seconds())))
	}
	if e.StepUp.MFA {
		v += `, acr_values="mfa"`
	}
	return v
}

// oauthCode is the error code for a provider on the back channel (RFC 6749 5.2
// and 4.1.2.1).
func oauthCode(err error) string {
	if c := broker.CodeOf(err); c == broker.CodeUnavailable || c == broker.CodeInternal {
		return "temporarily_unavailable"
	}
	return "invalid_request"
}

// wantsJSON decides by Accept; programs that do not say get JSON on the API.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	if strings.Contains(accept, "text/html") {
		return false
	}
	return strings.HasPrefix(r.URL.Path, "/api/") || strings.Contains(accept, "json")
}

func problem(w http.ResponseWriter, status int, title string, err error, traceID string) {
	p := api.Problem{
		Type: "about:blank", Title: title, Status: status, Detail: broker.Message(err), Code: broker.CodeOf(err),
		Remedy: broker.Remedy(err), TraceID: traceID,
	}
	if e, ok := errors.AsType[*broker.Error](err); ok {
		p.StepUp = api.NewStepUp(e.StepUp)
	}
	writeJSON(w, status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // our own types: cannot happen
		status, b = http.StatusInternalServerError, []byte(`{"type":"about:blank","status":500}`)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client went away: nobody to tell
}
