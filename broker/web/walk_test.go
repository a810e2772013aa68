package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web"
)

// stranger is somebody without a session and without cookies, who knows every
// parameter of every route.
type stranger struct {
	house          *house
	client, secret string // of a program that registered itself
}

// form is what the n-th request says, new each time.
func (s stranger) form(n int) url.Values {
	long := strings.Repeat("A", 43)
	v := url.Values{
		"SAMLResponse": {fmt.Sprintf("PHNhbWw%06d", n)}, "RelayState": {fmt.Sprint("state-", n)}, "state": {fmt.Sprint("state-", n)},
		"code": {fmt.Sprint("code-", n)}, "logout_token": {fmt.Sprintf("e30.e30.%d", n)}, "iss": {"https://idp.example"}, "sid": {fmt.Sprint(n)},
		"email": {fmt.Sprint("u", n, "@example.com")}, "idp": {"okta"}, "return_to": {fmt.Sprint("/go?account=", n, "&role=Admin")},
		"account": {fmt.Sprint(n)}, "role": {"Admin"}, "user_code": {"BBBB-BBBB"}, "host": {fmt.Sprint("host-", n)}, "mfa": {"true"},
		"client_id": {program.CLIClientID}, "redirect_uri": {loopback}, "code_verifier": {verifier}, "response_type": {"code"},
		"code_challenge": {long}, "code_challenge_method": {"S256"}, "device_code": {fmt.Sprintf("%043d", n)}, "token": {long + "." + fmt.Sprintf("%043d", n)},
		"refresh_token": {long + "." + fmt.Sprintf("%043d", n)}, "subject_token": {fmt.Sprintf("%043d", n)}, "audience": {program.CLIClientID},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "assignment": {fmt.Sprint(n)}, "answer": {"yes"}, "arrival": {fmt.Sprintf("%043d", n)},
		"grant_type": {[]string{
			"refresh_token", "authorization_code", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange",
		}[n%4]},
	}
	if n%3 == 1 { // a logout instead of an answer
		v.Del("SAMLResponse")
		v.Set("SAMLRequest", fmt.Sprintf("PHNhbWw%06d", n))
	}
	return v
}

// document is the same as the AWS clients send it.
func (s stranger) document(n int) string {
	b, err := json.Marshal(map[string]any{
		"clientId": s.client, "clientSecret": s.secret, "startUrl": "https://sso.example.com/start", "clientName": fmt.Sprint("client-", n),
		"clientType": "public", "scopes": []string{"sso:account:access"}, "deviceCode": fmt.Sprintf("%043d", n), "code": fmt.Sprint("code-", n),
		"grantType": []string{"urn:ietf:params:oauth:grant-type:device_code", "refresh_token"}[n%2], "refreshToken": fmt.Sprintf("%087d", n),
		"assignment": fmt.Sprint(n),
	})
	if err != nil {
		s.house.t.Fatal(err)
	}
	return string(b)
}

// request sends the n-th request to a route: plausible ones, and every fifth one
// hostile.
func (s stranger) request(method, path string, n int) answer {
	values, kind := s.form(n), "application/x-www-form-urlencoded"
	query, body := "", ""
	switch {
	case n%5 == 4 && method == http.MethodPost:
		hostile := []string{strings.Repeat("a", 70_000), "a=%zz&b=\x00\xff", "SAMLResponse=" + strings.Repeat("PHNhbWw", 2_000), "{\"a\":"}
		body = hostile[n/5%len(hostile)]
	case n%5 == 4:
		hostile := []string{"?state=%00%ff&code=" + strings.Repeat("c", 4_000), "?SAMLRequest=%zz", "?" + strings.Repeat("a=b&", 500), "?account=%2e%2e%2f&role=%00"}
		query = hostile[n/5%len(hostile)]
	case method == http.MethodGet:
		query = "?" + values.Encode()
	case strings.HasPrefix(path, "/aws/") || strings.HasPrefix(path, "/api/"):
		body, kind = s.document(n), "application/json"
	default:
		body = values.Encode()
	}
	opts := []with{header(withoutCookies, "1"), header("Content-Type", kind)}
	switch n % 4 { // where the request says that it comes from
	case 0:
		opts = append(opts, fromHere)
	case 1:
		opts = append(opts, fromElsewhere)
	case 2:
		opts = append(opts, typed)
	}
	if n%7 == 0 {
		opts = append(opts, header("Authorization", fmt.Sprintf("Bearer %043d", n)), header("x-amz-sso_bearer_token", fmt.Sprintf("%043d", n)))
	}
	return s.house.do(method, path+query, strings.NewReader(body), opts...)
}

// TestAttackStrangerFillsTheStore walks over every mounted route without a session
// and ensures that whatever is sent there either leaves nothing in the store, or
// is slowed down in the end by the limits that rolegate has by default, with no
// more kept by then than they allow.
func TestAttackStrangerFillsTheStore(t *testing.T) {
	const tries = 400
	const perUse = 2 // what one use leaves at most: an event and a trace, or two codes
	forged := broker.Errorf(broker.CodeUnauthenticated, "It could not be verified.")
	patterns := newHouse(t).server.(*web.Server).Patterns()
	kept := 0
	for _, pattern := range patterns {
		t.Run(pattern, func(t *testing.T) {
			h := newHouse(t, ownFactor(t), func(h *house, c *web.Config) {
				h.parts(c, func(p *brokertest.Parts) { p.Rates = limit.Defaults() })
			})
			h.saml.unasked, h.saml.err, h.oidc.err = true, forged, forged
			h.saml.vouches, h.oidc.vouches = "what nobody can send", "what nobody can send"
			s := stranger{house: h}
			s.client, s.secret = h.register("somebody", "http://127.0.0.1/oauth/callback")
			method, path := concrete(strings.Replace(pattern, "/oidc/{idp}", "/oidc/entra", 1))
			before, statuses, slowed := h.store.Rows(), map[int]int{}, 0
			send := func(n int) {
				a := s.request(method, path, n)
				statuses[a.StatusCode]++
				// SSO-OIDC has a name and no status for it.
				if a.StatusCode == http.StatusTooManyRequests || a.Header.Get("x-amzn-ErrorType") == "SlowDownException" {
					if slowed++; a.Header.Get("Retry-After") == "" {
						t.Fatalf("slowed down without Retry-After: %s", a.body)
					}
				}
			}
			sent := 0
			for ; sent < tries; sent++ {
				send(sent)
			}
			// Where only some of the requests leave something, it takes more of them.
			for ; sent < 10*tries && slowed == 0 && len(h.store.Rows()) > len(before); sent++ {
				send(sent)
			}
			total, by := grown(before, h.store.Rows())
			t.Logf("%-45s %d requests: %v, rows %v", pattern, sent, statuses, by)
			if statuses[http.StatusInternalServerError] > 0 {
				t.Errorf("it breaks: %s", h.logs.String()[:min(2000, h.logs.Len())])
			}
			if total == 0 {
				return
			}
			kept++
			kind := limit.SignIn // as many as answers
			if strings.Contains(pattern, "device") {
				kind = limit.Device
			}
			const ofTheLimit = 2 // its counter, its event
			if slowed == 0 || total > perUse*limit.Defaults()[kind].Address+ofTheLimit {
				t.Errorf("%d rows (%v), and statuses %v", total, by, slices.Sorted(maps.Keys(statuses)))
			}
		})
	}
	if kept == 0 {
		t.Error("nothing was kept anywhere: the test shows nothing")
	}
}
