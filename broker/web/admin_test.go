package web_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web"
	webadmin "github.com/rolegate/rolegate/broker/web/admin"
)

// adminPages goes through the administrators' pages, with and without results.
func adminPages(t *testing.T, h *house, look func(name string, a answer)) {
	t.Helper()
	q := url.QueryEscape(hostile)
	wasAdmin, hadMFA := h.aws.admin, h.mfa
	h.aws.admin, h.mfa = true, true
	h.store.SetState("trace/amber-otter-plum-07", []byte(`{"started":"2026-11-24T09:00:00Z","steps":[{"name":"saml.signature","ok":true,"detail":"`+
		`<script>x</script>"},{"name":"signin.refused","ok":false,"detail":"<img src=x onerror=alert(1)>"}]}`))
	h.record(broker.Event{
		Time: h.clock, Action: hostile, Outcome: broker.OutcomeRefused, Code: hostile, Username: hostile, Target: hostile, Remote: hostile,
		TraceID: "amber-otter-plum-07", RequestID: hostile, Detail: map[string]string{"reason": hostile, "fix": hostile, hostile: hostile},
	})
	h.signIn()
	h.signIn2()
	user := url.QueryEscape(strings.ToLower(h.username()))
	look("sessions", h.get("/sessions"))
	look("admin-overview", h.get("/admin"))
	h.refused, h.saml.beginErr, h.saml.leftOut = &webadmin.Refused{Trigger: hostile, Problems: []string{hostile}, More: 1}, errors.New(hostile), []string{hostile}
	look("admin-overview", h.get("/admin"))
	h.refused, h.saml.beginErr, h.saml.leftOut = nil, nil, nil
	look("admin-traces", h.get("/admin/traces"))
	look("admin-traces", h.get("/admin/traces?id="+q))
	look("admin-traces", h.get("/admin/traces?id=Amber+otter+plum+07"))
	look("admin-sessions", h.get("/admin/sessions"))
	look("admin-sessions", h.get("/admin/sessions?person="+user))
	look("admin-audit", h.get("/admin/audit"))
	look("admin-audit", h.get("/admin/audit?person="+q+"&action="+q+"&outcome="+q+"&trace="+q+"&account="+q+"&before="+q))
	look("admin-audit", h.get("/admin/audit?since="+q))
	look("admin-explain", h.get("/admin/explain"))
	look("admin-explain", h.get("/admin/explain?person="+user+"&group="+q))
	look("admin-explain", h.get("/admin/explain?person=nobody"))
	look("admin-simulate", h.get("/admin/simulate"))
	look("admin-simulate", h.post("/admin/simulate", url.Values{"candidate": {hostile}}))
	look("admin-simulate", h.post("/admin/simulate", url.Values{"candidate": {"bad" + hostile}}))
	look("admin-setup", h.get("/admin/setup"))
	h.aws.admin, h.mfa = wasAdmin, hadMFA
}

// username is what the SAML provider vouches for.
func (h *house) username() string { return h.saml.auth().Claims.First("username") }

// signIn2 signs the same person in once more, in another browser.
func (h *house) signIn2() {
	h.t.Helper()
	before := h.cookies
	h.cookies = map[string]*http.Cookie{}
	h.signIn()
	h.cookies = before
}

// adminRoutes are all routes of the administrators' part.
func adminRoutes(t *testing.T, h *house) []string {
	t.Helper()
	var out []string
	for _, p := range h.server.(*web.Server).Patterns() {
		if _, path, _ := strings.Cut(p, " "); strings.HasPrefix(path, "/admin") {
			out = append(out, p)
		}
	}
	if len(out) < 11 {
		t.Fatalf("only %d routes under /admin: %v", len(out), out)
	}
	return out
}

func (h *house) try(pattern string) answer {
	h.t.Helper()
	method, path, _ := strings.Cut(pattern, " ")
	if method == http.MethodPost {
		return h.post(path, url.Values{"session": {"x"}, "provider": {"okta"}, "subject": {"00u7"}, "candidate": {"x"}})
	}
	return h.get(path)
}

