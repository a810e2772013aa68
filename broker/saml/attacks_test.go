package saml_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestEdgeOfTheSkew ensures that each time condition turns over at exactly its
// instant and the provider's skew, to the nanosecond.
func TestEdgeOfTheSkew(t *testing.T) {
	const skew = 30 * time.Second
	late := func(path, name string) func(*answer) { return set(path, name, at(2*time.Minute)) }
	for _, tt := range []struct {
		name   string
		answer func(*answer)
		edge   time.Duration // our clock, from the moment of issue
		after  bool          // refused at the edge and after it, else before it
	}{
		{"Conditions NotOnOrAfter", late("./Conditions", "NotOnOrAfter"), 2*time.Minute + skew, true},
		{"Conditions NotBefore", set("./Conditions", "NotBefore", at(2*time.Minute)), 2*time.Minute - skew, false},
		{"confirmation NotOnOrAfter", late(".//SubjectConfirmationData", "NotOnOrAfter"), 2*time.Minute + skew, true},
		{"SessionNotOnOrAfter", late("./AuthnStatement", "SessionNotOnOrAfter"), 2*time.Minute + skew, true},
		{"AuthnInstant to come", set("./AuthnStatement", "AuthnInstant", at(2*time.Minute)), 2*time.Minute - skew, false},
		{"IssueInstant to come", nil, -skew, false},
		{"IssueInstant long ago", func(a *answer) {
			a.before = func(_, as *etree.Element) {
				for _, path := range []string{"./Conditions", ".//SubjectConfirmationData"} {
					as.FindElement(path).CreateAttr("NotOnOrAfter", at(time.Hour))
				}
			}
		}, broker.SignInTTL + skew + 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good()
			if tt.answer != nil {
				tt.answer(&a)
			}
			f := form(a.build(t))
			for _, off := range []time.Duration{-1, 0, 1} {
				sp := newSP(t, metadata(idpKey()), func(c *saml.Config) {
					c.ClockSkew, c.Now = skew, func() time.Time { return fixed.Add(tt.edge + off) }
				})
				_, err := sp.Finish(t.Context(), request(), f)
				want := tt.after == (off < 0)
				if !tt.after {
					want = off >= 0
				}
				if (err == nil) != want {
					t.Errorf("%d ns from the edge: %v", off, err)
				}
			}
		})
	}
}

// TestAnotherProvider ensures that what another provider, itself trusted here,
// says in all validity is worth nothing for this one.
func TestAnotherProvider(t *testing.T) {
	other, one := idpKey2(), idpKey()
	for _, tt := range []struct {
		name   string
		answer func(*answer)
	}{
		{"its valid answer", func(a *answer) {
			a.signAssertion = &other
			a.before = func(r, as *etree.Element) {
				r.FindElement("./Issuer").SetText("https://other.example.com")
				as.FindElement("./Issuer").SetText("https://other.example.com")
			}
		}},
		{"its signature under this one's name", func(a *answer) { a.signAssertion = &other }},
		{"its signature on the response, this one's name on the assertion", func(a *answer) { a.signAssertion, a.signResponse = nil, &other }},
		{"this one's signature under its name", func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement("./Issuer").SetText("https://other.example.com") }
		}},
		{"this one's answer for our side of the other", func(a *answer) {
			a.before = func(r, as *etree.Element) {
				r.CreateAttr("Destination", strings.Replace(acs, "/corp/", "/other/", 1))
				as.FindElement(".//SubjectConfirmationData").CreateAttr("Recipient", strings.Replace(acs, "/corp/", "/other/", 1))
				as.FindElement(".//Audience").SetText(strings.Replace(spEntity, "/corp/", "/other/", 1))
			}
		}},
		{"both signed, the response by it", func(a *answer) { a.signAssertion, a.signResponse = &one, &other }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, policy := range []saml.SignaturePolicy{saml.SignedAssertion, saml.SignedResponse, saml.SignedBoth, saml.SignedEither} {
				a := good()
				tt.answer(&a)
				sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Signature = policy })
				if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
					t.Errorf("policy %s: %v", policy, err)
				}
			}
		})
	}
}

