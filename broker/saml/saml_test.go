package saml_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestAccepts holds the legal variety: every row must pass and say the same.
func TestAccepts(t *testing.T) {
	one, two, ec := idpKey(), idpKey2(), idpECKey()
	tests := []struct {
		name   string
		meta   string
		config func(*saml.Config)
		answer func(*answer)
	}{
		{"assertion signed", metadata(one), nil, nil},
		{"response signed", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) { a.signAssertion, a.signResponse = nil, &one }},
		{"both signed", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedBoth }, func(a *answer) { a.signResponse = &one }},
		{"both signed, assertion needed", metadata(one), nil, func(a *answer) { a.signResponse = &one }},
		{"either: assertion", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedEither }, nil},
		{"either: response", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedEither }, func(a *answer) { a.signAssertion, a.signResponse = nil, &one }},
		{"other prefix", metadata(one), nil, func(a *answer) { a.prefix = "ns2" }},
		{"default namespace", metadata(one), nil, func(a *answer) { a.prefix = "" }},
		{"pretty printed", metadata(one), nil, func(a *answer) { a.indent = true }},
		{"no KeyInfo, two certificates", metadata(two, one), nil, func(a *answer) { a.noKeyInfo = true }},
		{"KeyInfo, two certificates", metadata(two, one), nil, nil},
		{"rollover to the second certificate", metadata(one, two), nil, func(a *answer) { a.signAssertion = &two }},
		{"RSA-SHA512", metadata(one), nil, func(a *answer) { a.method = dsig.RSASHA512SignatureMethod }},
		{"ECDSA-SHA256", metadata(ec), nil, func(a *answer) { a.signAssertion, a.method = &ec, dsig.ECDSASHA256SignatureMethod }},
		{"AES-128-GCM", metadata(one), nil, func(a *answer) { a.encrypt = encryptGCM(16) }},
		{"AES-256-GCM", metadata(one), func(c *saml.Config) { c.WantEncrypted = true }, func(a *answer) { a.encrypt = encryptGCM(32) }},
		{"AES-GCM in a signed response", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedBoth }, func(a *answer) { a.encrypt, a.signResponse = encryptGCM(32), &one }},
		{"AES-CBC where allowed", metadata(one), func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) { a.encrypt = encryptCBC }},
		{"in an EntitiesDescriptor", `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + metadata(one) + strings.Replace(metadata(two), idpEntity, "https://other.example", 1) + `</EntitiesDescriptor>`,
			func(c *saml.Config) { c.IDPEntityID = idpEntity }, nil},
		{"line breaks in the field", metadata(one), nil, nil},
		{"clock 59 s ahead", metadata(one), func(c *saml.Config) { c.Now = func() time.Time { return fixed.Add(-59 * time.Second) } }, nil},
		{"clock 59 s behind the end", metadata(one), func(c *saml.Config) { c.Now = func() time.Time { return fixed.Add(5*time.Minute + 59*time.Second) } }, nil},
		{"3,000 groups", metadata(one), func(c *saml.Config) { c.MaxResponse = 1 << 20 }, func(a *answer) { a.groups = 3000 }},
		{"3,000 groups, response signed", metadata(one), func(c *saml.Config) { c.MaxResponse, c.Signature = 1<<20, saml.SignedResponse }, func(a *answer) { a.groups, a.signAssertion, a.signResponse = 3000, nil, &one }},
		{"a second, unconfirmed confirmation", metadata(one), nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Subject").AddChild(parse(`<saml:SubjectConfirmation xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"/>`))
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := good()
			if tt.answer != nil {
				tt.answer(&a)
			}
			f := form(a.build(t))
			if tt.name == "line breaks in the field" {
				v := f.Get("SAMLResponse")
				f.Set("SAMLResponse", v[:76]+"\r\n"+v[76:])
			}
			trace := broker.Traces{Now: time.Now}.Start()
			got, err := newSP(t, tt.meta, tt.config).Finish(broker.WithTrace(t.Context(), trace), request(), f)
			if err != nil {
				t.Fatal(err)
			}
			want := broker.Authentication{
				Subject: broker.Subject{Provider: "corp", ID: "alice-0001"}, NameID: "alice-0001",
				NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
				AuthnContext: broker.AuthnContext{ACR: "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"},
				AuthnInstant: fixed, SessionIndex: "s1", ReplayID: "_a1", ReplayExpires: fixed.Add(6 * time.Minute),
			}
			if len(got.Claims["groups"]) != a.groups || got.Claims.First("mail") != "alice@example.com" {
				t.Errorf("%d groups, claims %v", len(got.Claims["groups"]), got.Claims.First("mail"))
			}
			got.Claims = nil
			if d := cmp.Diff(want, got, cmp.AllowUnexported(broker.Secret{})); d != "" {
				t.Error(d)
			}
			if len(trace.Steps()) < 6 {
				t.Errorf("trace %v", trace.Steps())
			}
		})
	}
}

