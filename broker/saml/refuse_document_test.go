package saml_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/saml"
)

// TestRefusesDocuments holds the attacks on document and signature by name.
func TestRefusesDocuments(t *testing.T) { refuse(t, documents(t)) }

// TestSecondLine takes the pre-pass away: wrapping must still be refused, or
// what is read must be what was signed.
func TestSecondLine(t *testing.T) {
	tried := 0
	for _, tt := range documents(t) {
		if !strings.HasPrefix(tt.name, "XSW") && !strings.Contains(tt.why, "two assertions") && !strings.Contains(tt.why, "twice") {
			continue
		}
		tried++
		a := good()
		tt.answer(&a)
		got, err := newSP(t, metadata(idpKey()), tt.config).FinishWithoutPrepass(request(), a.build(t))
		if err == nil && got.Subject.ID != "alice-0001" {
			t.Errorf("%s: taken as %s", tt.name, got.Subject.ID)
		}
	}
	if tried < 12 {
		t.Errorf("%d rows", tried)
	}
	// What is read is what was signed: canonicalization drops the comment, and
	// the name is whole.
	a := good()
	text("alice-0001", "alice<!-- -->-0001")(&a)
	if got, err := newSP(t, metadata(idpKey()), nil).FinishWithoutPrepass(request(), a.build(t)); err != nil || got.Subject.ID != "alice-0001" {
		t.Errorf("%q, error %v", got.Subject.ID, err)
	}
}

