package web_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/program"
)

// snapshot keeps what a house is now. The function it returns puts it back, so
// that each execution of a fuzz target meets the same house without building
// one.
func (h *house) snapshot() func(testing.TB) {
	restore, cookies, clock := h.store.Snapshot(), maps.Clone(h.cookies), h.clock
	return func(t testing.TB) {
		h.in(t)
		restore()
		h.cookies, h.clock, h.aws.assumed = maps.Clone(cookies), clock, 0
		h.store.Exec(`delete from events`)
		h.logs.Reset()
	}
}

// foreign is text that a fuzz target sends, with the names of what the server
// gave out put in for the values.
type foreign map[string]string

func (f foreign) fill(s string) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(f)) {
		pairs = append(pairs, k, f[k])
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// unsendable reports that a URL parser refuses the query before it reaches us.
func unsendable(query string) bool {
	u, err := url.Parse("/?" + query)
	return err != nil || u.Fragment != "" || strings.Contains(query, "#") || strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// asForm sends a body as a program does.
func (h *house) asForm(path, body, authorization string) answer {
	return h.do(http.MethodPost, path, strings.NewReader(body), header(withoutCookies, "1"), header("Accept", "application/json"),
		header("Content-Type", "application/x-www-form-urlencoded"), func(r *http.Request) {
			if authorization != "" {
				r.Header["Authorization"] = []string{authorization}
			}
		})
}

// oauthErrors are all that the token endpoint may say (RFC 6749 5.2, RFC 8628
// 3.5).
var oauthErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type", "access_denied", "expired_token", "authorization_pending", "slow_down",
}

// programDocument checks that an answer is one document that nobody keeps, and
// that a refusal has a known error, words, and no token.
func programDocument(t *testing.T, a answer) tokens {
	t.Helper()
	var out tokens
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.Header.Get("Cache-Control") != "no-store" || a.StatusCode >= http.StatusInternalServerError {
		t.Fatalf("%d %v %s (%v)", a.StatusCode, a.Header, a.body, err)
	}
	if a.StatusCode != http.StatusOK && (!slices.Contains(oauthErrors, out.Error) || out.Text == "" || out.Access != "" || out.Refresh != "") {
		t.Errorf("refused with %s", a.body)
	}
	return out
}

// lettings are what a house gave out to programs, each good for one use.
func lettings(h *house) foreign {
	h.signIn()
	id, secret := h.register("botocore", "http://127.0.0.1/oauth/callback")
	granted := h.programTokens()
	waiting, approved := h.startDevice("waits"), h.startDevice("box")
	h.post("/device", url.Values{"user_code": {approved.UserCode}, "answer": {"approve"}})
	return foreign{
		"~CODE": h.code(), "~VERIFIER": verifier, "~CHALLENGE": challengeOf(verifier), "~CLI": program.CLIClientID, "~LOOPBACK": url.QueryEscape(loopback), "~ACCESS": granted.Access, "~REFRESH": granted.Refresh,
		"~DEVICE": approved.DeviceCode, "~WAITING": waiting.DeviceCode, "~USER": waiting.UserCode, "~ID": id, "~SECRET": secret,
		"~GDEVICE": "urn:ietf:params:oauth:grant-type:device_code", "~GEXCHANGE": "urn:ietf:params:oauth:grant-type:token-exchange",
		"~TACCESS": "urn:ietf:params:oauth:token-type:access_token",
	}
}
