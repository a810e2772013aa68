package oidc_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestLogoutTokenSaysOneThing ensures that what a logout token is about is said
// once, also inside its event, where a reader of the last one would see another.
func TestLogoutTokenSaysOneThing(t *testing.T) {
	const event = `"` + backChannel + `":{}`
	for _, tt := range []struct {
		name, claim, value string
		ok                 bool
	}{
		{"one event", "events", `{` + event + `}`, true},
		{"attack: the event twice", "events", `{` + event + `,` + event + `}`, false},
		{"attack: the event twice, once another's form", "events", `{"` + backChannel + `":true,` + event + `}`, false},
		{"attack: a member of the event twice", "events", `{"` + backChannel + `":{"a":1,"a":2}}`, false},
		{"a sid that is null", "sid", `null`, true},
		{"attack: no list of sids", "sid", `[]`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.leaving()
			p.claims[tt.claim] = json.RawMessage(tt.value)
			got, err := p.party(t, nil).ReceiveLogout(t.Context(), p.logoutMessage())
			if (err == nil) != tt.ok || err == nil && len(got.Sessions) != 1 || err != nil && broker.CodeOf(err) != broker.CodeUnauthenticated {
				t.Errorf("%v, %+v", err, got)
			}
		})
	}
}

// TestRevokeWithoutDiscovery ensures that a sign-out goes on where the provider
// is not known.
func TestRevokeWithoutDiscovery(t *testing.T) {
	p := newOP(t)
	p.discovery["issuer"] = "https://other.example"
	trace := &broker.Trace{}
	r := broker.LogoutRequest{State: "s", Tokens: broker.Tokens{RefreshToken: broker.NewSecret("rt")}}
	ch, err := p.party(t, func(c *oidc.Config) { c.NoLogout = true }).BeginLogout(broker.WithTrace(t.Context(), trace), r)
	if ch != nil || err != nil || len(p.forms) != 0 || len(trace.Steps()) != 1 {
		t.Errorf("%v, %v, %v", ch, err, trace.Steps())
	}
}

// TestKeysTried holds at the edge how many keys a token is tried with that does
// not say which one signed it.
func TestKeysTried(t *testing.T) {
	for others, ok := range map[int]bool{99: true, 100: false} {
		p := newOP(t)
		p.nonce, p.keyID, p.jwks = "nonce-1", "", nil
		for range others {
			p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey2().Public()})
		}
		p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey().Public()})
		if _, err := p.party(t, nil).Finish(t.Context(), request(), callback()); (err == nil) != ok {
			t.Errorf("after %d others: %v", others, err)
		}
	}
}

// TestKeysHalfRead ensures that a set of keys which cannot be read to its end is
// none, and why keys are left out.
func TestKeysHalfRead(t *testing.T) {
	p := newOP(t)
	good, err := json.Marshal(p.jwks[0])
	if err != nil {
		t.Fatal(err)
	}
	var set string
	rp := p.party(t, func(c *oidc.Config) {
		next := c.HTTP.Transport
		c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && r.URL.Path == "/jwks" {
				_ = resp.Body.Close()
				resp.Body = io.NopCloser(strings.NewReader(set))
			}
			return resp, err
		})}
	})
	set = `{"keys":[` + string(good) + `],"keys":7}`
	if err := rp.Refresh(t.Context()); err == nil {
		t.Error("keys that are no list are taken")
	}
	set = `{"keys":[7,{"kty":"EC","crv":"P-1","x":"AA","y":"AA"},` + string(good) + `]}`
	if err := rp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(rp.Status().LeftOut, "; ")
	for _, want := range []string{"key 0: no JSON object", "key 1: go-jose"} {
		if !strings.Contains(got, want) {
			t.Errorf("left out: %s, want %q", got, want)
		}
	}
}

// TestClockOfTheirs ensures that the provider's clock is compared by what it
// says, and by nothing where it says nothing.
func TestClockOfTheirs(t *testing.T) {
	p := newOP(t)
	p.nonce, p.claims["iat"] = "nonce-1", nil
	rp := p.party(t, nil)
	if _, err := rp.Finish(t.Context(), request(), callback()); err == nil || rp.Status().SkewKnown {
		t.Errorf("%v, %+v", err, rp.Status())
	}
}

// TestRefusedWithoutAWord ensures that a token endpoint which says nothing is
// not said to have another client registered.
func TestRefusedWithoutAWord(t *testing.T) {
	p := newOP(t)
	p.serve = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
	if _, err := p.party(t, nil).Finish(t.Context(), request(), callback()); !strings.Contains(broker.Message(err), "could not be verified") {
		t.Error(err)
	}
}

// TestRefreshedBeforeTheEnd ensures that a refresh which has all it needs counts,
// also where who asked for it has left meanwhile.
func TestRefreshedBeforeTheEnd(t *testing.T) {
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: ecKey().Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	rp := remote(t, nil, func(r *http.Request) (string, error) {
		if r.URL.Path == "/jwks" {
			leave()
			return string(jwks), nil
		}
		return plainDiscovery, nil
	})
	if err := rp.Refresh(ctx); err != nil || rp.Status().Refreshed.IsZero() || rp.Status().Reach != broker.ReachUp {
		t.Errorf("%v, %+v", err, rp.Status())
	}
}