func documents(t *testing.T) []refusal {
	one, evil, weak := idpKey(), evilKey(), weakKey()
	return []refusal{
		{"unsigned", "signature of the assertion: no signature on the element", nil, func(a *answer) { a.signAssertion = nil }},
		{"signed by somebody else", "signature of the assertion: the metadata holds no certificate that thi", nil, func(a *answer) { a.signAssertion = &evil }},
		{"signed by somebody else without KeyInfo", "signature of the assertion: the metadata holds no certificate that thi", nil, func(a *answer) { a.signAssertion, a.noKeyInfo = &evil, true }},
		{"tampered NameID", "signature of the assertion: Signature could not be verified", nil, text("alice-0001", "mallory-01")},
		{"tampered group", "signature of the assertion: Signature could not be verified", nil, text("group-1", "admins-")},
		{"only the response signed, assertion needed", "signature of the assertion: no signature on the element", nil, func(a *answer) { a.signAssertion, a.signResponse = nil, &one }},
		{"only the assertion signed, response needed", "signature of the response: no signature on the element", func(c *saml.Config) { c.Signature = saml.SignedResponse }, nil},
		{"only one signed, both needed", "signature of the response: no signature on the element", func(c *saml.Config) { c.Signature = saml.SignedBoth }, nil},
		{"only the response signed, both needed", "signature of the assertion: no signature on the element", func(c *saml.Config) { c.Signature = saml.SignedBoth }, func(a *answer) { a.signAssertion, a.signResponse = nil, &one }},
		{"nothing signed, either needed", "signature of the assertion: no signature on the element", func(c *saml.Config) { c.Signature = saml.SignedEither }, func(a *answer) { a.signAssertion = nil }},
		{"response signed, signature of the assertion forged", "signature of the assertion: the metadata holds no certificate that thi", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) { a.signAssertion, a.signResponse = &evil, &one }},
		{"response signature forged, assertion good", "signature of the response: the metadata holds no certificate that this", nil, func(a *answer) { a.signResponse = &evil }},
		{"XSW1 response copied into the signature", "the document: a Response inside the document", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			a.signAssertion, a.signResponse = nil, &one
			a.after = func(r *etree.Element) {
				orig := r.Copy()
				orig.RemoveChild(orig.FindElement("./Signature"))
				r.FindElement("./Signature").AddChild(wrap(orig, `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
				r.CreateAttr("ID", "_evil")
				assertionOf(r).FindElement("./Subject/NameID").SetText("mallory")
			}
		}},
		{"XSW2 response beside a detached signature", "the document: a Response inside the document", func(c *saml.Config) { c.Signature = saml.SignedResponse }, func(a *answer) {
			a.signAssertion, a.signResponse = nil, &one
			a.after = func(r *etree.Element) {
				orig := r.Copy()
				orig.RemoveChild(orig.FindElement("./Signature"))
				r.InsertChildAt(0, orig)
				r.CreateAttr("ID", "_evil")
				assertionOf(r).FindElement("./Subject/NameID").SetText("mallory")
			}
		}},
		{"XSW3 forged assertion before the signed one", "the document: two assertions, one is needed", nil, after(func(r *etree.Element) { r.InsertChildAt(1, forge(assertionOf(r), "_evil")) })},
		{"XSW4 signed assertion inside the forged one", "the document: two assertions, one is needed", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			r.RemoveChild(orig)
			e.AddChild(orig)
			r.AddChild(e)
		})},
		{"XSW5 forged assertion carries the signature, signed one after", "the document: two assertions, one is needed", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			e.InsertChildAt(1, sig)
			r.InsertChildAt(orig.Index(), e)
		})},
		{"XSW6 signed assertion inside the forged one's signature", "the document: two assertions, one is needed", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			r.RemoveChild(orig)
			sig.AddChild(orig)
			e.InsertChildAt(1, sig)
			r.AddChild(e)
		})},
		{"XSW7 forged assertion in Extensions", "the document: an assertion that is not the Response's own", nil, after(func(r *etree.Element) {
			r.InsertChildAt(1, wrap(forge(assertionOf(r), "_evil"), `<samlp:Extensions xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`))
		})},
		{"XSW8 signed assertion in an Object of the forged one", "the document: two assertions, one is needed", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			e := forge(orig, "_evil")
			sig := orig.FindElement("./Signature")
			orig.RemoveChild(sig)
			r.RemoveChild(orig)
			sig.AddChild(wrap(orig, `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
			e.InsertChildAt(1, sig)
			r.AddChild(e)
		})},
		{"forged assertion in another namespace's clothes", "the document: an assertion that is not the Response's own", nil, after(func(r *etree.Element) {
			orig := assertionOf(r)
			r.RemoveChild(orig)
			r.AddChild(wrap(orig, `<x:Wrapper xmlns:x="urn:x"/>`))
		})},
		{"same ID twice", "the document: the ID", nil, after(func(r *etree.Element) { r.CreateAttr("ID", "_a1") })},
		{"two assertions, both signed", "the document: the ID", nil, after(func(r *etree.Element) { r.AddChild(assertionOf(r).Copy()) })},
		{"two signatures on the assertion", "the document: two signatures on one element", nil, after(func(r *etree.Element) { assertionOf(r).AddChild(sigOf(r).Copy()) })},
		{"second SignedInfo (CVE-2025-29774)", "signature of the assertion: Signature holds SignedInfo where it may no", nil, after(func(r *etree.Element) { sigOf(r).AddChild(sigOf(r).FindElement("./SignedInfo").Copy()) })},
		{"wrapped SignedInfo (CVE-2025-29774)", "signature of the assertion: Signature lacks SignedInfo in its place", nil, after(func(r *etree.Element) {
			si := sigOf(r).FindElement("./SignedInfo")
			sigOf(r).InsertChildAt(0, wrap(si.Copy(), `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`))
		})},
		{"comment in DigestValue (CVE-2025-29775)", "the document: a comment", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//DigestValue").CreateComment("x") })},
		{"comment in NameID (CVE-2017-11427)", "the document: a comment", nil, text("alice-0001", "alice<!-- -->-0001")},
		{"comment anywhere", "the document: a comment", nil, text("<samlp:Status>", "<samlp:Status><!-- x -->")},
		{"processing instruction", "the document: a processing instruction", nil, text("<samlp:Status>", "<samlp:Status><?x y?>")},
		{"declaration in the middle", "an XML declaration that is not the very first thing", nil, text("<samlp:Status>", `<samlp:Status><?xml version="1.0"?>`)},
		{"processing instruction in front", "the document: a processing instruction", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append([]byte("<?x y?>"), b...) } }},
		{"DOCTYPE (CVE-2025-25291)", "the document: a DOCTYPE or other declaration", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append([]byte(`<!DOCTYPE x>`), b...) } }},
		{"entities", "the document: a DOCTYPE or other declaration", nil, func(a *answer) {
			a.raw = func(b []byte) []byte {
				return append([]byte(`<!DOCTYPE x [<!ENTITY e "mallory">]>`), bytes.Replace(b, []byte("alice-0001"), []byte("&e;"), 1)...)
			}
		}},
		{"two root elements", "the document: two root elements", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append(b, b...) } }},
		{"text after the root", "the document: text outside the root element", nil, func(a *answer) { a.raw = func(b []byte) []byte { return append(b, 'x') } }},
		{"UTF-16 declared", "the document: not well-formed: xml: opening charset", nil, func(a *answer) {
			a.raw = func(b []byte) []byte { return append([]byte(`<?xml version="1.0" encoding="UTF-16"?>`), b...) }
		}},
		{"empty reference", "signature of the assertion: the signature is over", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//Reference").CreateAttr("URI", "") })},
		{"reference to another element", "signature of the assertion: the signature is over", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//Reference").CreateAttr("URI", "#_r1") })},
		{"no reference", "signature of the assertion: SignedInfo lacks Reference in its place", nil, after(func(r *etree.Element) { e := sigOf(r).FindElement(".//Reference"); e.Parent().RemoveChild(e) })},
		{"two references", "signature of the assertion: SignedInfo holds Reference where it may no", nil, after(func(r *etree.Element) { e := sigOf(r).FindElement(".//Reference"); e.Parent().AddChild(e.Copy()) })},
		{"XSLT transform", "transforms", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//Transforms").CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
		})},
		{"XPath transform", "transforms", nil, after(func(r *etree.Element) {
			sigOf(r).FindElements(".//Transform")[1].CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")
		})},
		{"canonicalization with comments, and one in the answer", "the document: a comment", nil, func(a *answer) {
			a.comments = true
			a.after = func(r *etree.Element) { assertionOf(r).FindElement("./Subject").CreateComment("x") }
		}},
		{"inclusive canonicalization", "signature of the assertion: canonicalization", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//CanonicalizationMethod").CreateAttr("Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315")
		})},
		{"inclusive transform", "transforms", nil, after(func(r *etree.Element) {
			sigOf(r).FindElements(".//Transform")[1].CreateAttr("Algorithm", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments")
		})},
		{"HMAC with the public key", "signature of the assertion: signature algorithm", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#hmac-sha1")
		})},
		{"HMACOutputLength (CVE-2009-0217)", "signature of the assertion: signature algorithm", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateElement("ds:HMACOutputLength").SetText("1")
		})},
		{"RSA-SHA1", "signature of the assertion: signature algorithm", nil, func(a *answer) { a.method = dsig.RSASHA1SignatureMethod }},
		{"SHA-1 digest", "signature of the assertion: digest algorithm", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//DigestMethod").CreateAttr("Algorithm", "http://www.w3.org/2000/09/xmldsig#sha1")
		})},
		{"MD5 signature", "signature of the assertion: signature algorithm", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//SignatureMethod").CreateAttr("Algorithm", "http://www.w3.org/2001/04/xmldsig-more#rsa-md5")
		})},
		{"RSA-1024", "signature of the assertion: the metadata holds no certificate that thi", nil, func(a *answer) { a.signAssertion = &weak }},
		{"empty signature", "signature of the assertion: Signature lacks SignedInfo in its place", nil, after(func(r *etree.Element) {
			s := sigOf(r)
			for _, c := range s.ChildElements() {
				s.RemoveChild(c)
			}
		})},
		{"KeyInfo that names our certificate, signed by somebody else", "no certificate that this was signed with", nil, func(a *answer) {
			a.signAssertion = &evil
			a.after = func(r *etree.Element) {
				sigOf(r).FindElement(".//X509Certificate").SetText(base64.StdEncoding.EncodeToString(one.Certificate.Raw))
			}
		}},
		{"KeyInfo that names another certificate, signed by ours", "no certificate that this was signed with", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//X509Certificate").SetText(base64.StdEncoding.EncodeToString(evil.Certificate.Raw))
		})},
		{"KeyInfo with nine certificates", "KeyInfo names more than", nil, after(func(r *etree.Element) {
			d := sigOf(r).FindElement(".//X509Data")
			for range 8 {
				d.AddChild(d.ChildElements()[0].Copy())
			}
		})},
		{"zeros for r and s", "no certificate that this was signed with", nil, func(a *answer) {
			a.noKeyInfo = true
			a.after = func(r *etree.Element) {
				sigOf(r).FindElement(".//SignatureMethod").CreateAttr("Algorithm", dsig.ECDSASHA256SignatureMethod)
				sigOf(r).FindElement("./SignatureValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 64)))
			}
		}},
		{"no SignatureValue", "lacks SignatureValue", nil, after(func(r *etree.Element) { sigOf(r).RemoveChild(sigOf(r).FindElement("./SignatureValue")) })},
		{"empty SignatureValue", "no certificate that this was signed with", nil, after(func(r *etree.Element) { sigOf(r).FindElement("./SignatureValue").SetText("") })},
		{"element in SignatureValue", "SignatureValue holds more than text", nil, after(func(r *etree.Element) { sigOf(r).FindElement("./SignatureValue").CreateElement("x") })},
		{"element in DigestValue", "DigestValue holds more than text", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//DigestValue").CreateElement("x") })},
		{"something else in the reference", "Reference holds Object where it may not", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//Reference").CreateElement("ds:Object") })},
		{"parameter of the digest", "digest algorithm", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//DigestMethod").CreateElement("x") })},
		{"DigestValue that is not base64", "DigestValue is not base64", nil, after(func(r *etree.Element) { sigOf(r).FindElement(".//DigestValue").SetText("%") })},
		{"XPath in a transform", "a transform holds XPath", nil, inTransform(`<ds:XPath xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`)},
		{"prefix list of another namespace", "a transform holds InclusiveNamespaces", nil, inTransform(`<x:InclusiveNamespaces xmlns:x="urn:x"/>`)},
		{"something else in a transform's namespace", "a transform holds Other", nil, inTransform(`<ec:Other xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#"/>`)},
		{"prefix list that holds something", "a transform holds InclusiveNamespaces", nil, inTransform(`<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="saml"><x/></ec:InclusiveNamespaces>`)},
		{"PrefixList on SignedInfo", "canonicalization", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//CanonicalizationMethod").AddChild(parse(`<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="saml"/>`))
		})},
		{"digest of something else", "no certificate that this was signed with", nil, after(func(r *etree.Element) {
			sigOf(r).FindElement(".//DigestValue").SetText(base64.StdEncoding.EncodeToString(make([]byte, 32)))
		})},
		{"signature moved to the Response", "the signature is over", nil, after(func(r *etree.Element) {
			s := sigOf(r)
			s.Parent().RemoveChild(s)
			r.InsertChildAt(1, s)
		})},
		{"signature in the Status", "a signature that is not of", nil, after(func(r *etree.Element) { r.FindElement("./Status").AddChild(sigOf(r).Copy()) })},
		{"Response in the Response", "a Response inside", nil, text("<samlp:Status>", `<samlp:Response ID="_x"/><samlp:Status>`)},
		{"ID in another namespace beside the ID (attribute pollution)", "attribute ID twice", nil, text(`<saml:Assertion `, `<saml:Assertion samlp:ID="_evil" `)},
		{"ID in another namespace only", "the signed element has the ID \"\"", nil, text(`ID="_a1"`, `samlp:ID="_a1"`)},
		{"line feed in the ID (CVE-2025-23369)", "the signed element has the ID", nil, text(`ID="_a1"`, `ID="_a1&#10;"`)},
		{"attribute twice", "attribute Version twice", nil, text(`Version="2.0"`, `Version="2.0" Version="2.0"`)},
		{"attribute twice by its namespace", "attribute x twice", nil, text("<samlp:Status>", `<samlp:Status xmlns:a="urn:x" xmlns:b="urn:x" a:x="" b:x="">`)},
		{"undeclared prefix (CVE-2025-66567)", "is not declared", nil, text("<samlp:Status>", "<samlp:Status><q:x/>")},
		{"undeclared prefix on an attribute", "is not declared", nil, text("<samlp:Status>", `<samlp:Status q:x="">`)},
		{"prefix declared by a sibling", "is not declared", nil, text("<samlp:Status>", `<samlp:Status><x xmlns:q="urn:q"/><q:x/>`)},
		{"name with two colons (CVE-2020-29511)", "not well-formed", nil, text("<samlp:Status>", "<samlp:Status><a:b:c/>")},
		{"name with a colon in front (CVE-2020-29510)", "the name", nil, text("<samlp:Status>", "<samlp:Status><:a/>")},
		{"attribute with a colon in front (CVE-2020-29509)", "the name", nil, text("<samlp:Status>", `<samlp:Status :a="">`)},
		{"attribute that looks like a declaration", "is not declared", nil, text("<samlp:Status>", `<samlp:Status q="urn:q"><q:x/>`)},
		{"prefix xmlns declared", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:xmlns="urn:x">`)},
		{"a prefix for the namespace of xmlns", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:x="http://www.w3.org/2000/xmlns/">`)},
		{"prefix outside ASCII", "the prefix", nil, text("<samlp:Status>", `<samlp:Status xmlns:é="urn:x">`)},
		{"element with a prefix outside ASCII", "the name", nil, text("<samlp:Status>", `<samlp:Status><é:a xmlns:é="urn:x"/>`)},
		{"name outside ASCII", "the name", nil, text("<samlp:Status>", `<samlp:Status><é/>`)},
		{"name with a middle dot", "the name", nil, text("<samlp:Status>", `<samlp:Status><a·b/>`)},
		{"xml:id of something else", "the ID", nil, text("<samlp:Status>", `<samlp:Status xml:id="_a1">`)},
		{"33 elements deep", "the document: nested deeper than 32", nil, text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", 31)+strings.Repeat("</a>", 31))},
		{"xml prefix rebound", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:xml="urn:x">`)},
		{"another prefix for the xml namespace", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:x="http://www.w3.org/XML/1998/namespace">`)},
		{"undeclared by an empty value", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:saml="">`)},
		{"namespace declared twice", "attribute q twice", nil, text("<samlp:Status>", `<samlp:Status xmlns:q="urn:x" xmlns:q="urn:y">`)},
		{"attribute xmlns with a prefix", "forbidden namespace", nil, text("<samlp:Status>", `<samlp:Status xmlns:q="urn:x" q:xmlns="urn:y">`)},
		{"end tag that does not match", "not well-formed", nil, text("</samlp:Status>", "</samlp:Statuz>")},
		{"end tag of another prefix", "not well-formed", nil, text("</samlp:Status>", "</saml:Status>")},
		{"unknown entity", "not well-formed", nil, text("alice-0001", "alice&nbsp;")},
		{"character that XML does not have", "not well-formed", nil, text("alice-0001", "alice&#1;")},
		{"not UTF-8", "not well-formed", nil, text("alice-0001", "alice\xff")},
		{"cut off", "not well-formed", nil, func(a *answer) { a.raw = func(b []byte) []byte { return b[:len(b)-5] } }},
		{"33 attributes", "attributes on one element", nil, func(a *answer) {
			var b strings.Builder
			for i := range 33 {
				fmt.Fprintf(&b, ` a%d=""`, i)
			}
			text("<samlp:Status>", "<samlp:Status"+b.String()+">")(a)
		}},
		{"90 namespaces", "namespace declarations", nil, func(a *answer) {
			var b strings.Builder
			for i := range 3 {
				b.WriteString("<x")
				for j := range 30 {
					fmt.Fprintf(&b, ` xmlns:a%d-%d="urn:x"`, i, j)
				}
				b.WriteString(">")
			}
			text("<samlp:Status>", "<samlp:Status>"+b.String()+"</x></x></x>")(a)
		}},
		{"an Advice with a signed assertion", "two assertions", nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.AddChild(wrap(parse(strings.Replace(string(good().plain(t)), "_a1", "_advice", 1)), `<saml:Advice xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"/>`))
			}
		}},
		{"root is an assertion", "the root is Assertion", nil, func(a *answer) { a.raw = func([]byte) []byte { return good().plain(t) } }},
		{"Response of SAML 1.1", "the root is Response", nil, text("urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:1.0:protocol")},
		{"oversized", "bytes, 4096 are taken", func(c *saml.Config) { c.MaxResponse = 4096 }, nil},
		{"too many elements", "more than 30000 elements", func(c *saml.Config) { c.MaxResponse = 8 << 20 }, func(a *answer) { a.groups = 30000 }},
		{"50,000 nested elements", "the document: nested deeper than 32", func(c *saml.Config) { c.MaxResponse = 8 << 20 }, text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", 50000)+strings.Repeat("</a>", 50000))},
		{"1,100 elements under an empty signature", "signature of the assertion: Signature lacks SignedInfo in its place", nil, after(func(r *etree.Element) {
			s := sigOf(r)
			for _, c := range s.ChildElements() {
				s.RemoveChild(c)
			}
			for range 1100 {
				assertionOf(r).CreateElement("x")
			}
		})},
	}
}

// inTransform puts an element into the canonicalization of the reference.
func inTransform(xml string) func(*answer) {
	return after(func(r *etree.Element) { sigOf(r).FindElements(".//Transform")[1].AddChild(parse(xml)) })
}
