package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/broker/brokertest"
)

const awsLink = "https://signin.example/federation?SigninToken=planted-link"

// TestConsole ensures that a click ends at the sign-in link, which no cache and
// no referrer keeps, and that the policy of the page allows the way.
func TestConsole(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	page := h.get("/").want(t, http.StatusOK, `action="/console"`, `name="assignment" value="`+string(h.aws.assignments[0].ID)+`"`)
	if csp := page.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' https://signin.example https://console.example") {
		t.Errorf("policy: %s", csp)
	}
	a := h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}, "destination": {"ec2/home"}, "region": {"eu-west-1"}})
	a.wantLocation(t, awsLink)
	if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers: %v", a.Header)
	}
	if want := h.public + "/go?account=111122223333&role=Admin&destination=ec2%2Fhome&region=eu-west-1"; h.aws.issuer != want {
		t.Errorf("issuer %q, want %q", h.aws.issuer, want)
	}
	if strings.Contains(h.logs.String(), "planted") {
		t.Errorf("the log holds a secret:\n%s", h.logs)
	}
}

// TestTamperedForm ensures that no form can name a role that the rules do not
// give.
func TestTamperedForm(t *testing.T) {
	foreign := assignment("999999999999", "secret", "Root")
	for _, row := range []struct {
		name, path string
		form       url.Values
		status     int
	}{
		{"role of somebody else", "/console", url.Values{"assignment": {string(foreign.ID)}}, 403},
		{"role ARN instead of an id", "/console", url.Values{"assignment": {string(foreign.RoleARN)}}, 403},
		{"no assignment", "/console", nil, 403},
		{"endless assignment", "/console", url.Values{"assignment": {strings.Repeat("a", 300)}}, 400},
		{"foreign destination", "/console", url.Values{"assignment": {"OWN"}, "destination": {"evil"}}, 400},
		{"credentials of somebody else", "/credentials", url.Values{"assignment": {string(foreign.ID)}}, 403},
		{"longer than allowed", "/credentials", url.Values{"assignment": {"OWN"}, "duration": {"43200"}}, 400},
		{"negative duration", "/credentials", url.Values{"assignment": {"OWN"}, "duration": {"-1"}}, 400},
		{"duration in words", "/credentials", url.Values{"assignment": {"OWN"}, "duration": {"forever"}}, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			if row.form.Get("assignment") == "OWN" {
				row.form.Set("assignment", string(h.aws.assignments[0].ID))
			}
			a := h.post(row.path, row.form).want(t, row.status)
			if strings.Contains(a.body, "planted") || a.Header.Get("Location") != "" {
				t.Error("something was released")
			}
		})
	}
}

// TestNothingReleasedWithoutStore ensures 503 with Retry-After and no secret
// when the store or the recorder fails, whatever was asked.
func TestNothingReleasedWithoutStore(t *testing.T) {
	for _, down := range []struct {
		name string
		cut  func(*brokertest.Store)
	}{
		{"store", func(s *brokertest.Store) { s.Down(true) }},
		{"events", func(s *brokertest.Store) { s.LoseEvents(true) }},
	} {
		for _, ask := range []struct {
			name string
			do   func(*house) answer
		}{
			{"console", func(h *house) answer {
				return h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}})
			}},
			{"go", func(h *house) answer { return h.get("/go?account=prod&role=Admin", typed) }},
			{"credentials", func(h *house) answer {
				return h.post("/credentials", url.Values{"assignment": {string(h.aws.assignments[0].ID)}})
			}},
			{"api", func(h *house) answer { return h.credentials(string(h.aws.assignments[0].ID), 0) }},
			{"list", func(h *house) answer { return h.get("/") }},
		} {
			t.Run(down.name+"/"+ask.name, func(t *testing.T) {
				h := newHouse(t)
				h.signIn()
				down.cut(h.store)
				a := ask.do(h).want(t, http.StatusServiceUnavailable, "The store does not answer.")
				if a.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				for _, secret := range []string{"planted", "ASIA"} {
					if strings.Contains(a.body, secret) || strings.Contains(a.Header.Get("Location"), secret) {
						t.Errorf("%q was released", secret)
					}
				}
			})
		}
	}
}

