package saml_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestFormRefused holds what is wrong before there is a document.
func TestFormRefused(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	doc := good().build(t)
	doc = append(doc, "  "[:(3-len(doc)%3)%3]...) // so that no padding ends the field
	raw := base64.StdEncoding.EncodeToString(doc)
	if _, err := sp.Finish(t.Context(), request(), url.Values{"SAMLResponse": {raw}}); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]url.Values{
		"no field":               {},
		"two fields":             {"SAMLResponse": {raw, raw}},
		"empty":                  {"SAMLResponse": {""}},
		"not base64":             {"SAMLResponse": {"%%%"}},
		"vertical tab":           {"SAMLResponse": {raw[:8] + "\v" + raw[8:]}},
		"artifact":               {"SAMLart": {"x"}, "SAMLResponse": {raw}},
		"not XML":                {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte("hello"))}},
		"empty XML":              {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte("<x/>"))}},
		"only a prolog":          {"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(`<?xml version="1.0"?>`))}},
		"whole, then not base64": {"SAMLResponse": {raw + "%"}},
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
	if got, err := sp.Finish(t.Context(), request(), form(a.build(t))); err != nil || !got.AuthnInstant.IsZero() {
		t.Errorf("not asked for: %v, %s", err, got.AuthnInstant)
	}
}

// TestStatusMessage ensures that what the provider says of its refusal is in the
// trace, cut and quoted, and on no page.
func TestStatusMessage(t *testing.T) {
	a := good()
	a.after = func(r *etree.Element) {
		st := r.FindElement("./Status")
		st.FindElement("./StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		m := st.CreateElement("samlp:StatusMessage")
		m.SetText("MFA \u202e refused\n" + strings.Repeat("x", 1000))
	}
	trace := &broker.Trace{}
	_, err := newSP(t, metadata(idpKey()), nil).Finish(broker.WithTrace(t.Context(), trace), request(), form(a.build(t)))
	steps := trace.Steps()
	said := steps[len(steps)-1].Detail
	if !strings.Contains(said, `message "MFA \u202e refused xxx`) || strings.Contains(said, strings.Repeat("x", 201)) {
		t.Errorf("the trace says %q", said)
	}
	if strings.Contains(broker.Message(err)+broker.Remedy(err), "MFA") {
		t.Errorf("the page says %v", broker.Message(err))
	}
}

// TestFreshness ensures that an AuthnInstant counts only from an answer to a
// request for a fresh sign-in, as some providers write the time of the answer.
func TestFreshness(t *testing.T) {
	for _, tt := range []struct {
		name          string
		forced, trust bool
		want          time.Time
	}{
		{"not asked for", false, false, time.Time{}},
		{"asked for", true, false, fixed},
		{"trusted", false, true, fixed},
	} {
		sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.TrustInstant, c.IDPInitiated = tt.trust, true })
		r := request()
		r.ForceAuthn = tt.forced
		if got, err := sp.Finish(t.Context(), r, form(good().build(t))); err != nil || !got.AuthnInstant.Equal(tt.want) {
			t.Errorf("%s: %s, error %v", tt.name, got.AuthnInstant, err)
		}
	}
}

