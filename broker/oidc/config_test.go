package oidc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

func TestConfigRefused(t *testing.T) {
	p := newOP(t)
	for name, change := range map[string]func(*oidc.Config){
		"http issuer":              func(c *oidc.Config) { c.Issuer = "http://idp.example" },
		"no client":                func(c *oidc.Config) { c.ClientID = "" },
		"no secret":                func(c *oidc.Config) { c.ClientSecret = broker.Secret{} },
		"secret and key":           func(c *oidc.Config) { c.ClientKey = rsaKey() },
		"alg none":                 func(c *oidc.Config) { c.Algorithms = []string{"none"} },
		"HMAC":                     func(c *oidc.Config) { c.Algorithms = []string{"HS256"} },
		"scopes, no openid":        func(c *oidc.Config) { c.Scopes = []string{"email"} },
		"skew of an hour":          func(c *oidc.Config) { c.ClockSkew = time.Hour },
		"id with a slash":          func(c *oidc.Config) { c.ID = "a/b" },
		"public URL + path":        func(c *oidc.Config) { c.PublicURL += "/x" },
		"no HTTP client":           func(c *oidc.Config) { c.HTTP = nil },
		"weak client key":          func(c *oidc.Config) { c.ClientSecret, c.ClientKey = broker.Secret{}, weakKey() },
		"issuer with query":        func(c *oidc.Config) { c.Issuer += "?tenant=1" },
		"http issuer, no loopback": func(c *oidc.Config) { c.Issuer, c.InsecureHTTP = "http://idp.example", true },
		"http, under .localhost":   func(c *oidc.Config) { c.Issuer, c.InsecureHTTP = "http://idp.localhost", true },
		"issuer without a host":    func(c *oidc.Config) { c.Issuer = "https:///x" },
		"issuer with a fragment":   func(c *oidc.Config) { c.Issuer = "https://idp.example#x" },
		"issuer that is no URL":    func(c *oidc.Config) { c.Issuer = "https://[::1" },
		"public URL that is none":  func(c *oidc.Config) { c.PublicURL = "https://[::1" },
		"http issuer, an address":  func(c *oidc.Config) { c.Issuer, c.InsecureHTTP = "http://192.0.2.1", true },
		"ftp issuer on loopback":   func(c *oidc.Config) { c.Issuer, c.InsecureHTTP = "ftp://localhost", true },
		"user in the issuer":       func(c *oidc.Config) { c.Issuer = "https://a:b@idp.example" },
	} {
		if _, err := oidc.New(p.config(change)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, issuer := range []string{"http://localhost:18102", "http://[::1]:18102"} {
		if _, err := oidc.New(p.config(func(c *oidc.Config) { c.Issuer, c.InsecureHTTP = issuer, true })); err != nil {
			t.Errorf("plain http on loopback, where it is allowed: %v", err)
		}
	}
	if _, err := oidc.New(p.config(func(c *oidc.Config) { c.Scopes = []string{"email", "openid"} })); err != nil {
		t.Errorf("scopes with openid: %v", err)
	}
	_, err := oidc.New(oidc.Config{ID: "A", Algorithms: []string{"none"}, ClockSkew: -1})
	if ps, _ := errors.AsType[broker.Problems](err); len(ps) != 8 {
		t.Errorf("%d problems are told at once: %v", len(ps), err)
	}
	_, err = oidc.New(p.config(func(c *oidc.Config) { c.Issuer = "https://svc:hunter2@idp.example?token=hunter2" }))
	if s := fmt.Sprint(err); strings.Contains(s, "hunter2") || strings.Contains(s, "svc") {
		t.Errorf("the secret of an address is told: %v", err)
	}
}
