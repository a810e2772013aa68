package saml_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestFormRefused holds what is wrong before there is a document.
func TestFormRefused(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	raw := base64.StdEncoding.EncodeToString(good().build(t))
	for name, f := range map[string]url.Values{
		"no field":      {},
		"two fields":    {"SAMLResponse": {raw, raw}},
		"empty":         {"SAMLResponse": {""}},
		"not base64":    {"SAMLResponse": {"%%%"}},
		"space inside":  {"SAMLResponse": {raw[:8] + " " + raw[8:]}},
		"artifact":      {"SAMLart": {"x"}, "SAMLResponse": {raw}},
		"not XML":       {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte("hello"))}},
		"empty XML":     {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte("<x/>"))}},
		"only a prolog": {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(`<?xml version="1.0"?>`))}},
	} {
		if _, err := sp.Finish(t.Context(), request(), f); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnotherProvidersAnswer ensures that a good answer of one provider is
// worthless at another.
func TestAnotherProvidersAnswer(t *testing.T) {
	sp := newSP(t, strings.Replace(metadata(idpKey2()), idpEntity, "https://other-idp.example", 1), nil)
	if _, err := sp.Finish(t.Context(), request(), form(good().build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("error %v", err)
	}
}

// TestForceAuthn ensures that a stale authentication is refused where a fresh
// one was asked for.
func TestForceAuthn(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	r := request()
	r.ForceAuthn, r.CreatedAt = true, fixed
	if _, err := sp.Finish(t.Context(), r, form(good().build(t))); err != nil {
		t.Error(err)
	}
	a := good()
	a.before = func(_, as *etree.Element) {
		as.FindElement("./AuthnStatement").CreateAttr("AuthnInstant", at(-time.Hour))
	}
	if _, err := sp.Finish(t.Context(), r, form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("error %v", err)
	}
}

// TestSubjects ensures which NameIDs are lasting keys.
func TestSubjects(t *testing.T) {
	const format = "urn:oasis:names:tc:SAML:%s"
	tests := []struct{ format, id, want string }{
		{"2.0:nameid-format:persistent", "abc", "abc"},
		{"2.0:nameid-format:transient", "abc", ""},
		{"1.1:nameid-format:unspecified", "abc", ""},
		{"1.1:nameid-format:emailAddress", "Alice@Example.com", "alice@example.com"},
		{"1.1:nameid-format:emailAddress", "alice@other.example", ""},
		{"1.1:nameid-format:emailAddress", "alice", ""},
	}
	for _, tt := range tests {
		a := good()
		a.before = func(_, as *etree.Element) {
			n := as.FindElement(".//NameID")
			n.CreateAttr("Format", fmt.Sprintf(format, tt.format))
			n.SetText(tt.id)
		}
		sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.EmailDomains = []string{"example.com"} })
		got, err := sp.Finish(t.Context(), request(), form(a.build(t)))
		if err != nil || got.Subject.ID != tt.want || got.NameID != tt.id {
			t.Errorf("%s %s: %q, error %v", tt.format, tt.id, got.Subject.ID, err)
		}
	}
}
