package oidc_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestStanding ensures that a provider is told of as up and down once for each
// change, that a refresh which we break off ourselves says nothing about it, and
// that secrets in its address are in no error.
func TestStanding(t *testing.T) {
	var told []broker.ProviderStatus
	now, up, leave := time.Now(), false, func() {}
	p := newOP(t)
	rp := p.party(t, func(c *oidc.Config) {
		next := c.HTTP.Transport
		c.DiscoveryURL = p.URL + "/.well-known/openid-configuration?key=planted"
		c.Now, c.Changed = func() time.Time { return now }, func(s broker.ProviderStatus) { told = append(told, s) }
		c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if leave(); r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			if !up {
				return nil, errors.New("connection refused")
			}
			return next.RoundTrip(r)
		})}
	})
	for i, step := range []struct {
		name    string
		up      bool // it answers
		leave   bool // we do, before it does
		reach   broker.Reach
		changes int
	}{
		{"given up before the first answer", false, true, broker.ReachUnknown, 0}, {"down at the start", false, false, broker.ReachDown, 1},
		{"still down", false, false, broker.ReachDown, 1}, {"up", true, false, broker.ReachUp, 2}, {"still up", true, false, broker.ReachUp, 2},
		{"given up", false, true, broker.ReachUp, 2}, {"down again", false, false, broker.ReachDown, 3},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		up, leave = step.up, func() {}
		if now = now.Add(time.Hour); step.leave {
			leave = cancel
		}
		err := rp.Refresh(ctx)
		cancel()
		if s := rp.Status(); (err == nil) != step.up || s.Reach != step.reach || len(told) != step.changes {
			t.Errorf("step %d, %s: %v, %+v, told %d times", i, step.name, err, s.Standing, len(told))
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if s := told[len(told)-1]; !s.Down() || !s.Since.Equal(now) || s.Failures != 3 || s.Refreshed.IsZero() {
		t.Errorf("told last: %+v", s)
	}
}

// TestLeftOutIsSaid ensures that the status names what of the discovery document
// and of the keys is not used, and nothing else.
func TestLeftOutIsSaid(t *testing.T) {
	p := newOP(t)
	rp := p.party(t, nil)
	if err := rp.Refresh(t.Context()); err != nil || len(rp.ProviderStatus().LeftOut) > 0 {
		t.Errorf("%v, left out %q", err, rp.ProviderStatus().LeftOut)
	}
	p.discovery["revocation_endpoint"] = "https://svc:planted@idp.example/revoke?key=planted"
	p.rawKeys = []any{p.jwks[0], map[string]any{"kty": "EC", "kid": "odd", "crv": "P-1"}}
	if err := rp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(rp.ProviderStatus().LeftOut, "; ")
	if !strings.Contains(got, "revocation_endpoint") || !strings.Contains(got, "key 1") || strings.Contains(got, "planted") {
		t.Errorf("left out: %s", got)
	}
}
