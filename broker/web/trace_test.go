package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
)

// shownTrace is the trace id of a page or of a problem document, "" if there is
// none; anything else that looks like one is an error.
func shownTrace(t *testing.T, a answer) string {
	t.Helper()
	shown := traceOf(a.body)
	if strings.Contains(a.Header.Get("Content-Type"), "json") {
		var p api.Problem
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			t.Fatal(err)
		}
		shown = p.TraceID
	}
	for _, like := range regexp.MustCompile(`\b[a-z]{3,12}-[a-z]{3,12}-[a-z]{3,12}-[0-9]{2}\b`).FindAllString(a.body, -1) {
		if like != shown {
			t.Errorf("%q looks like a trace id", like)
		}
	}
	return shown
}

// TestShownTracesResolve ensures of error answers of every status, as pages and
// as documents, that an administrator finds each trace id on them, that what is
// kept is shown, and that what anybody can provoke has none and keeps none.
func TestShownTracesResolve(t *testing.T) {
	asJSON := header("Accept", "application/json")
	limits := map[limit.Kind]limit.Rate{
		limit.SignIn: {Address: 1, Per: time.Minute}, limit.SignInFinish: {Address: 1, Per: time.Minute}, limit.Device: {Address: 1, Per: time.Minute},
	}
	for _, row := range []struct {
		name   string
		do     func(h *house) answer
		status int
		kept   bool
	}{
		{"no such page", func(h *house) answer { return h.get("/nothing") }, 404, false},
		{"no such page, JSON", func(h *house) answer { return h.get("/nothing", asJSON) }, 404, false},
		{"no such provider", func(h *house) answer { return h.get("/signin/nobody") }, 404, false},
		{"another method", func(h *house) answer { return h.get("/signout") }, 405, false},
		{"bad step-up", func(h *house) answer { return h.post("/signin/okta", url.Values{"max_auth_age": {"x"}}) }, 400, false},
		{"bad document", func(h *house) answer { h.signIn(); return h.json(`{}{}`) }, 400, false},
		{"too large", func(h *house) answer { h.signIn(); return h.json(strings.Repeat(" ", 1<<20)) }, 413, false},
		{"not signed in", func(h *house) answer { return h.get(api.PathMe) }, 401, false},
		{"not signed in, page", func(h *house) answer { return h.post("/console", url.Values{"assignment": {"x"}}) }, 401, false},
		{"another site", func(h *house) answer { h.signIn(); return h.post("/signout", nil, fromElsewhere) }, 403, false},
		{"too many tries", func(h *house) answer { h.get("/signin/entra"); return h.get("/signin/okta") }, 429, false},
		{"too many answers", func(h *house) answer { h.acs(); return h.acs() }, 429, false},
		{"too many answers, begun here", func(h *house) answer {
			h.get("/signin/okta")
			h.get("/oidc/entra/callback?code=c&state=x")
			return h.acs()
		}, 429, false},
		{"an answer to nothing", func(h *house) answer { return h.acs() }, 401, true},
		{"a forged answer", func(h *house) answer {
			h.saml.err = broker.Errorf(broker.CodeUnauthenticated, "The signature does not verify.")
			h.get("/signin/okta")
			return h.acs()
		}, 401, true},
		{"a provider that is down", func(h *house) answer { h.saml.beginErr = brokertest.ErrDown; return h.get("/signin/okta") }, 503, true},
		{"a trace of somebody's making", func(h *house) answer { return h.get("/saml/okta/acs?trace=acorn-actor-adobe-01", fromElsewhere) }, 401, false},
		{"not mine", func(h *house) answer { h.signIn(); return h.credentials("nothing", 0) }, 403, true},
		{"not mine, page", func(h *house) answer { h.signIn(); return h.post("/console", url.Values{"assignment": {"x"}}) }, 403, true},
		{"no administrator", func(h *house) answer { h.signIn(); return h.get("/admin") }, 403, true},
		{"the store is down", func(h *house) answer { h.signIn(); h.store.Down(true); return h.get("/") }, 503, false},
		{"the store goes down in a sign-in", func(h *house) answer { h.get("/signin/okta"); h.store.Down(true); return h.acs() }, 503, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			if row.status == http.StatusTooManyRequests {
				h = limited(t, limits)
			}
			a := row.do(h).want(t, row.status)
			h.store.Down(false)
			shown := shownTrace(t, a)
			if (shown != "") != row.kept {
				t.Errorf("the answer has the trace id %q", shown)
			}
			if strings.Contains(a.body, "Trace id") != (traceOf(a.body) != "") || shown == "" && strings.Contains(a.body, "trace_id") {
				t.Errorf("a trace id is announced in\n%s", a.body)
			}
			if shown != "" {
				if _, err := h.broker.Journal.Trace(t.Context(), shown); err != nil {
					t.Errorf("the trace %s cannot be found: %v", shown, err)
				}
			}
			log := h.logs.String()
			if log = log[strings.LastIndex(strings.TrimSpace(log), "\n")+1:]; strings.Contains(log, `"trace_id":"`+shown+`"`) != row.kept || !strings.Contains(log, `"request_id":"`) {
				t.Errorf("the log says %s", log)
			}
		})
	}
}