// TestSubjects ensures which NameIDs are lasting keys.
func TestSubjects(t *testing.T) {
	const (
		persistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
		transient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
		unspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
		email       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	)
	tests := []struct {
		name, format, id string
		attr, value      string
		want             string
	}{
		{"persistent", persistent, "Abc", "", "", "Abc"},
		{"persistent, qualified by the provider", persistent, "abc", "NameQualifier", idpEntity, "abc"},
		{"persistent, qualified by another provider", persistent, "abc", "NameQualifier", "https://other.example", ""},
		{"persistent, made for another service", persistent, "abc", "SPNameQualifier", "https://other.example", ""},
		{"transient", transient, "abc", "", "", ""},
		{"unspecified", unspecified, "abc", "", "", ""},
		{"no format", "", "abc", "", "", ""},
		{"unspecified, qualified by another provider", unspecified, "abc", "NameQualifier", "https://other.example", ""},
		{"no format, made for another service", "", "abc", "SPNameQualifier", "https://other.example", ""},
		{"e-mail", email, "Alice@Example.com", "", "", "alice@example.com"},
		{"e-mail of another domain", email, "alice@other.example", "", "", ""},
		{"e-mail of a subdomain", email, "alice@x.example.com", "", "", ""},
		{"e-mail with two @", email, "alice@other.example@example.com", "", "", ""},
		{"e-mail without a domain", email, "alice", "", "", ""},
		{"e-mail without a name", email, "@example.com", "", "", ""},
		{"e-mail with a letter that folds into another", email, "mar\u212a@example.com", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := good()
			change(func(as *etree.Element) {
				n := as.FindElement(".//NameID")
				n.CreateAttr("Format", tt.format)
				n.SetText(tt.id)
				if tt.attr != "" {
					n.CreateAttr(tt.attr, tt.value)
				}
			})(&a)
			sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.EmailDomains = []string{"Example.com"} })
			got, err := sp.Finish(t.Context(), request(), form(a.build(t)))
			given := "" // what identity.subject may build on
			if tt.name == "unspecified" || tt.name == "no format" {
				given = tt.id
			}
			if got.GivenID != given {
				t.Errorf("identity.subject is given %q", got.GivenID)
			}
			if err != nil || got.Subject.ID != tt.want || got.NameID != tt.id {
				t.Errorf("%q, NameID %q, error %v", got.Subject.ID, got.NameID, err)
			}
		})
	}
	sp := newSP(t, metadata(idpKey()), nil)
	a := good()
	change(func(as *etree.Element) {
		as.FindElement(".//NameID").CreateAttr("Format", email)
		as.FindElement(".//NameID").SetText("alice@example.com")
	})(&a)
	if got, err := sp.Finish(t.Context(), request(), form(a.build(t))); err != nil || got.Subject.ID != "" {
		t.Errorf("e-mail of a provider that is not authoritative: %q, error %v", got.Subject.ID, err)
	}
}

// TestStatuses ensures that what the identity provider refuses gets a sentence
// of its own, and no document of theirs in it.
func TestStatuses(t *testing.T) {
	const prefix = "urn:oasis:names:tc:SAML:2.0:status:"
	sp := newSP(t, metadata(idpKey()), nil)
	for second, want := range map[string]string{
		"NoAuthnContext": "second factor", "AuthnFailed": "did not sign you in", "RequestDenied": "did not sign you in",
		"UnknownPrincipal": "did not sign you in", "InvalidNameIDPolicy": "name you", "": "answered with an error", "x<y": "answered with an error",
	} {
		a := good()
		a.signAssertion = nil
		a.after = func(r *etree.Element) {
			r.RemoveChild(assertionOf(r))
			code := r.FindElement(".//StatusCode")
			code.CreateAttr("Value", prefix+"Responder")
			if second != "" {
				code.AddChild(parse(`<samlp:StatusCode xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`))
				code.ChildElements()[0].CreateAttr("Value", prefix+second)
			}
		}
		_, err := sp.Finish(t.Context(), request(), form(a.build(t)))
		if broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(broker.Message(err), want) || broker.Remedy(err) == "" {
			t.Errorf("%s: %q, %v", second, broker.Message(err), err)
		}
	}
}

// TestRequestedContext ensures that a context that was asked for is there.
func TestRequestedContext(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	r := request()
	r.RequestedContext = []string{"urn:x", "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"}
	if _, err := sp.Finish(t.Context(), r, form(good().build(t))); err != nil {
		t.Error(err)
	}
	r.RequestedContext = []string{"urn:x"}
	_, err := sp.Finish(t.Context(), r, form(good().build(t)))
	if broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(broker.Message(err), "second factor") {
		t.Error(err)
	}
}

// TestClaims ensures what becomes a claim under which name.
func TestClaims(t *testing.T) {
	a := good()
	change(func(as *etree.Element) {
		st := as.FindElement("./AttributeStatement")
		for _, c := range st.ChildElements() {
			st.RemoveChild(c)
		}
		for _, x := range []string{
			`Name="urn:1" FriendlyName="mail">a@example.com`, `Name="urn:2" FriendlyName="uid">alice`, `Name="urn:3" FriendlyName="uid">mallory`,
			`Name="groups">users`, `Name="urn:4" FriendlyName="groups">admins`, `Name="Groups">Case`, `Name="joined">a, b; c`, `Name="empty">`,
			`Name="http://schemas.microsoft.com/claims/authnmethodsreferences">http://schemas.microsoft.com/claims/multipleauthn`,
		} {
			at, value, _ := strings.Cut(x, ">")
			st.AddChild(parse(`<saml:Attribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ` + at + `><saml:AttributeValue>` + value + `</saml:AttributeValue></saml:Attribute>`))
		}
	})(&a)
	got, err := newSP(t, metadata(idpKey()), nil).Finish(t.Context(), request(), form(a.build(t)))
	if err != nil {
		t.Fatal(err)
	}
	amr := []string{"http://schemas.microsoft.com/claims/multipleauthn"}
	want := broker.Claims{
		"urn:1": {"a@example.com"}, "mail": {"a@example.com"}, "urn:2": {"alice"}, "urn:3": {"mallory"},
		"groups": {"users"}, "urn:4": {"admins"}, "Groups": {"Case"}, "joined": {"a, b; c"}, "empty": {""},
		"http://schemas.microsoft.com/claims/authnmethodsreferences": amr,
	}
	if d := cmp.Diff(want, got.Claims); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(amr, got.AuthnContext.AMR); d != "" {
		t.Error(d)
	}
}