// TestAdminIsForAdmins ensures of every mounted route under /admin that nobody
// else gets in, that a second factor is asked for, and that neither writes.
func TestAdminIsForAdmins(t *testing.T) {
	for _, pattern := range adminRoutes(t, newHouse(t)) {
		t.Run(pattern, func(t *testing.T) {
			get := strings.HasPrefix(pattern, "GET")
			h := newHouse(t)
			if a := h.try(pattern); get {
				if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/signin?return_to=%2Fadmin") {
					t.Errorf("not signed in: %d to %s", a.StatusCode, a.Header.Get("Location"))
				}
			} else {
				a.want(t, http.StatusUnauthorized)
			}
			h.mfa = true
			h.signIn()
			h.try(pattern).want(t, http.StatusForbidden, "admins", "Administrators are named by the rule")
			last := h.lastEvent()
			if last.Action != broker.ActionAdminDenied || last.Outcome != broker.OutcomeRefused || last.Username != "alice" {
				t.Errorf("event %+v", last)
			}
			h.aws.admin, h.mfa = true, false
			h.signIn()
			h.try(pattern).want(t, http.StatusUnauthorized, "second factor", `action="/signin/okta"`, `value="/admin`)
			if h.store.Revocations() > 0 || len(h.store.Sessions()) != 1 {
				t.Errorf("something was ended: %d revocations, %d sessions", h.store.Revocations(), len(h.store.Sessions()))
			}
			h.mfa = true
			h.signIn()
			if a := h.try(pattern); a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusUnauthorized {
				t.Errorf("an administrator is refused: %d", a.StatusCode)
			}
			h.aws.admin = false // the rule has changed since the sign-in
			h.try(pattern).want(t, http.StatusForbidden)
		})
	}
}

// TestAdminNavigation ensures that only administrators are shown the way.
func TestAdminNavigation(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	if strings.Contains(h.get("/").body, `href="/admin"`) {
		t.Error("everybody sees the way")
	}
	h.aws.admin = true
	h.get("/").want(t, http.StatusOK, `href="/admin"`, `href="/sessions"`)
}

// TestAdminViewsAreEvents ensures that looking at people's data is recorded, and
// that nothing is shown when it cannot be.
func TestAdminViewsAreEvents(t *testing.T) {
	for _, row := range []struct {
		path string
		want broker.Action
	}{
		{"/admin/sessions?person=alice", broker.ActionAdminView}, {"/admin/audit?person=alice", broker.ActionAdminView},
		{"/admin/explain?person=alice", broker.ActionAdminView}, {"/admin/traces?id=amber-otter-plum-07", broker.ActionAdminView},
		{"/admin/traces", broker.ActionAdminView}, {"/admin/audit/export?format=jsonl&person=alice", broker.ActionAdminExport},
	} {
		t.Run(row.path, func(t *testing.T) {
			h := newHouse(t)
			h.aws.admin, h.mfa = true, true
			h.signIn()
			h.get(row.path).want(t, http.StatusOK)
			e := h.lastEvent()
			if e.Action != row.want || e.Username != "alice" || strings.Contains(row.path, "alice") && e.Target != "alice" {
				t.Errorf("event %+v", e)
			}
			h.store.LoseEvents(true)
			if a := h.get(row.path).want(t, http.StatusServiceUnavailable); strings.Contains(a.body, "00u1") {
				t.Error("shown without an event")
			}
		})
	}
}

// TestAdminEndsSessions ensures that ending one session and all of a person's
// works at the next request, with events that name both people.
func TestAdminEndsSessions(t *testing.T) {
	h := newHouse(t)
	h.aws.admin, h.mfa = true, true
	h.signIn()
	admin := h.cookies
	h.cookies = map[string]*http.Cookie{}
	auth := h.saml.auth
	h.saml.auth = func() broker.Authentication {
		a := auth()
		a.Subject.ID, a.Claims = "00u2", broker.Claims{"username": {"bob"}, "groups": {"staff"}}
		return a
	}
	h.clock = h.clock.Add(time.Second)
	h.signIn()
	bob := h.cookies
	h.cookies = admin
	a := h.get("/admin/sessions?person=bob").want(t, http.StatusOK, "okta/00u2", "End every session of okta/00u2")
	_, key, _ := strings.Cut(a.body, `name="session" value="`)
	key, _, _ = strings.Cut(key, `"`)
	h.post("/admin/sessions/end", url.Values{"session": {key}, "person": {"bob"}}).wantLocation(t, "/admin/sessions?person=bob")
	h.post("/admin/sessions/end", url.Values{"session": {key}}).want(t, http.StatusNotFound, "ended already")
	h.cookies = bob
	h.get("/api/v1/me").want(t, http.StatusUnauthorized)
	h.clock = h.clock.Add(time.Second)
	h.signIn()
	h.get("/api/v1/me").want(t, http.StatusOK)
	bob = h.cookies
	h.cookies = admin
	h.post("/admin/sessions/revoke", url.Values{"provider": {"okta"}, "subject": {"00u2"}}).wantLocation(t, "/admin/sessions")
	e := h.lastEvent()
	if e.Action != broker.ActionRevoke || e.Username != "alice" || e.Target != "okta/00u2" {
		t.Errorf("event %+v", e)
	}
	h.cookies = bob
	h.get("/api/v1/me").want(t, http.StatusUnauthorized)
	h.cookies = admin
	h.get("/api/v1/me").want(t, http.StatusOK)
}

