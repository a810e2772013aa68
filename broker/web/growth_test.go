package web_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web"
)

// grown says which tables have how many rows more than before.
func grown(before, after map[string]int) (total int, by map[string]int) {
	by = map[string]int{}
	for name, n := range after {
		if n > before[name] {
			by[name] = n - before[name]
			total += n - before[name]
		}
	}
	return total, by
}

// TestAttackPersonFillsTheStore ensures that somebody who is signed in, and has
// no role, cannot make the store grow without end, whatever they do in a loop, in
// a browser or by a program.
func TestAttackPersonFillsTheStore(t *testing.T) {
	const most, tries = 40, 400
	const perRequest = 3 // rows of one request at most: what was asked, what came of it, a trace
	form := header("Content-Type", "application/x-www-form-urlencoded")
	var latest tokens // of a program
	browser := func(method, target string, v url.Values) func(*house) answer {
		return func(h *house) answer { return h.do(method, target, strings.NewReader(v.Encode()), form, fromHere) }
	}
	admit := url.Values{"answer": {"yes"}}
	maps.Copy(admit, authorizationForm())
	for _, tt := range []struct {
		name string
		do   func(*house) answer
	}{
		{"GET /", browser("GET", "/", nil)},
		{"GET /admin", browser("GET", "/admin", nil)},
		{"GET /admin/audit", browser("GET", "/admin/audit?person=alice", nil)},
		{"GET /go", browser("GET", "/go?account=prod&role=Admin", nil)},
		{"POST /console", browser("POST", "/console", url.Values{"assignment": {"nothing"}})},
		{"POST /credentials", browser("POST", "/credentials", url.Values{"assignment": {"nothing"}})},
		{"POST /favourites", browser("POST", "/favourites", url.Values{"assignment": {"nothing"}, "on": {"true"}})},
		{"POST /mfa", browser("POST", "/mfa", url.Values{"code": {"000000"}})},
		{"GET /mfa/enrol", browser("GET", "/mfa/enrol", nil)},
		{"POST /mfa/enrol/code", browser("POST", "/mfa/enrol/code", nil)},
		{"POST /authorize", browser("POST", "/authorize", admit)},
		{"POST /device", browser("POST", "/device", url.Values{"user_code": {"BBBB-BBBB"}})},
		{"POST /signin/okta", browser("POST", "/signin/okta", url.Values{"mfa": {"true"}})},
		{"GET /api/v1/assignments", func(h *house) answer {
			return h.get("/api/v1/assignments", header("Accept", "application/json"), fromHere)
		}},
		{"GET /api/v1/assignments by a program", func(h *house) answer { return h.get("/api/v1/assignments", asProgram(latest.Access)) }},
		{"POST /api/v1/role-credentials by a program", func(h *house) answer {
			return h.do("POST", "/api/v1/role-credentials", strings.NewReader(`{"assignment":"x"}`), asProgram(latest.Access), header("Content-Type", "application/json"))
		}},
		{"GET /aws/portal/federation/credentials", func(h *house) answer {
			a, _ := h.portal("federation/credentials?account_id=111122223333&role_name=Admin", latest.Access)
			return a
		}},
		{"refresh", func(h *house) answer {
			a, next := h.refresh(latest.Refresh)
			if a.StatusCode == http.StatusOK {
				latest = next
			}
			return a
		}},
		{"exchange", func(h *house) answer {
			a, _ := h.program("/oauth/token", url.Values{
				"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "client_id": {program.CLIClientID}, "subject_token": {latest.Access},
				"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {program.CLIClientID},
			})
			return a
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := ownFactor(t)
			h := newHouse(t, own, func(h *house, c *web.Config) {
				h.parts(c, func(p *brokertest.Parts) {
					p.Rates = map[limit.Kind]limit.Rate{
						limit.Requests: {Account: most, Per: 5 * time.Minute}, limit.SignIn: {Address: most, Per: 5 * time.Minute},
					}
				})
			})
			h.mfa = true
			h.signIn()
			latest = h.programTokens()
			h.mfa, h.aws.assignments = false, nil
			before := h.store.Rows()
			codes := map[int]int{}
			for range tries {
				a := tt.do(h)
				codes[a.StatusCode]++
				if a.StatusCode == http.StatusTooManyRequests && a.Header.Get("Retry-After") == "" {
					t.Fatalf("no Retry-After: %s", a.body)
				}
			}
			total, by := grown(before, h.store.Rows())
			t.Logf("%d requests: %v, rows %v", tries, codes, by)
			if total > perRequest*most || codes[http.StatusTooManyRequests] < tries-most-5 {
				t.Errorf("%d rows after %d requests, statuses %v", total, tries, codes)
			}
			if n := slices.Max(slices.Collect(maps.Values(codes))); n == tries {
				t.Error("the answers are all the same: the test shows nothing")
			}
		})
	}
}