// TestGo ensures that a deep link goes on at once for the person themselves and
// asks when another site sent it, with or without a sign-in in between.
func TestGo(t *testing.T) {
	const link = "/go?account=prod&role=Admin"
	for _, row := range []struct {
		name string
		opt  with
		asks bool
	}{
		{"typed", typed, false},
		{"behind a form of ours, which another site may have led to", fromHere, true},
		{"from another site", fromElsewhere, true},
		{"from a sibling host", header("Sec-Fetch-Site", "same-site"), true},
		{"browser does not say", func(*http.Request) {}, true},
		{"nonsense", header("Sec-Fetch-Site", "none, same-origin"), true},
	} {
		t.Run("signed in, "+row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			a := h.get(link, row.opt)
			if !row.asks {
				a.wantLocation(t, awsLink)
				return
			}
			a.want(t, http.StatusOK, "Open the AWS console?", `action="/console"`)
			if h.aws.assumed != 0 {
				t.Error("a role was assumed before the click")
			}
			h.post("/console", url.Values{"assignment": {string(h.aws.assignments[0].ID)}}).wantLocation(t, awsLink)
		})
		t.Run("not signed in, "+row.name, func(t *testing.T) {
			h := newHouse(t)
			a := h.get(link, row.opt)
			a.want(t, http.StatusSeeOther)
			if strings.Contains(a.Header.Get("Location"), "entry") == row.asks {
				t.Errorf("led to %s", a.Header.Get("Location"))
			}
			// The redirect keeps the judgement of the first request.
			a = h.get(a.Header.Get("Location"), row.opt).want(t, http.StatusOK)
			_, after, _ := strings.Cut(a.body, `class="choice" href="`)
			href, _, _ := strings.Cut(after, `"`)
			// The choice is a click on our own page.
			h.get(strings.ReplaceAll(href, "&amp;", "&"), fromHere).want(t, http.StatusSeeOther)
			a = h.acs()
			if !row.asks { // what goes on to AWS is not held to the provider's form-action
				a.wantPage(t, a.leads())
			}
			a = h.get(a.leads(), fromElsewhere)
			if row.asks {
				a.want(t, http.StatusOK, "Open the AWS console?")
			} else {
				a.wantLocation(t, awsLink)
			}
		})
	}
	t.Run("entry forged by another site", func(t *testing.T) {
		for _, start := range []string{"/signin?return_to=", "/signin/okta?return_to="} {
			h := newHouse(t)
			h.signIn()
			a := h.get(start+url.QueryEscape(link+"&entry=direct"), fromElsewhere)
			if strings.HasPrefix(start, "/signin/okta") {
				a.want(t, http.StatusOK, "You are signed in already")
				h.get(hrefOf(t, a, "Sign in again"), fromHere).want(t, http.StatusSeeOther)
				a = h.acs()
			}
			if strings.Contains(a.Header.Get("Location"), "entry") {
				t.Errorf("%s led to %s", start, a.Header.Get("Location"))
			}
			h.get(a.Header.Get("Location"), fromElsewhere).want(t, http.StatusOK, "Open the AWS console?")
		}
	})
	t.Run("entry in the link itself", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.get(link+"&entry=direct", fromElsewhere).want(t, http.StatusOK, "Open the AWS console?")
	})
	t.Run("entry counts for its own link", func(t *testing.T) {
		h := newHouse(t)
		h.get("/signin/okta?return_to="+url.QueryEscape(link+"&entry=direct"), typed)
		h.acs().wantPage(t, link)
		h.get("/go?account=test&role=ReadOnly", fromElsewhere).want(t, http.StatusOK, "Open the AWS console?")
	})
	t.Run("prefetch", func(t *testing.T) {
		for _, ahead := range []with{header("Sec-Purpose", "prefetch;prerender"), header("Purpose", "prefetch"), header("X-Moz", "prefetch")} {
			h := newHouse(t)
			h.signIn()
			h.get(link, typed, ahead).want(t, http.StatusNoContent)
			h.get("/signin/okta", typed, ahead).want(t, http.StatusNoContent)
			if h.aws.assumed != 0 {
				t.Error("a role was assumed ahead of the person")
			}
		}
	})
	t.Run("HEAD", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.do(http.MethodHead, link, nil, typed).want(t, http.StatusNoContent)
		if h.aws.assumed != 0 {
			t.Error("a role was assumed for a HEAD")
		}
	})
	t.Run("not mine", func(t *testing.T) {
		h := newHouse(t)
		h.signIn()
		h.get("/go?account=prod&role=Root", typed).want(t, http.StatusForbidden, "Root")
		h.get("/go?account=prod", typed).want(t, http.StatusBadRequest)
		h.get("/go?account=prod&role="+strings.Repeat("r", 300), typed).want(t, http.StatusBadRequest)
	})
}