// TestClock ensures that the measured skew is in the trace and the status, that
// a session's end is taken over, and that the trace holds no document.
func TestClock(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Now = func() time.Time { return fixed.Add(-42 * time.Second) } })
	a := good()
	set("./AuthnStatement", "SessionNotOnOrAfter", at(8*time.Hour))(&a)
	trace := &broker.Trace{}
	got, err := sp.Finish(broker.WithTrace(t.Context(), trace), request(), form(a.build(t)))
	if err != nil || !got.NotOnOrAfter.Equal(fixed.Add(8*time.Hour)) {
		t.Fatal(got.NotOnOrAfter, err)
	}
	all := fmt.Sprint(trace.Steps())
	if !strings.Contains(all, "42s from ours") || sp.Status().Skew != 42*time.Second {
		t.Errorf("skew %s, trace %s", sp.Status().Skew, all)
	}
	if strings.ContainsAny(all, "<>") || strings.Contains(all, "group-1") || strings.Contains(all, "alice") {
		t.Errorf("the trace holds what was asserted: %s", all)
	}
}

// TestCost ensures that groups cost what they weigh, that a hostile document
// builds no tree, and that a refusal allocates no more than 60 bytes a byte.
func TestCost(t *testing.T) {
	sp := newSP(t, metadata(idpKey(), idpKey2()), func(c *saml.Config) { c.MaxResponse = 1 << 20 })
	allocs := func(f url.Values) float64 {
		return testing.AllocsPerRun(3, func() { _, _ = sp.Finish(t.Context(), request(), f) })
	}
	groups := func(n int) url.Values {
		a := good()
		a.groups = n
		return form(a.build(t))
	}
	if few, many := allocs(groups(500)), allocs(groups(3000)); many/few > 7.5 {
		t.Errorf("3,000 groups cost %.1f times what 500 do", many/few)
	}
	const open = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol">`
	if n := allocs(form([]byte(open + strings.Repeat("<a>", 50000)))); n > 2000 {
		t.Errorf("50,000 nested elements cost %.0f allocations", n)
	}
	forged := good()
	forged.groups = 1800
	text("alice-0001", "mallory-01")(&forged)
	unsigned := good()
	unsigned.groups, unsigned.signAssertion = 2000, nil
	evil := evilKey()
	other := good()
	other.groups, other.signAssertion, other.noKeyInfo = 1800, &evil, true
	for name, raw := range map[string][]byte{
		"nested":          []byte(open + strings.Repeat("<a>", 60000)),
		"flat":            []byte(open + strings.Repeat("<a/>", 19000) + strings.Repeat(" ", 100000) + "</samlp:Response>"),
		"flat, too many":  []byte(open + strings.Repeat("<a/>", 45000) + "</samlp:Response>"),
		"attributes":      []byte(open + strings.Repeat(`<a b="" c="" d="" e="" f=""/>`, 6500) + "</samlp:Response>"),
		"text":            []byte(open + strings.Repeat("x&#65;", 30000) + "</samlp:Response>"),
		"one long name":   []byte(open + "<" + strings.Repeat("a", 190000) + "/></samlp:Response>"),
		"unsigned":        unsigned.build(t),
		"signed by other": other.build(t),
		"forged":          forged.build(t),
	} {
		f := form(raw)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := sp.Finish(t.Context(), request(), f)
		runtime.ReadMemStats(&after)
		if broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("%s: %v", name, err)
		}
		perByte := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(f.Get("SAMLResponse")))
		t.Logf("%-16s %6d bytes of base64, %.1f bytes allocated for each: %v", name, len(f.Get("SAMLResponse")), perByte, err)
		if perByte > 60 {
			t.Errorf("%s: %.0f bytes allocated for each byte", name, perByte)
		}
	}
}
