package saml_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker/saml"
)

// TestRefusesMeanings holds what is well signed and must not be taken (SAML
// core 2.3 to 2.7, profiles 4.1.4).
func TestRefusesMeanings(t *testing.T) {
	one := idpKey()
	const ns = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	signResponse := func(f func(r *etree.Element)) func(*answer) {
		return func(a *answer) { a.signResponse, a.before = &one, func(r, _ *etree.Element) { f(r) } }
	}
	refuse(t, []refusal{
		{"issuer of the assertion", "issued by", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement("./Issuer").SetText("https://evil.example") }
		}},
		{"issuer of the response", "issued by", nil, after(func(r *etree.Element) { r.FindElement("./Issuer").SetText("https://evil.example") })},
		{"no issuer", "no Issuer", nil, remove("./Issuer")},
		{"audience", "the audience is not", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(".//Audience").SetText("https://other.example") }
		}},
		{"no audience restriction", "the assertion has no AudienceRestriction", nil, remove(".//AudienceRestriction")},
		{"two audience restrictions, one wrong", "the audience is not", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").AddChild(parse(`<saml:AudienceRestriction xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>`))
			}
		}},
		{"condition not understood", "condition Condition is not understood", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").AddChild(parse(`<x:Condition xmlns:x="urn:x"/>`))
			}
		}},
		{"no conditions", "Assertion has no Conditions", nil, remove("./Conditions")},
		{"recipient", "the confirmation is for", nil, set(".//SubjectConfirmationData", "Recipient", "https://other.example/acs")},
		{"no recipient", "the confirmation is for", nil, set(".//SubjectConfirmationData", "Recipient", "")},
		{"destination", "the response is meant for", nil, after(func(r *etree.Element) { r.CreateAttr("Destination", "https://other.example/acs") })},
		{"InResponseTo of the response", "the response answers", nil, after(func(r *etree.Element) { r.CreateAttr("InResponseTo", "id-other") })},
		{"unsolicited", "the response answers", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				r.RemoveAttr("InResponseTo")
				as.FindElement(".//SubjectConfirmationData").RemoveAttr("InResponseTo")
			}
		}},
		{"InResponseTo of the confirmation", "the confirmation answers", nil, set(".//SubjectConfirmationData", "InResponseTo", "id-other")},
		{"confirmation expired at the edge", "SubjectConfirmationData ended at", nil, set(".//SubjectConfirmationData", "NotOnOrAfter", at(-time.Minute))},
		{"confirmation without an end", "the confirmation has no NotOnOrAfter", nil, change(func(as *etree.Element) { as.FindElement(".//SubjectConfirmationData").RemoveAttr("NotOnOrAfter") })},
		{"confirmation with a beginning", "the confirmation has a NotBefore", nil, set(".//SubjectConfirmationData", "NotBefore", at(-time.Minute))},
		{"holder of key", "the subject has no bearer confirmation", nil, set(".//SubjectConfirmation", "Method", "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")},
		{"no confirmation", "the subject has no bearer confirmation", nil, remove(".//SubjectConfirmation")},
		{"expired at the edge", "Conditions ended at", nil, set("./Conditions", "NotOnOrAfter", at(-time.Minute))},
		{"not yet valid beyond the edge", "Conditions begins at", nil, set("./Conditions", "NotBefore", at(61*time.Second))},
		{"reversed times", "Conditions begins at", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Conditions").CreateAttr("NotBefore", at(30*time.Second))
				as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", at(20*time.Second))
			}
		}},
		{"conditions with an empty end", "Conditions has no NotOnOrAfter", nil, set("./Conditions", "NotOnOrAfter", "")},
		{"issued in a year", "the assertion: issued at", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.CreateAttr("IssueInstant", "2027-11-24T09:00:00Z") }
		}},
		{"issued yesterday", "the assertion: issued at", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.CreateAttr("IssueInstant", at(-24*time.Hour)) }
		}},
		{"response issued in an hour", "the response: issued at", nil, after(func(r *etree.Element) { r.CreateAttr("IssueInstant", at(time.Hour)) })},
		{"no subject", "Assertion has no Subject", nil, remove("./Subject")},
		{"element in the NameID", "NameID holds more than text", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) { as.FindElement(".//NameID").CreateElement("saml:x").SetText("y") }
		}},
		{"no AuthnStatement", "assertion has no AuthnStatement", nil, remove("./AuthnStatement")},
		{"authenticated in the future", "authenticated at", nil, set("./AuthnStatement", "AuthnInstant", at(2*time.Minute))},
		{"session already over", "the session at the identity provider ended at", nil, set("./AuthnStatement", "SessionNotOnOrAfter", at(-2*time.Minute))},
		{"version 1.1", "the assertion has the version", nil, func(a *answer) { a.before = func(_, as *etree.Element) { as.CreateAttr("Version", "1.1") } }},
		{"no version on the response", "version \"\"", nil, after(func(r *etree.Element) { r.RemoveAttr("Version") })},
		{"status not success", "answered with an error", nil, after(func(r *etree.Element) {
			r.FindElement(".//StatusCode").CreateAttr("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
		})},
		{"no status", "the response has no status", nil, after(func(r *etree.Element) { r.RemoveChild(r.FindElement("./Status")) })},
		{"signed response without a destination", "meant for \"\"", nil, signResponse(func(r *etree.Element) { r.RemoveAttr("Destination") })},
		{"signed response without an issuer", "no Issuer", nil, signResponse(func(r *etree.Element) { r.RemoveChild(r.FindElement("./Issuer")) })},
		{"issuer that is not an entity", "issuer of the format", nil, set("./Issuer", "Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName")},
		{"audience of several, none ours", "the audience is not", nil, change(func(as *etree.Element) {
			as.FindElement(".//Audience").SetText("https://a.example")
			as.FindElement(".//AudienceRestriction").AddChild(parse(`<saml:Audience` + ns + `>https://sso.example.com/saml/other/metadata</saml:Audience>`))
		})},
		{"audience in another namespace", "the audience is not", nil, change(func(as *etree.Element) {
			r := as.FindElement(".//AudienceRestriction")
			r.RemoveChild(r.ChildElements()[0])
			r.AddChild(parse(`<x:Audience xmlns:x="urn:x">` + spEntity + `</x:Audience>`))
		})},
		{"recipient of another provider of ours", "the confirmation is for", nil, set(".//SubjectConfirmationData", "Recipient", "https://sso.example.com/saml/other/acs")},
		{"confirmation without its data", "has no SubjectConfirmationData", nil, remove(".//SubjectConfirmationData")},
		{"two Conditions", "Conditions twice", nil, add(".", `<saml:Conditions`+ns+` NotOnOrAfter="2030-01-01T00:00:00Z"/>`)},
		{"two Subjects", "Subject twice", nil, add(".", `<saml:Subject`+ns+`><saml:NameID>mallory</saml:NameID></saml:Subject>`)},
		{"two NameIDs", "NameID twice", nil, add("./Subject", `<saml:NameID`+ns+`>mallory</saml:NameID>`)},
		{"second AuthnStatement over", "the session at the identity provider ended at", nil, add(".", `<saml:AuthnStatement`+ns+` AuthnInstant="`+at(-time.Hour)+`" SessionNotOnOrAfter="`+at(-2*time.Minute)+`"><saml:AuthnContext/></saml:AuthnStatement>`)},
		{"second AuthnStatement to come", "authenticated at", nil, add(".", `<saml:AuthnStatement`+ns+` AuthnInstant="`+at(time.Hour)+`"><saml:AuthnContext/></saml:AuthnStatement>`)},
		{"second AuthnStatement without a context", "AuthnStatement has no AuthnContext", nil, add(".", `<saml:AuthnStatement`+ns+` AuthnInstant="`+at(0)+`"/>`)},
		{"second AuthnStatement without an instant", "AuthnStatement has no AuthnInstant", nil, add(".", `<saml:AuthnStatement`+ns+`><saml:AuthnContext/></saml:AuthnStatement>`)},
		{"eleven AuthnStatements", "more than 10 AuthnStatements", nil, change(func(as *etree.Element) {
			st := as.FindElement("./AuthnStatement")
			for range 10 {
				as.AddChild(st.Copy())
			}
		})},
		{"end of the conditions unclear", "NotOnOrAfter of Conditions: \"later\" is no time", nil, set("./Conditions", "NotOnOrAfter", "later")},
		{"end of the confirmation unclear", "is no time", nil, set(".//SubjectConfirmationData", "NotOnOrAfter", "2026-11-24")},
		{"end of the session unclear", "is no time", nil, set("./AuthnStatement", "SessionNotOnOrAfter", "later")},
		{"no end anywhere", "the confirmation has no NotOnOrAfter", nil, change(func(as *etree.Element) {
			as.FindElement("./Conditions").RemoveAttr("NotOnOrAfter")
			as.FindElement(".//SubjectConfirmationData").RemoveAttr("NotOnOrAfter")
		})},
		{"conditions without an end, confirmation over", "SubjectConfirmationData ended at", nil, change(func(as *etree.Element) {
			as.FindElement("./Conditions").RemoveAttr("NotOnOrAfter")
			as.FindElement(".//SubjectConfirmationData").CreateAttr("NotOnOrAfter", at(-time.Minute))
		})},
		{"over, in a time without a zone", "Conditions ended at", nil, set("./Conditions", "NotOnOrAfter", strings.TrimSuffix(at(-time.Hour), "Z"))},
		{"long NameID", "NameID is longer than", nil, change(func(as *etree.Element) { as.FindElement(".//NameID").SetText(strings.Repeat("x", 5000)) })},
		{"line break in the NameID", "control characters", nil, change(func(as *etree.Element) { as.FindElement(".//NameID").SetText("alice\nmallory") })},
		{"no AuthnContext", "AuthnStatement has no AuthnContext", nil, remove(".//AuthnContext")},
		{"assertion with an ID that is none", "the assertion has the ID", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			set(".", "ID", "a b")(a)
			a.signAssertion, a.signResponse = nil, &one
		}},
		{"assertion issued at no time", "Assertion has no IssueInstant", nil, set(".", "IssueInstant", "")},
		{"response issued at no time", "Response has no IssueInstant", nil, after(func(r *etree.Element) { r.RemoveAttr("IssueInstant") })},
		{"element in the issuer", "Issuer holds more than text", nil, add("./Issuer", "<x/>")},
		{"beginning that is no time", "NotBefore of Conditions", nil, set("./Conditions", "NotBefore", "soon")},
		{"condition of SAML's own not understood", "condition Condition is not understood", nil, add("./Conditions", `<saml:Condition`+ns+`/>`)},
		{"audience restriction in another namespace", "condition AudienceRestriction is not understood", nil, foreign(".//AudienceRestriction")},
		{"our name in something else than an Audience", "the audience is not", nil, change(func(as *etree.Element) { as.FindElement(".//Audience").Tag = "Other" })},
		{"confirmation in another namespace", "the subject has no bearer confirmation", nil, foreign(".//SubjectConfirmation")},
		{"confirmation under another name", "the subject has no bearer confirmation", nil, change(func(as *etree.Element) { as.FindElement(".//SubjectConfirmation").Tag = "Confirmation" })},
		{"control character in the format of the NameID", "Format is longer than", nil, set(".//NameID", "Format", "urn:\u0085x")},
		{"control character in the qualifier of the NameID", "NameID is longer than", nil, set(".//NameID", "NameQualifier", "a\u0085b")},
		{"authenticated at no time", "AuthnStatement has no AuthnInstant", nil, set("./AuthnStatement", "AuthnInstant", "")},
		{"session that ends at no time", "SessionNotOnOrAfter of AuthnStatement", nil, set("./AuthnStatement", "SessionNotOnOrAfter", "later")},
		{"no assertion", "the response has no assertion", nil, after(func(r *etree.Element) { r.RemoveChild(assertionOf(r)) })},
	})
}