// TestCrossSiteWrites ensures that no form of another site does anything here,
// but for what identity providers send.
func TestCrossSiteWrites(t *testing.T) {
	for _, path := range []string{"/console", "/credentials", "/signout", "/signin", "/signin/okta", "/api/v1/role-credentials", "/nothing", "/saml/okta/acs/", "/saml/okta/metadata",
		"/saml/okta/agree", "/saml/okta/slo/", "/oidc/entra/backchannel-logout/", "/oidc/entra/callback", "/oidc/entra/signed-out", "/oidc/okta/x/backchannel-logout"} {
		for name, from := range map[string]with{
			"fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"sibling host":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"origin only": func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "https://elsewhere.example")
			},
		} {
			t.Run(path+", "+name, func(t *testing.T) {
				h := newHouse(t)
				h.signIn()
				state := len(h.store.State())
				a := h.post(path, url.Values{"assignment": {string(h.aws.assignments[0].ID)}}, from)
				if a.StatusCode != http.StatusForbidden && a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusMethodNotAllowed {
					t.Errorf("status %d\n%s", a.StatusCode, a.body)
				}
				if h.aws.assumed != 0 || len(h.store.Sessions()) != 1 {
					t.Error("the request was carried out")
				}
				if len(h.store.State()) != state {
					t.Error("the request wrote to the store")
				}
			})
		}
	}
}

// TestCredentialsPage ensures that the page shows what a shell takes, once and
// to nobody else.
func TestCredentialsPage(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id := string(h.aws.assignments[0].ID)
	h.get("/credentials?assignment="+id).want(t, http.StatusOK, "Show credentials", "30 min")
	h.get("/credentials?assignment=other").want(t, http.StatusForbidden)
	a := h.post("/credentials", url.Values{"assignment": {id}, "duration": {"1800"}}).want(t, http.StatusOK,
		"export AWS_ACCESS_KEY_ID=&#39;ASIAEXAMPLE&#39;", "$Env:AWS_SESSION_TOKEN = &#39;planted-session-token&#39;", "[prod-Admin]",
		"aws_secret_access_key = planted-secret-key", `datetime="2026-11-24T09:30:00Z"`)
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Error("the page may be cached")
	}
	if strings.Contains(h.logs.String(), "planted") {
		t.Error("the log holds a secret")
	}
}

func (h *house) credentials(id string, seconds int64, opts ...with) answer {
	h.t.Helper()
	b, err := json.Marshal(api.RoleCredentialsRequest{Assignment: broker.AssignmentID(id), DurationSeconds: seconds})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.json(string(b), opts...)
}

func (h *house) json(body string, opts ...with) answer {
	opts = append([]with{header("Content-Type", "application/json"), header("Accept", "application/json"), fromHere}, opts...)
	return h.do(http.MethodPost, api.PathRoleCredentials, strings.NewReader(body), opts...)
}