// TestOwnSessions ensures that people see and end their own sessions only.
func TestOwnSessions(t *testing.T) {
	h := newHouse(t)
	firefox := header("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	h.get("/signin/okta")
	h.post("/saml/okta/acs", url.Values{"SAMLResponse": {"eA=="}, "RelayState": {h.saml.last.State}}, fromElsewhere, firefox)
	first := h.cookies
	h.get("/sessions").want(t, http.StatusOK, "Firefox on Linux", "192.0.2.1", "nowhere else")
	h.cookies = map[string]*http.Cookie{}
	h.clock = h.clock.Add(time.Second)
	h.signIn()
	h.get("/sessions").want(t, http.StatusOK, "Firefox on Linux", "Other sessions", "End all others")

	t.Run("attack: ending somebody else's session", func(t *testing.T) {
		for key, row := range h.store.Sessions() {
			row.Subject.ID = "00u9"
			row.Key = "f" + key[1:]
			h.store.SetSession(row)
			h.post("/sessions/end", url.Values{"session": {row.Key}}).want(t, http.StatusNotFound)
			if _, there := h.store.Sessions()[row.Key]; !there {
				t.Error("it has ended")
			}
			h.store.DropSessions(row.Key)
			break
		}
	})
	t.Run("attack: another site ends sessions", func(t *testing.T) {
		for _, path := range []string{"/sessions/end", "/sessions/end-others", "/sessions/end-all"} {
			h.post(path, nil, fromElsewhere).want(t, http.StatusForbidden)
		}
	})
	h.post("/sessions/end-others", nil).wantLocation(t, "/sessions")
	h.get("/api/v1/me").want(t, http.StatusOK)
	second := h.cookies
	h.cookies = first
	h.get("/api/v1/me").want(t, http.StatusUnauthorized)
	h.cookies = second
	h.clock = h.clock.Add(time.Second)
	h.post("/sessions/end-all", nil).want(t, http.StatusOK, "signed out")
	h.cookies = second
	h.get("/api/v1/me").want(t, http.StatusUnauthorized)
}

// TestExport ensures both formats, and that a spreadsheet takes no value for a
// formula.
func TestExport(t *testing.T) {
	h := newHouse(t)
	h.aws.admin, h.mfa = true, true
	h.signIn()
	h.record(broker.Event{
		Time: h.clock, Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Username: `=HYPERLINK("http://evil.example")`, Target: "@x", Remote: "+1",
		Detail: map[string]string{"a": "b"},
	})
	a := h.get("/admin/audit/export?format=csv").want(t, http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil || len(rows) < 3 {
		t.Fatalf("%v, %d rows", err, len(rows))
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.Contains("=+-@", cell[:1]) {
				t.Errorf("formula %q", cell)
			}
		}
	}
	if got := a.Header.Get("Content-Disposition"); !strings.Contains(got, "rolegate-events.csv") {
		t.Errorf("disposition %q", got)
	}
	a = h.get("/admin/audit/export?format=jsonl").want(t, http.StatusOK, `"username":"=HYPERLINK`)
	h.get("/admin/audit/export?format=exe").want(t, http.StatusBadRequest)
	h.get("/admin/audit/export?format=csv&since=x").want(t, http.StatusBadRequest)
}

// TestSimulateUpload ensures that a chosen file counts over pasted text, and
// that a body over the limit is refused.
func TestSimulateUpload(t *testing.T) {
	h := newHouse(t)
	h.aws.admin, h.mfa = true, true
	h.signIn()
	send := func(content string) answer {
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		f, err := m.CreateFormFile("file", "rolegate.yaml")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f.Write([]byte(content))
		_ = m.WriteField("candidate", "pasted")
		_ = m.Close()
		return h.do(http.MethodPost, "/admin/simulate", &body, header("Content-Type", m.FormDataContentType()), fromHere)
	}
	send("uploaded").want(t, http.StatusOK, "uploaded in uploaded", "1 gained")
	send("").want(t, http.StatusOK, "pasted in pasted")
	if a := send(strings.Repeat("x", 2<<20)); a.StatusCode != http.StatusRequestEntityTooLarge && a.StatusCode != http.StatusBadRequest {
		t.Errorf("2 MiB: %d", a.StatusCode)
	}
	h.post("/admin/simulate", nil).want(t, http.StatusBadRequest)
}
