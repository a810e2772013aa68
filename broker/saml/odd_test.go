package saml_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// oddities are answers of real products that are legal, or odd in what nobody
// uses: they belong to the rows of TestAccepts.
func oddities() []variety {
	const ns = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	one := idpKey()
	odd := func(name, why string) func(*broker.Authentication) {
		return func(a *broker.Authentication) { a.Unreadable = broker.Unreadable{name: why} }
	}
	photo := func(inside string) func(*answer) {
		return add("./AttributeStatement", `<saml:Attribute`+ns+` Name="photo">`+inside+`</saml:Attribute>`)
	}
	value := func(inside string) func(*answer) {
		return photo(`<saml:AttributeValue>` + inside + `</saml:AttributeValue>`)
	}
	nobody := func(a *broker.Authentication) {
		a.Subject.ID, a.NameID, a.NameIDFormat, a.LogoutHint = "", "", "", broker.Secret{}
	}
	second := func(attributes, context string) func(*answer) {
		return add(".", `<saml:AuthnStatement`+ns+` `+attributes+`><saml:AuthnContext><saml:AuthnContextClassRef>`+context+`</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`)
	}
	const password = "urn:oasis:names:tc:SAML:2.0:ac:classes:Password"
	const token = "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"
	comments := func(a *answer) { a.comments = true }
	sealedResponse := func(a *answer) { a.signAssertion, a.signResponse, a.encrypt = nil, &one, sealed(sealing{bits: 256}) }
	return []variety{
		// Attributes that nobody uses.
		{name: "XML in a value", answer: value(`<x xmlns="urn:x">y</x>`), want: odd("photo", "XML")},
		{name: "two NameIDs in a value", answer: value(`<saml:NameID>a</saml:NameID><saml:NameID>b</saml:NameID>`), want: odd("photo", "XML")},
		{name: "text beside a NameID in a value", answer: value(`admin<saml:NameID>a</saml:NameID>`), want: odd("photo", "XML")},
		{name: "white space round a NameID in a value", answer: value("\n  <saml:NameID>a</saml:NameID>\n")},
		{name: "text round XML in a value", answer: value(`a<b xmlns="urn:x"/>c`), want: odd("photo", "XML")},
		{name: "something else than values in an attribute", answer: photo(`<x xmlns="urn:x"/>`), want: odd("photo", "XML")},
		{name: "a value that is long", answer: value(strings.Repeat("x", 5000)), want: odd("photo", "longer than 4096 bytes")},
		{name: "a picture in base64", answer: value("\n" + strings.Repeat(base64.StdEncoding.EncodeToString(make([]byte, 57))+"\n", 100)), want: odd("photo", "longer than 4096 bytes")},
		{name: "a control character in a value", answer: value("a\tb"), want: odd("photo", "text with control characters")},
		{name: "a line break in a value", answer: value("1 Main Street\nSpringfield"), want: odd("photo", "text with control characters")},
		{name: "a C1 control character in a value", answer: value("a\u0085b"), want: odd("photo", "text with control characters")},
		{name: "one odd value among good ones", answer: photo(`<saml:AttributeValue>a</saml:AttributeValue><saml:AttributeValue><b/></saml:AttributeValue><saml:AttributeValue>c</saml:AttributeValue>`), want: odd("photo", "XML")},
		{name: "an odd attribute beside a good one of the name", answer: func(a *answer) {
			value("a")(a)
			first := a.before
			value("<b/>")(a)
			next := a.before
			a.before = func(r, as *etree.Element) { first(r, as); next(r, as) }
		}, want: odd("photo", "XML")},
		{name: "an odd attribute with a friendly name", answer: add("./AttributeStatement", `<saml:Attribute`+ns+` Name="urn:photo" FriendlyName="jpegPhoto"><saml:AttributeValue><b/></saml:AttributeValue></saml:Attribute>`), want: func(a *broker.Authentication) {
			a.Unreadable = broker.Unreadable{"urn:photo": "XML", "jpegPhoto": "XML"}
		}},
		{name: "groups in two formats", answer: add("./AttributeStatement", `<saml:Attribute`+ns+` Name="groups" NameFormat="urn:x"><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute>`), want: odd("groups", "an attribute in two formats")},
		{name: "groups as XML", answer: add(".//Attribute[@Name='groups']", `<saml:AttributeValue`+ns+`><group/></saml:AttributeValue>`), want: odd("groups", "XML")},
		{name: "an attribute without a name", answer: add("./AttributeStatement", `<saml:Attribute`+ns+`/>`)},
		{name: "an attribute with a long name", answer: add("./AttributeStatement", `<saml:Attribute`+ns+` Name="`+strings.Repeat("n", 600)+`"/>`), want: odd(strings.Repeat("n", 600), "an attribute with an odd name")},
		{name: "an encrypted attribute that cannot be decrypted", answer: add("./AttributeStatement", `<saml:EncryptedAttribute`+ns+`/>`), want: odd("", "perhaps among the encrypted attributes, which cannot be decrypted")},
		{name: "an encrypted attribute", answer: change(func(as *etree.Element) {
			at := as.FindElement(".//Attribute[@Name='groups']")
			st := at.Parent()
			st.RemoveChild(at)
			st.AddChild(encryptedAs("EncryptedAttribute", at))
		}), want: func(*broker.Authentication) {}},
		{name: "a control character in the SessionIndex", answer: set("./AuthnStatement", "SessionIndex", "a\u0085b"), want: func(a *broker.Authentication) { a.SessionIndex = "" }},
		{name: "an element in the context", answer: add(".//AuthnContextClassRef", "<x/>"), want: func(a *broker.Authentication) { a.AuthnContext.ACR = "" }},
		{name: "a name of an attribute of 513 bytes", answer: add("./AttributeStatement", `<saml:Attribute`+ns+` Name="`+strings.Repeat("n", 513)+`"/>`), want: odd(strings.Repeat("n", 513), "an attribute with an odd name")},
		{name: "a value in another namespace", answer: photo(`<x:AttributeValue xmlns:x="urn:x">admins</x:AttributeValue>`), want: odd("photo", "XML")},
		{name: "a value under another name", answer: photo(`<saml:Value>admins</saml:Value>`), want: odd("photo", "XML")},
		{name: "an attribute in another namespace", answer: add("./AttributeStatement", `<x:Attribute xmlns:x="urn:x" Name="groups"/>`)},
		{name: "an extension among the attributes", answer: add("./AttributeStatement", `<x xmlns="urn:x" Name="groups"/>`)},
		{name: "600 attributes", answer: change(func(as *etree.Element) {
			for i := range 600 {
				as.FindElement("./AttributeStatement").AddChild(parse(fmt.Sprintf(`<saml:Attribute%s Name="a%d"/>`, ns, i)))
			}
		}), want: odd("", "perhaps among the attributes after the first 500")},
		{name: "a null and an empty value", answer: photo(`<saml:AttributeValue xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:nil="true"/><saml:AttributeValue/>`)},

		// Subjects: identity.subject may do without a NameID.
		{name: "no NameID", answer: remove(".//NameID"), want: nobody},
		{name: "an empty NameID", answer: change(func(as *etree.Element) { as.FindElement(".//NameID").SetText(" ") }), want: nobody},
		{name: "a BaseID in place of a NameID", answer: change(func(as *etree.Element) {
			n := as.FindElement(".//NameID")
			n.Parent().InsertChildAt(n.Index(), parse(`<saml:BaseID`+ns+`/>`))
			n.Parent().RemoveChild(n)
		}), want: nobody},
		{name: "an EncryptedID that cannot be decrypted", answer: change(func(as *etree.Element) {
			n := as.FindElement(".//NameID")
			n.Parent().InsertChildAt(n.Index(), parse(`<saml:EncryptedID`+ns+`/>`))
			n.Parent().RemoveChild(n)
		}), want: nobody},
		{name: "an EncryptedID", answer: change(func(as *etree.Element) {
			n := as.FindElement(".//NameID")
			sub := n.Parent()
			sub.RemoveChild(n)
			sub.InsertChildAt(0, encryptedAs("EncryptedID", n))
		})},
		{name: "an unspecified NameID", answer: set(".//NameID", "Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"), want: func(a *broker.Authentication) {
			a.Subject.ID, a.GivenID, a.NameIDFormat = "", "alice-0001", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
			a.LogoutHint = broker.NewSecret(`{"format":"` + a.NameIDFormat + `"}`)
		}},
		{name: "a NameID without a format", answer: change(func(as *etree.Element) { as.FindElement(".//NameID").RemoveAttr("Format") }), want: func(a *broker.Authentication) {
			a.Subject.ID, a.GivenID, a.NameIDFormat, a.LogoutHint = "", "alice-0001", "", broker.NewSecret(`{}`)
		}},
		{name: "a NameID of a Windows domain", answer: set(".//NameID", "Format", "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName"), want: func(a *broker.Authentication) {
			a.Subject.ID, a.GivenID, a.NameIDFormat = "", "alice-0001", "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName"
			a.LogoutHint = broker.NewSecret(`{"format":"` + a.NameIDFormat + `"}`)
		}},
		{name: "a confirmation with an Address and a KeyInfo", answer: set(".//SubjectConfirmationData", "Address", "192.0.2.1")},
		{name: "a confirmation with a NameID of its own", answer: change(func(as *etree.Element) {
			as.FindElement(".//SubjectConfirmation").InsertChildAt(0, parse(`<saml:NameID`+ns+`>courier</saml:NameID>`))
		})},
		{name: "a good confirmation after one for somebody else", answer: change(func(as *etree.Element) {
			conf := as.FindElement(".//SubjectConfirmation")
			wrong := conf.Copy()
			wrong.FindElement("./SubjectConfirmationData").CreateAttr("Recipient", "https://other.example/acs")
			conf.Parent().InsertChildAt(conf.Index(), wrong)
		})},

		{name: "white space round Recipient and Destination", answer: func(a *answer) {
			a.before = func(r, as *etree.Element) {
				r.CreateAttr("Destination", "\n "+acs+" ")
				as.FindElement(".//SubjectConfirmationData").CreateAttr("Recipient", " "+acs+"\n")
			}
		}},

		// Times.
		{name: "instants without a zone", answer: func(a *answer) {
			a.before = func(r, as *etree.Element) {
				r.CreateAttr("IssueInstant", strings.TrimSuffix(at(0), "Z"))
				as.CreateAttr("IssueInstant", strings.TrimSuffix(at(0), "Z")+".123")
				as.FindElement("./AuthnStatement").CreateAttr("AuthnInstant", strings.TrimSuffix(at(0), "Z"))
				as.FindElement("./Conditions").CreateAttr("NotBefore", strings.TrimSuffix(at(0), "Z"))
				as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", strings.TrimSuffix(at(5*time.Minute), "Z"))
				as.FindElement(".//SubjectConfirmationData").CreateAttr("NotOnOrAfter", strings.TrimSuffix(at(5*time.Minute), "Z"))
			}
		}},
		{name: "white space round an instant", answer: set("./Conditions", "NotOnOrAfter", " "+at(5*time.Minute)+" ")},
		{name: "conditions without an end", answer: change(func(as *etree.Element) { as.FindElement("./Conditions").RemoveAttr("NotOnOrAfter") })},
		{name: "conditions without a beginning or an end", answer: change(func(as *etree.Element) {
			as.FindElement("./Conditions").RemoveAttr("NotOnOrAfter")
			as.FindElement("./Conditions").RemoveAttr("NotBefore")
		})},
		{name: "a proxy restriction", answer: add("./Conditions", `<saml:ProxyRestriction`+ns+` Count="0"/>`)},

		// How the person signed in.
		{name: "two AuthnStatements, the newest counts", answer: second(`AuthnInstant="`+at(-time.Hour)+`" SessionIndex="s0"`, password)},
		{name: "two AuthnStatements, the newest is the second", answer: second(`AuthnInstant="`+at(30*time.Second)+`" SessionIndex="s2"`, password), want: func(a *broker.Authentication) {
			a.AuthnContext.ACR, a.SessionIndex = password, "s2"
		}},
		{name: "two AuthnStatements, the one that was asked for counts", answer: second(`AuthnInstant="`+at(30*time.Second)+`" SessionIndex="s2"`, password),
			ask: func(r *broker.AuthRequest) { r.RequestedContext = []string{token} }},
		{name: "two AuthnStatements, the earliest end counts", answer: func(a *answer) {
			second(`AuthnInstant="`+at(-time.Hour)+`" SessionNotOnOrAfter="`+at(time.Hour)+`"`, password)(a)
			add := a.before
			a.before = func(r, as *etree.Element) {
				as.FindElement("./AuthnStatement").CreateAttr("SessionNotOnOrAfter", at(2*time.Hour))
				add(r, as)
			}
		}, want: func(a *broker.Authentication) { a.NotOnOrAfter = fixed.Add(time.Hour) }},
		{name: "two AuthnStatements, the end of the first counts", answer: func(a *answer) {
			second(`AuthnInstant="`+at(-time.Hour)+`" SessionNotOnOrAfter="`+at(2*time.Hour)+`"`, password)(a)
			add := a.before
			a.before = func(r, as *etree.Element) {
				as.FindElement("./AuthnStatement").CreateAttr("SessionNotOnOrAfter", at(time.Hour))
				add(r, as)
			}
		}, want: func(a *broker.Authentication) { a.NotOnOrAfter = fixed.Add(time.Hour) }},
		{name: "a fresh sign-in that was asked for", ask: func(r *broker.AuthRequest) { r.ForceAuthn = true }, want: func(a *broker.Authentication) { a.AuthnInstant = fixed }},
		{name: "a provider whose AuthnInstant is trusted", config: func(c *saml.Config) { c.TrustInstant = true }, want: func(a *broker.Authentication) { a.AuthnInstant = fixed }},
		{name: "no class of the context", answer: remove(".//AuthnContextClassRef"), want: func(a *broker.Authentication) { a.AuthnContext.ACR = "" }},
		{name: "a declaration of the context and authorities", answer: change(func(as *etree.Element) {
			c := as.FindElement(".//AuthnContext")
			c.AddChild(parse(`<saml:AuthnContextDeclRef` + ns + `>urn:x</saml:AuthnContextDeclRef>`))
			c.AddChild(parse(`<saml:AuthenticatingAuthority` + ns + `>https://up.example</saml:AuthenticatingAuthority>`))
			as.FindElement("./AuthnStatement").InsertChildAt(0, parse(`<saml:SubjectLocality`+ns+` Address="192.0.2.1" DNSName="x"/>`))
		})},
		{name: "XML in the class of the context", answer: add(".//AuthnContextClassRef", `<x/>`), want: func(a *broker.Authentication) { a.AuthnContext.ACR = "" }},
		{name: "a long SessionIndex", answer: set("./AuthnStatement", "SessionIndex", strings.Repeat("s", 5000)), want: func(a *broker.Authentication) { a.SessionIndex = "" }},
		{name: "an authorization decision and advice", answer: func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.AddChild(parse(`<saml:AuthzDecisionStatement` + ns + ` Resource="x" Decision="Deny"><saml:Action Namespace="x">y</saml:Action></saml:AuthzDecisionStatement>`))
				as.InsertChildAt(as.FindElement("./Conditions").Index()+1, parse(`<saml:Advice`+ns+`><saml:AssertionURIRef>urn:x</saml:AssertionURIRef></saml:Advice>`))
			}
		}},

		// The envelope.
		{name: "spaces and tabs in the field", form: func(v string) string { return " " + v[:40] + " \t" + v[40:80] + "\n " + v[80:] + "\r\n" }},
		{name: "extensions, consent and a status detail", answer: func(a *answer) {
			a.before = func(r, _ *etree.Element) {
				r.CreateAttr("Consent", "urn:oasis:names:tc:SAML:2.0:consent:unspecified")
				r.InsertChildAt(1, parse(`<samlp:Extensions xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><x xmlns="urn:x"/></samlp:Extensions>`))
				r.FindElement("./Status").AddChild(parse(`<samlp:StatusMessage xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol">ok</samlp:StatusMessage>`))
				r.FindElement("./Status").AddChild(parse(`<samlp:StatusDetail xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"><x xmlns="urn:x"/></samlp:StatusDetail>`))
			}
		}},
		{name: "an issuer with its format", answer: set("./Issuer", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:entity")},
		{name: "canonicalization with comments", answer: comments},
		{name: "canonicalization with comments, response signed", config: func(c *saml.Config) { c.Signature = saml.SignedResponse }, answer: func(a *answer) { a.signAssertion, a.signResponse, a.comments = nil, &one, true }},
		{name: "signed response, encrypted assertion without a signature", config: func(c *saml.Config) { c.Signature = saml.SignedResponse }, answer: sealedResponse},
		{name: "either signature, encrypted assertion without one", config: func(c *saml.Config) { c.Signature = saml.SignedEither }, answer: sealedResponse},
	}
}

// encryptedAs is the element in an EncryptedID or EncryptedAttribute for us.
func encryptedAs(tag string, el *etree.Element) *etree.Element {
	plain := standalone(el)
	plain.CreateAttr("xmlns:saml", "urn:oasis:names:tc:SAML:2.0:assertion")
	out := sealed(sealing{bits: 256})(plain)
	out.Tag = tag
	return out
}