// TestRefusesEncrypted holds encrypted assertions that must not be taken.
func TestRefusesEncrypted(t *testing.T) {
	one := idpKey()
	const cannot = "the encrypted assertion cannot be decrypted"
	refuse(t, []refusal{
		{"plain where encrypted is wanted", "a plain assertion: an encrypted one is needed", func(c *saml.Config) { c.WantEncrypted = true }, nil},
		{"AES-CBC where not allowed", "an algorithm that is not taken", nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 128, cbc: true}) }},
		{"encrypted but not signed inside", "signature of the assertion: no signature on the element", nil, func(a *answer) { a.signAssertion, a.signResponse, a.encrypt = nil, &one, sealed(sealing{bits: 256}) }},
		{"encrypted by AES-CBC but not signed inside, response policy", "enough for AES-GCM only", func(c *saml.Config) { c.Signature, c.InsecureAllowCBC = saml.SignedResponse, true }, func(a *answer) {
			a.signAssertion, a.signResponse, a.encrypt = nil, &one, sealed(sealing{bits: 256, cbc: true})
		}},
		{"encrypted but not signed at all, either policy", "signature of the assertion: no signature on the element", func(c *saml.Config) { c.Signature = saml.SignedEither }, func(a *answer) { a.signAssertion, a.encrypt = nil, sealed(sealing{bits: 256}) }},
		{"ciphertext swapped in a signed response", "Signature could not be verified", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			a.signAssertion, a.signResponse, a.encrypt = nil, &one, sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) {
				old := r.FindElement("./EncryptedAssertion")
				forged := sealed(sealing{bits: 256})(forge(parse(string(good().plain(t))), "_a1"))
				r.InsertChildAt(old.Index(), forged)
				r.RemoveChild(old)
			}
		}},
		{"encrypted and badly signed inside, response policy", "no certificate that this was signed with", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			evil := evilKey()
			a.signAssertion, a.signResponse, a.encrypt = &evil, &one, sealed(sealing{bits: 256})
		}},
		{"GCM shorter than its nonce", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").SetText("AAAA")
			}
		}},
		{"CBC not whole blocks", cannot, func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128, cbc: true})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 37)))
			}
		}},
		{"CBC shorter than two blocks", cannot, func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128, cbc: true})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 16)))
			}
		}},
		{"CBC padding longer than a block", cannot, func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128, cbc: true, pad: 200, plain: func([]byte) []byte { return []byte("<x/>") }})
		}},
		{"3DES", "tripledes-cbc\", an algorithm that is not taken: set the identity provider to AES-GCM", nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/EncryptionMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc")
			}
		}},
		{"no EncryptedData", cannot, nil, encryptedWithout("./EncryptedAssertion/EncryptedData")},
		{"no CipherValue", cannot, nil, encryptedWithout("./EncryptedAssertion/EncryptedData/CipherData/CipherValue")},
		{"content algorithm that nobody knows", "an algorithm that is not taken", nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/EncryptionMethod").CreateAttr("Algorithm", "urn:x")
			}
		}},
		{"RSA 1.5 key transport", cannot, nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 256, wrap: wrapPKCS1v15}) }},
		{"OAEP parameters", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) {
				r.FindElement(".//EncryptedKey/EncryptionMethod").AddChild(parse(`<xenc:OAEPparams xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">AAAA</xenc:OAEPparams>`))
			}
		}},
		{"for somebody else's key", cannot, nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 256, to: evilKey()}) }},
		{"content key of another length", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 128})
			a.after = func(r *etree.Element) {
				r.FindElement("./EncryptedAssertion/EncryptedData/EncryptionMethod").CreateAttr("Algorithm", "http://www.w3.org/2009/xmlenc11#aes256-gcm")
			}
		}},
		{"one byte of the ciphertext changed", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) {
				v := r.FindElement("./EncryptedAssertion/EncryptedData/CipherData/CipherValue")
				b := []byte(v.Text())
				b[100] = 'A' + (b[100]-'A'+1)%26
				v.SetText(string(b))
			}
		}},
		{"five keys", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) {
				k := r.FindElement(".//EncryptedKey")
				for range 4 {
					k.Parent().AddChild(k.Copy())
				}
			}
		}},
		{"DOCTYPE in the plaintext", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256, plain: func(b []byte) []byte { return append([]byte("<!DOCTYPE x>"), b...) }})
		}},
		{"comment in the plaintext", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256, plain: func(b []byte) []byte {
				return bytes.Replace(b, []byte("alice-"), []byte("alice<!---->-"), 1)
			}})
		}},
		{"deep plaintext", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256, plain: func([]byte) []byte { return bytes.Repeat([]byte("<a>"), 5000) }})
		}},
		{"plaintext that leans on the namespaces outside", cannot, nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256, plain: func(b []byte) []byte {
				return bytes.Replace(b, []byte(` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`), nil, 1)
			}})
		}},
		{"plain assertion beside the encrypted one", "two assertions", nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) { r.AddChild(forge(parse(string(good().plain(t))), "_evil")) }
		}},
		{"encrypted inside is signed by somebody else", "no certificate that this was signed with", nil, func(a *answer) {
			evil := evilKey()
			a.signAssertion, a.encrypt = &evil, sealed(sealing{bits: 256})
		}},
		{"encrypted nothing", cannot, nil, func(a *answer) {
			a.encrypt = func(el *etree.Element) *etree.Element { return sealed(sealing{bits: 128})(parse("<x/>")) }
		}},
		{"encrypted two assertions", cannot, nil, func(a *answer) {
			a.encrypt = func(el *etree.Element) *etree.Element {
				two := el.Copy()
				two.AddChild(forge(el, "_evil"))
				return sealed(sealing{bits: 128})(two)
			}
		}},
	})
}

func encryptedWithout(path string) func(*answer) {
	return func(a *answer) {
		a.encrypt = sealed(sealing{bits: 128})
		a.after = func(r *etree.Element) { e := r.FindElement(path); e.Parent().RemoveChild(e) }
	}
}
