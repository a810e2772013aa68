package oidc_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestPushedAnswers ensures that the browser is sent on only with what the
// provider gave for our request, and that the cause of a failure is kept.
func TestPushedAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		why    string // "" where it is taken
	}{
		{"created", 201, `{"request_uri":"urn:x:1"}`, ""},
		{"a plain 200", 200, `{"request_uri":"urn:x:1"}`, ""},
		{"accepted and not done", 202, `{"request_uri":"urn:x:1"}`, "status 202"},
		{"attack: a refusal with a request of somebody else", 400, `{"request_uri":"urn:x:1","error":"invalid_request"}`, "invalid_request"},
		{"a redirect", 302, `{"request_uri":"urn:x:1"}`, "status 302"},
		{"nothing that stands for it", 201, `{}`, "status 201"},
		{"half an answer", 201, `{"request_uri":"urn:x:1","error":7}`, "status 201"},
		{"no JSON", 201, `<html>`, "status 201"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.discovery["require_pushed_authorization_requests"], p.discovery["pushed_authorization_request_endpoint"] = true, p.URL+"/token"
			p.serve = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			}
			ch, err := p.party(t, nil).Begin(t.Context(), request())
			if tt.why == "" {
				if err != nil || ch.URL != p.URL+"/auth?client_id=rolegate&request_uri=urn%3Ax%3A1" {
					t.Errorf("%v, %v", ch, err)
				}
				return
			}
			if broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), tt.why) || ch.URL != "" {
				t.Errorf("%v, want %q; %v", err, tt.why, ch)
			}
		})
	}
}

// TestUnreachableIsSaid ensures that an endpoint nobody answers at is told from
// one that answers badly.
func TestUnreachableIsSaid(t *testing.T) {
	p := newOP(t)
	p.discovery["require_pushed_authorization_requests"], p.discovery["pushed_authorization_request_endpoint"] = true, p.URL+"/push"
	down := "/push"
	rp := p.party(t, func(c *oidc.Config) {
		next := c.HTTP.Transport
		c.HTTP = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == down {
				return nil, errors.New("no route to host")
			}
			return next.RoundTrip(r)
		})}
	})
	if _, err := rp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("pushed: %v", err)
	}
	down = "/jwks"
	if err := rp.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "no route to host") {
		t.Errorf("keys: %v", err)
	}
}