func wrap(inner *etree.Element, in string) *etree.Element {
	el := parse(in)
	el.AddChild(inner)
	return el
}

// forge returns a copy of the assertion that says mallory, unsigned.
func forge(as *etree.Element, id string) *etree.Element {
	evil := standalone(as)
	if s := evil.FindElement("./Signature"); s != nil {
		evil.RemoveChild(s)
	}
	evil.CreateAttr("ID", id)
	evil.FindElement("./Subject/NameID").SetText("mallory")
	return evil
}

// TestRefuses holds the attacks by name; each must be refused, by our code and
// not by a panic.
func TestRefuses(t *testing.T) {
	one, evil, weak := idpKey(), evilKey(), weakKey()
	assertionOf := func(r *etree.Element) *etree.Element { return r.FindElement("./Assertion") }
	sigOf := func(r *etree.Element) *etree.Element { return r.FindElement("./Assertion/Signature") }
	set := func(path, name, value string) func(*answer) {
		return func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(path).CreateAttr(name, value) }
		}
	}
	remove := func(path string) func(*answer) {
		return func(a *answer) {
			a.before = func(_, as *etree.Element) { e := as.FindElement(path); e.Parent().RemoveChild(e) }
		}
	}
	after := func(f func(r *etree.Element)) func(*answer) { return func(a *answer) { a.after = f } }
	text := func(old, new string) func(*answer) {
		return func(a *answer) {
			a.raw = func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
		}
	}
	tests := []struct {
		name   string
		config func(*saml.Config)
		answer func(*answer)
	}{
		{"unsigned", nil, func(a *answer) { a.signAssertion = nil }},
		{"signed by somebody else", nil, func(a *answer) { a.signAssertion = &evil }},
		{"signed by somebody else without KeyInfo", nil, func(a *answer) { a.signAssertion, a.noKeyInfo = &evil, true }},
		{"tampered NameID", nil, text("alice-0001", "mallory-01")},
		{"tampered group", nil, text("group-1", "admins-")},
		{"only the response signed, assertion needed", nil, func(a *answer) { a.signAssertion, a.signResponse = nil, &one }},
		{"only the assertion signed, response needed", func(c *saml.Config) { c.Signature = saml.SignedResponse }, nil},
		{"only one signed, both needed", func(c *saml.Config) { c.Signature = saml.SignedBoth }, nil},
		{"response signature forged, assertion good", nil, func(a *answer) { a.signResponse = &evil }},
		{"XSW1 response copied into the signature", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			a.signAssertion, a.signResponse = nil, &one
			a.after = func(r *etree.Element) {
				orig := r.Copy()
				orig.RemoveChild(orig.FindElement("./Signature"))
				r.FindElement("./Signature").AddChild(wrap(orig, `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
				r.CreateAttr("ID", "_evil")
				assertionOf(r).FindElement("./Subject/NameID").SetText("mallory")
			}
		}},
		{"XSW2 response beside a detached signature", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			a.signAssertion, a.signResponse = nil, &one
			a.after = func(r *etree.Element) {
				orig := r.Copy()
				orig.RemoveChild(orig.FindElement("./Signature"))
				r.InsertChildAt(0, orig)
				r.CreateAttr("ID", "_evil")
				assertionOf(r).FindElement("./Subject/NameID").SetText("mallory")
			}
		}},
		{"XSW3 forged assertion before the signed one", nil, after(func(r *etree.Element) { r.InsertChildAt(1, forge(assertionOf(r), "_evil")) })},
		{"XSW4 signed assertion inside the forged one", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			r.RemoveChild(orig)
			e.AddChild(orig)
			r.AddChild(e)
		})},
		{"XSW5 forged assertion carries the signature, signed one after", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			e.InsertChildAt(1, sig)
			r.InsertChildAt(orig.Index(), e)
		})},
		{"XSW6 signed assertion inside the forged one's signature", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			r.RemoveChild(orig)
			sig.AddChild(orig)
			e.InsertChildAt(1, sig)
			r.AddChild(e)
		})},
		{"XSW7 forged assertion in Extensions", nil, after(func(r *etree.Element) {
			r.InsertChildAt(1, wrap(forge(assertionOf(r), "_evil"), `<samlp:Extensions xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`))
		})},
		{"XSW8 signed assertion in an Object of the forged one", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			r.RemoveChild(orig)
			sig.AddChild(wrap(orig, `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
			e.InsertChildAt(1, sig)
			r.AddChild(e)
		})},
		{"forged assertion in another namespace's clothes", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			r.RemoveChild(orig)
			r.AddChild(wrap(orig, `<x:Wrapper xmlns:x="urn:x"/>`))
		})},
		{"same ID twice", nil, after(func(r *etree.Element) { r.CreateAttr("ID", "_a1") })},
		{"two assertions, both signed", nil, after(func(r *etree.Element) { r.AddChild(assertionOf(r).Copy()) })},
		{"two signatures on the assertion", nil, after(func(r *etree.Element) { assertionOf(r).AddChild(sigOf(r).Copy()) })},
		{"second SignedInfo (CVE-2025-29774)", nil, after(func(r *etree.Element) { sigOf(r).AddChild(sigOf(r).FindElement("./SignedInfo").Copy()) })},
		{"wrapped SignedInfo (CVE-2025-29774)", nil, after(func(r *etree.Element) {
			si := sigOf(r).FindElement("./SignedInfo")
			sigOf(r).InsertChildAt(0, wrap(si.Copy(), `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
		})},
		{"comment in DigestValue (CVE-2025-29775)", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//DigestValue").CreateComment("x") })},
		{"comment in NameID (CVE-2017-11427)", nil, text("alice-0001", "alice<!-- -->-0001")},
		{"comment anywhere", nil, text("<samlp:Status>", "<samlp:Status><!-- x -->")},
		{"processing instruction", nil, text("<samlp:Status>", "<samlp:Status><?x y?>")},
		{"DOCTYPE (CVE-2025-25291)", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append([]byte(`<!DOCTYPE x>`), b...) } }},
		{"entities", nil, func(a *answer) {
			a.raw = func(b []byte) []byte {
				return append([]byte(`<!DOCTYPE x [<!ENTITY e "mallory">]>`), bytes.Replace(b, []byte("alice-0001"), []byte("&e;"), 1)...)
			}
		}},
		{"two root elements", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append(b, b...) } }},
		{"text after the root", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append(b, 'x') } }},
		{"UTF-16 declared", nil, func(a *answer) {
			a.raw = func(b []byte) []byte { return append([]byte(`<?xml version="1.0" encoding="UTF-16"?>`), b...) }
		}},
		{"empty reference", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//Reference").CreateAttr("URI", "") })},
		{"reference to another element", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//Reference").CreateAttr("URI", "#_r1") })},
		{"no reference", nil, after(func(r *etree.Element) { e := sigOf(r).FindElement(".//Reference"); e.Parent().RemoveChild(e) })},
		{"two references", nil, after(func(r *etree.Element) { e := sigOf(r).FindElement(".//Reference"); e.Parent().AddChild(e.Copy()) })},
		{"XSLT transform", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//Transforms").CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
		})},
		{"XPath transform", nil, after(func(r *etree.Element) {
			sigOf(r).FindElements(".//Transform")[1].CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		})},
		{"canonicalization with comments", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//CanonicalizationMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments")
		})},
		{"HMAC with the public key", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1")
		})},
		{"HMACOutputLength (CVE-2009-0217)", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateElement("ds:HMACOutputLength").SetText("1")
		})},
		{"RSA-SHA1", nil, func(a *answer) { a.method = dsig.RSASHA1SignatureMethod }},
		{"SHA-1 digest", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//DigestMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1")
		})},
		{"MD5 signature", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5")
		})},
		{"RSA-1024", nil, func(a *answer) { a.signAssertion = &weak }},
		{"empty signature", nil, after(func(r *etree.Element) {
			s := sigOf(r)
			for _, c := range s.ChildElements() {
				s.RemoveChild(c)
			}
		})},
		{"KeyInfo with two certificates", nil, after(func(r *etree.Element) {
			d := sigOf(r).FindElement(".//X509Data")
			d.AddChild(d.ChildElements()[0].Copy())
		})},
		{"issuer of the assertion", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement("./Issuer").SetText("https://evil.example") }
		}},
		{"issuer of the response", nil, after(func(r *etree.Element) { r.FindElement("./Issuer").SetText("https://evil.example") })},
		{"no issuer", nil, remove("./Issuer")},
		{"audience", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(".//Audience").SetText("https://other.example") }
		}},
		{"no audience restriction", nil, remove(".//AudienceRestriction")},
		{"two audience restrictions, one wrong", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").AddChild(parse(`<saml:AudienceRestriction xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`))
			}
		}},
		{"condition not understood", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").AddChild(parse(`<x:Condition xmlns:x="urn:x"/>`))
			}
		}},
		{"no conditions", nil, remove("./Conditions")},
		{"recipient", nil, set(".//SubjectConfirmationData", "Recipient", "https://other.example/acs")},
		{"no recipient", nil, set(".//SubjectConfirmationData", "Recipient", "")},
		{"destination", nil, after(func(r *etree.Element) { r.CreateAttr("Destination", "https://other.example/acs") })},
		{"InResponseTo of the response", nil, after(func(r *etree.Element) { r.CreateAttr("InResponseTo", "id-other") })},
		{"unsolicited", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				r.RemoveAttr("InResponseTo")
				as.FindElement(".//SubjectConfirmationData").RemoveAttr("InResponseTo")
			}
		}},
		{"InResponseTo of the confirmation", nil, set(".//SubjectConfirmationData", "InResponseTo", "id-other")},
		{"confirmation expired at the edge", nil, set(".//SubjectConfirmationData", "NotOnOrAfter", at(-time.Minute))},
		{"confirmation without an end", nil, set(".//SubjectConfirmationData", "NotOnOrAfter", "")},
		{"confirmation with a beginning", nil, set(".//SubjectConfirmationData", "NotBefore", at(-time.Minute))},
		{"holder of key", nil, set(".//SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")},
		{"no confirmation", nil, remove(".//SubjectConfirmation")},
		{"expired at the edge", nil, set("./Conditions", "NotOnOrAfter", at(-time.Minute))},
		{"not yet valid beyond the edge", nil, set("./Conditions", "NotBefore", at(61*time.Second))},
		{"reversed times", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").CreateAttr("NotBefore", at(30*time.Second))
				as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", at(20*time.Second))
			}
		}},
		{"conditions without an end", nil, set("./Conditions", "NotOnOrAfter", "")},
		{"issued in a year", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.CreateAttr("IssueInstant", "2027-11-24T09:00:00Z") }
		}},
		{"issued yesterday", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.CreateAttr("IssueInstant", at(-24*time.Hour)) }
		}},
		{"response issued in an hour", nil, after(func(r *etree.Element) { r.CreateAttr("IssueInstant", at(time.Hour)) })},
		{"no subject", nil, remove("./Subject")},
		{"no NameID", nil, remove(".//NameID")},
		{"element in the NameID", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(".//NameID").CreateElement("saml:x").SetText("y") }
		}},
		{"no AuthnStatement", nil, remove("./AuthnStatement")},
		{"authenticated in the future", nil, set("./AuthnStatement", "AuthnInstant", at(2*time.Minute))},
		{"session already over", nil, set("./AuthnStatement", "SessionNotOnOrAfter", at(-2*time.Minute))},
		{"attribute twice", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				st := as.FindElement("./AttributeStatement")
				st.AddChild(st.FindElements("./Attribute")[1].Copy())
			}
		}},
		{"control character in a value", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(".//AttributeValue").SetText("a\tb") }
		}},
		{"version 1.1", nil, func(a *answer) { a.before = func(_, as *etree.Element) { as.CreateAttr("Version", "1.1") } }},
		{"no version on the response", nil, after(func(r *etree.Element) { r.RemoveAttr("Version") })},
		{"status not success", nil, after(func(r *etree.Element) {
			r.FindElement(".//StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		})},
		{"no status", nil, after(func(r *etree.Element) { r.RemoveChild(r.FindElement("./Status")) })},
		{"no assertion", nil, after(func(r *etree.Element) { r.RemoveChild(assertionOf(r)) })},
		{"plain where encrypted is wanted", func(c *saml.Config) { c.WantEncrypted = true }, nil},
		{"AES-CBC where not allowed", nil, func(a *answer) { a.encrypt = encryptCBC }},
		{"encrypted but not signed inside", nil, func(a *answer) { a.signAssertion, a.signResponse, a.encrypt = nil, &one, encryptGCM(32) }},
		{"encrypted but not signed inside, response policy", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) { a.signAssertion, a.signResponse, a.encrypt = nil, &one, encryptGCM(32) }},
		{"GCM shorter than its nonce", nil, func(a *answer) {
			a.encrypt = encryptGCM(16)
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").SetText("AAAA")
			}
		}},
		{"CBC not whole blocks", func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) {
			a.encrypt = encryptCBC
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").SetText("AAAA")
			}
		}},
		{"3DES", nil, func(a *answer) {
			a.encrypt = encryptGCM(16)
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/EncryptionMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc")
			}
		}},
		{"RSA 1.5 key transport", nil, func(a *answer) {
			a.encrypt = encryptGCM(16)
			a.after = func(r *etree.Element) {
				r.FindElement(".//EncryptedKey/EncryptionMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#rsa-1_5")
			}
		}},
		{"encrypted nothing", nil, func(a *answer) {
			a.encrypt = func(el *etree.Element) *etree.Element { return encryptGCM(16)(parse("<x/>")) }
		}},
		{"encrypted two assertions", nil, func(a *answer) {
			a.encrypt = func(el *etree.Element) *etree.Element {
				two := el.Copy()
				two.AddChild(forge(el, "_evil"))
				return encryptGCM(16)(two)
			}
		}},
		{"oversized", func(c *saml.Config) { c.MaxResponse = 4096 }, nil},
		{"too many elements", func(c *saml.Config) { c.MaxResponse = 8 << 20 }, func(a *answer) { a.groups = 30000 }},
		{"50,000 nested elements", func(c *saml.Config) { c.MaxResponse = 8 << 20 }, text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", 50000)+strings.Repeat("</a>", 50000))},
		{"1,100 elements under an empty signature", nil, after(func(r *etree.Element) {
			s := sigOf(r)
			for _, c := range s.ChildElements() {
				s.RemoveChild(c)
			}
			for range 1100 {
				assertionOf(r).CreateElement("x")
			}
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sp := newSP(t, metadata(one, weak), tt.config)
			a := good()
			if tt.answer != nil {
				tt.answer(&a)
			}
			started := time.Now()
			got, err := sp.Finish(t.Context(), request(), form(a.build(t)))
			if broker.CodeOf(err) != broker.CodeUnauthenticated || got.Subject.ID != "" || got.Claims != nil {
				t.Fatalf("error %v, got %+v", err, got)
			}
			if strings.Contains(err.Error(), "panicked") {
				t.Errorf("refused by a panic only: %v", err)
			}
			if d := time.Since(started); strings.Contains(tt.name, "nested") && d > 5*time.Second {
				t.Errorf("took %s", d)
			}
			t.Log(err)
		})
	}
}

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

// TestRedirectRequest ensures that the query signature covers exactly what
// bindings 3.4.4.1 says, and that the request asks what we want.
func TestRedirectRequest(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), nil)
	r := request()
	r.ForceAuthn, r.RequestedContext = true, []string{"urn:mfa"}
	ch, err := sp.Begin(t.Context(), r)
	if err != nil || ch.Form != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(ch.URL, "?")
	query, ok := strings.CutPrefix(query, "tenant=1&")
	signed, sig64, ok2 := strings.Cut(query, "&Signature=")
	if !ok || !ok2 || !strings.HasPrefix(ch.URL, "https://idp.example.com/sso?") {
		t.Fatal(ch.URL)
	}
	sig64, err = url.QueryUnescape(sig64)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(sig64)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(signed))
	if err := rsa.VerifyPKCS1v15(spSign().Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
		t.Error(err)
	}
	q, err := url.ParseQuery(signed)
	if err != nil || q.Get("RelayState") != "state-1" {
		t.Fatal(q, err)
	}
	packed, err := base64.StdEncoding.DecodeString(q.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	checkRequest(t, raw, "https://idp.example.com/sso?tenant=1")
}

// TestPOSTRequest ensures that the document itself is signed.
func TestPOSTRequest(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Binding = saml.BindingPOST })
	r := request()
	r.ForceAuthn, r.RequestedContext = true, []string{"urn:mfa"}
	ch, err := sp.Begin(t.Context(), r)
	if err != nil || ch.URL != "https://idp.example.com/sso" || ch.Form.Get("RelayState") != "state-1" {
		t.Fatal(ch, err)
	}
	raw, err := base64.StdEncoding.DecodeString(ch.Form.Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{spSign().Certificate}})
	ctx.Clock = dsig.NewFakeClockAt(fixed)
	if _, err := ctx.Validate(doc.Root()); err != nil {
		t.Error(err)
	}
	checkRequest(t, raw, "https://idp.example.com/sso")
}

func checkRequest(t *testing.T, raw []byte, destination string) {
	t.Helper()
	var got crewjam.AuthnRequest
	if err := xml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.ID != requestID || got.Issuer.Value != spEntity || got.AssertionConsumerServiceURL != acs || got.Destination != destination ||
		got.ForceAuthn == nil || !*got.ForceAuthn || *got.NameIDPolicy.Format != "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" ||
		!strings.Contains(string(raw), "urn:mfa") {
		t.Errorf("%s", raw)
	}
}

// TestOurMetadata ensures that another library reads it and finds all keys.
func TestOurMetadata(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), func(c *saml.Config) { c.Signing = append(c.Signing, idpKey2()) })
	raw, err := sp.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	var d crewjam.EntityDescriptor
	if err := xml.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	s := d.SPSSODescriptors[0]
	if d.EntityID != spEntity || len(s.KeyDescriptors) != 3 || s.AssertionConsumerServices[0].Location != acs || strings.Contains(string(raw), "cbc") {
		t.Errorf("%s", raw)
	}
}

// TestMetadataRefused ensures that bad metadata is named and the last good copy
// stays in use.
func TestMetadataRefused(t *testing.T) {
	body, status := metadata(idpKey()), 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	defer srv.Close()
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: srv.URL, HTTP: srv.Client(), Now: func() time.Time { return fixed }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sp.Begin(t.Context(), request()); broker.CodeOf(err) != broker.CodeUnavailable {
		t.Errorf("before the first metadata: %v", err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	valid := body
	for name, bad := range map[string]func(){
		"not XML":        func() { body = "x" },
		"DOCTYPE":        func() { body = "<!DOCTYPE x>" + valid },
		"no certificate": func() { body = metadata() },
		"weak key":       func() { body = metadata(weakKey()) },
		"over":           func() { body = strings.Replace(valid, "entityID=", `validUntil="2020-01-01T00:00:00Z" entityID=`, 1) },
		"no sign-in":     func() { body = strings.ReplaceAll(valid, "SingleSignOnService", "Other") },
		"javascript URL": func() { body = strings.ReplaceAll(valid, "https://idp.example.com/sso", "javascript:alert(1)") },
		"an SP":          func() { body = strings.ReplaceAll(valid, "IDPSSODescriptor", "SPSSODescriptor") },
		"status 500":     func() { status = 500 },
		"deep":           func() { body = strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100) },
		"two providers": func() {
			body = `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + valid + valid + `</EntitiesDescriptor>`
		},
		"broken base64":   func() { body = strings.Replace(valid, "<X509Certificate>", "<X509Certificate>%%", 1) },
		"empty entity ID": func() { body = strings.Replace(valid, idpEntity, "", 1) },
	} {
		body, status = valid, 200
		bad()
		if err := sp.Refresh(t.Context()); err == nil || sp.Status().Err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := sp.Begin(t.Context(), request()); err != nil {
			t.Errorf("%s: the last good copy was lost: %v", name, err)
		}
	}
}

// TestPinnedMetadata ensures that metadata needs the pinned signature, and that
// nothing outside it is read.
func TestPinnedMetadata(t *testing.T) {
	pin, evil := idpKey2(), evilKey()
	signed := func(k saml.KeyPair) string {
		el := parse(metadata(idpKey()))
		el.CreateAttr("ID", "_m")
		ctx, err := dsig.NewSigningContext(k.Key, [][]byte{k.Certificate.Raw})
		if err != nil {
			t.Fatal(err)
		}
		ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		out, err := ctx.SignEnveloped(el)
		if err != nil {
			t.Fatal(err)
		}
		s, err := etree.NewDocumentWithRoot(out).WriteToString()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	newSP(t, signed(pin), func(c *saml.Config) { c.MetadataCertificate = pin.Certificate })
	for name, meta := range map[string]string{
		"unsigned": metadata(idpKey()), "signed by another": signed(evil), "changed": strings.Replace(signed(pin), idpEntity, "https://evil.example", 1),
	} {
		if err := tryMetadata(t, meta, pin); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func tryMetadata(t *testing.T, meta string, pin saml.KeyPair) error {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, meta) }))
	defer srv.Close()
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: srv.URL, HTTP: srv.Client(),
		MetadataCertificate: pin.Certificate, Now: func() time.Time { return fixed }})
	if err != nil {
		t.Fatal(err)
	}
	return sp.Refresh(t.Context())
}

// FuzzResponse: no bytes panic, and none but a signed answer is accepted.
func FuzzResponse(f *testing.F) {
	f.Add(good().build(f))
	a := good()
	a.encrypt = encryptGCM(32)
	f.Add(a.build(f))
	f.Add([]byte(`<x`))
	sp := newSP(f, metadata(idpKey()), nil)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := sp.Finish(t.Context(), request(), form(raw))
		if err == nil && got.Subject.ID != "alice-0001" {
			t.Errorf("%s accepted as %q", raw, got.Subject.ID)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("panic: %v", err)
		}
	})
}

// BenchmarkVerify is beside one bare RSA verification of the same run.
func BenchmarkVerify(b *testing.B) {
	key := idpKey()
	sum := sha256.Sum256([]byte("x"))
	sig, err := rsa.SignPKCS1v15(nil, key.Key.(*rsa.PrivateKey), crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare-rsa-2048", func(b *testing.B) {
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(key.Key.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], sig); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, groups := range []int{20, 500, 3000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			a := good()
			a.groups = groups
			f := form(a.build(b))
			sp := newSP(b, metadata(key), func(c *saml.Config) { c.MaxResponse = 1 << 20 })
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sp.Finish(b.Context(), request(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