// TestEncryptedAssertionSwapped ensures that an encrypted assertion is worth
// nothing in another response, though it decrypts and its signature verifies.
func TestEncryptedAssertionSwapped(t *testing.T) {
	one := idpKey()
	stolen := func(change func(*etree.Element)) *etree.Element {
		a := good()
		a.encrypt = sealed(sealing{bits: 256})
		a.before = func(_, as *etree.Element) { change(as) }
		return parse(string(a.build(t))).FindElement("./EncryptedAssertion")
	}
	swap := func(in *etree.Element) func(r *etree.Element) {
		return func(r *etree.Element) {
			old := r.FindElement("./EncryptedAssertion")
			i := old.Index()
			r.RemoveChild(old)
			r.InsertChildAt(i, in.Copy())
		}
	}
	sameRequest := stolen(func(as *etree.Element) { as.FindElement(".//NameID").SetText("mallory") })
	otherRequest := stolen(func(as *etree.Element) {
		as.FindElement(".//SubjectConfirmationData").CreateAttr("InResponseTo", "id-ffffffffffffffffffffffffffffffff")
	})
	for _, tt := range []struct {
		name, why string
		policy    saml.SignaturePolicy
		in        *etree.Element
	}{
		{"from another sign-in", "the confirmation answers", saml.SignedAssertion, otherRequest},
		{"into a signed response", "signature of the response", saml.SignedBoth, sameRequest},
		{"into a signed response, response policy", "signature of the response", saml.SignedResponse, sameRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := good()
			a.encrypt, a.after = sealed(sealing{bits: 256}), swap(tt.in)
			if tt.policy != saml.SignedAssertion {
				a.signResponse = &one
			}
			sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Signature = tt.policy })
			if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("error %v, want %q", err, tt.why)
			}
		})
	}
}

// TestCBCPaddingProbes ensures that where AES-CBC is allowed, who changes the
// last byte of the block before the last in all 256 ways learns nothing from
// TestCBCPadding ensures that every length of padding is taken off.
func TestCBCPadding(t *testing.T) {
	for n := range 16 {
		a := good()
		a.encrypt = sealed(sealing{bits: 128, cbc: true, plain: func(b []byte) []byte { return append(b, strings.Repeat("\n", n)...) }})
		sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.InsecureAllowCBC = true })
		if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); err != nil {
			t.Errorf("%d more: %v", n, err)
		}
	}
}

// error or trace, so there is no padding oracle.
func TestCBCPaddingProbes(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.InsecureAllowCBC = true })
	a := good()
	a.encrypt = sealed(sealing{bits: 128, cbc: true})
	doc := parse(string(a.build(t)))
	value := doc.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue")
	raw, err := base64.StdEncoding.DecodeString(value.Text())
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]int{}
	for delta := 1; delta < 256; delta++ {
		probe := append([]byte(nil), raw...)
		probe[len(probe)-17] ^= byte(delta)
		value.SetText(base64.StdEncoding.EncodeToString(probe))
		trace := &broker.Trace{}
		_, err := sp.Finish(broker.WithTrace(t.Context(), trace), request(), form([]byte(xmlOf(doc))))
		if broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Fatalf("delta %d: %v", delta, err)
		}
		steps := trace.Steps()
		last := steps[len(steps)-1]
		answers[broker.Message(err)+broker.Remedy(err)+"|"+err.Error()+"|"+last.Name+fmt.Sprint(len(steps))]++
	}
	if len(answers) != 1 {
		t.Errorf("%d answers that a probe can tell apart: %v", len(answers), answers)
	}
}

// TestNestedElements ensures that nested elements are refused where the limit
// is: ten times as many that nobody reads cost not one allocation more.
func TestNestedElements(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.MaxResponse = 16 << 20 })
	steps := func(n int) float64 {
		a := good()
		text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", n)+strings.Repeat("</a>", n))(&a)
		f := form(a.build(t))
		return testing.AllocsPerRun(3, func() {
			if _, err := sp.Finish(t.Context(), request(), f); err == nil || !strings.Contains(err.Error(), "nested deeper than") {
				t.Fatal(err)
			}
		})
	}
	few, many := steps(50_000), steps(500_000)
	t.Logf("allocations for 50,000 nested elements: %.0f, for 500,000: %.0f", few, many)
	if few > 5_000 || many > few+500 {
		t.Errorf("%.0f allocations for 50,000 nested elements, %.0f for 500,000: what comes after the limit is read", few, many)
	}
}