// TestAPI ensures the JSON for a browser session and for a bearer token.
func TestAPI(t *testing.T) {
	h := newHouse(t)
	h.mfa = true
	h.signIn()
	token := h.programTokens().Access
	for name, opt := range map[string]with{
		"cookie": header("Accept", "application/json"),
		"bearer": asProgram(token),
	} {
		t.Run(name, func(t *testing.T) {
			var me api.Me
			a := h.get(api.PathMe, opt).want(t, http.StatusOK)
			if err := json.Unmarshal([]byte(a.body), &me); err != nil {
				t.Fatal(err)
			}
			want := api.Me{
				Subject: "00u1", IdP: "okta", Username: "alice", Email: "alice@example.com", Groups: []string{"staff"}, MFA: true,
				SessionName: "alice@example.com", SessionExpiresAt: h.clock.Add(10 * time.Hour),
			}
			if d := cmp.Diff(want, me); d != "" {
				t.Error(d)
			}
			var list api.Assignments
			if err := json.Unmarshal([]byte(h.get(api.PathAssignments, opt).want(t, http.StatusOK).body), &list); err != nil {
				t.Fatal(err)
			}
			if len(list.Assignments) != 2 || list.Assignments[0].MaxDurationSeconds != 3600 {
				t.Errorf("%+v", list)
			}
			var c api.RoleCredentials
			if err := json.Unmarshal([]byte(h.credentials(string(list.Assignments[0].ID), 900, opt, header("Content-Type", "application/json")).want(t, http.StatusOK).body), &c); err != nil {
				t.Fatal(err)
			}
			wantC := api.RoleCredentials{
				AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "planted-secret-key", SessionToken: "planted-session-token",
				Expiration: h.clock.Add(15 * time.Minute), AccountID: "111122223333", Role: "Admin", SessionName: "alice@example.com",
				AssumedRoleARN: "arn:aws:sts::111122223333:assumed-role/Admin/alice@example.com",
			}
			if d := cmp.Diff(wantC, c); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestProblems ensures that programs get problem documents.
func TestProblems(t *testing.T) {
	for _, row := range []struct {
		name   string
		do     func(h *house) answer
		status int
		code   broker.Code
	}{
		{"not signed in", func(h *house) answer {
			h.cookies = nil
			h.cookies = map[string]*http.Cookie{}
			return h.get(api.PathMe, header("Accept", "*/*"))
		}, 401, broker.CodeUnauthenticated},
		{"wrong bearer", func(h *house) answer {
			return h.get(api.PathMe, asProgram("x"))
		}, 401, broker.CodeUnauthenticated},
		{"wrong scheme", func(h *house) answer {
			return h.get(api.PathMe, asProgram(""), header("Authorization", "Basic eDp5"))
		}, 401, broker.CodeUnauthenticated},
		{"bearer and cookie", func(h *house) answer {
			return h.get(api.PathMe, header("Accept", ""), header("Authorization", "Bearer "+h.programTokens().Access))
		}, 400, broker.CodeInvalid},
		{"cookie's token as bearer", func(h *house) answer {
			return h.get(api.PathMe, asProgram(h.cookies["__Host-rolegate_session"].Value))
		}, 401, broker.CodeUnauthenticated},
		{"access token as cookie", func(h *house) answer {
			token := h.programTokens().Access
			h.cookies["__Host-rolegate_session"].Value = token
			return h.get(api.PathMe, header("Accept", ""))
		}, 401, broker.CodeUnauthenticated},
		{"refresh token's family as cookie", func(h *house) answer {
			family, _, _ := strings.Cut(h.programTokens().Refresh, ".")
			h.cookies["__Host-rolegate_session"].Value = family
			return h.get(api.PathMe, header("Accept", ""))
		}, 401, broker.CodeUnauthenticated},
		{"unknown field", func(h *house) answer { return h.json(`{"role_arn":"arn:aws:iam::1:role/x"}`) }, 400, broker.CodeInvalid},
		{"two documents", func(h *house) answer { return h.json(`{"assignment":"a"}{}`) }, 400, broker.CodeInvalid},
		{"not JSON", func(h *house) answer { return h.json(`assignment=a`) }, 400, broker.CodeInvalid},
		{"a form", func(h *house) answer { return h.json(`{}`, header("Content-Type", "text/plain")) }, 400, broker.CodeInvalid},
		{"huge", func(h *house) answer { return h.json(`{"assignment":"` + strings.Repeat("a", 70<<10) + `"}`) }, 413, broker.CodeInvalid},
		{"too long", func(h *house) answer { return h.credentials(string(h.aws.assignments[0].ID), 7200) }, 400, broker.CodeInvalid},
		{"endless", func(h *house) answer { return h.json(`{"assignment":"a","duration_seconds":9223372036854775807}`) }, 400, broker.CodeInvalid},
		{"not mine", func(h *house) answer { return h.credentials("nothing", 0) }, 403, broker.CodeDenied},
		{"step-up", func(h *house) answer {
			h.aws.assignments[0].Require = broker.Requirement{MFA: true, MaxAuthAge: time.Minute}
			h.clock = h.clock.Add(2 * time.Minute)
			return h.credentials(string(h.aws.assignments[0].ID), 0)
		}, 401, broker.CodeStepUp},
		{"no such route", func(h *house) answer { return h.get("/api/v1/nothing", header("Accept", "application/json")) }, 404, broker.CodeNotFound},
		{"wrong method", func(h *house) answer { return h.get(api.PathRoleCredentials, header("Accept", "application/json")) }, 405, broker.CodeInvalid},
		{"page asked as JSON", func(h *house) answer { return h.get("/nothing", header("Accept", "application/json")) }, 404, broker.CodeNotFound},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			a := row.do(h).want(t, row.status)
			if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			var p api.Problem
			if err := json.Unmarshal([]byte(a.body), &p); err != nil {
				t.Fatal(err)
			}
			if p.Code != row.code || p.Status != row.status || p.Detail == "" || p.Type != "about:blank" {
				t.Errorf("%+v", p)
			}
			if (p.TraceID != "") != (row.status == 403 || row.code == broker.CodeStepUp) {
				t.Errorf("trace id %q", p.TraceID)
			}
			challenge := a.Header.Get("WWW-Authenticate")
			if (row.status == 401) != (challenge != "") {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			if row.code == broker.CodeStepUp {
				if p.StepUp == nil || !p.StepUp.MFA || p.StepUp.MaxAuthAgeSeconds != 60 || !strings.Contains(challenge, `max_age="60"`) {
					t.Errorf("%+v %s", p.StepUp, challenge)
				}
			}
		})
	}
}
