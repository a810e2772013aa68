package saml_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestAccepts holds the legal variety: every row must pass and say the same.
func TestAccepts(t *testing.T) {
	one, two, p256, p384 := idpKey(), idpKey2(), idpP256(), idpP384()
	reissued := certify(one.Key)
	const ns = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	keyInfo := func(s string) func(*answer) {
		return after(func(r *etree.Element) {
			info := sigOf(r).FindElement("./KeyInfo")
			sigOf(r).RemoveChild(info)
			sigOf(r).AddChild(parse(`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + s + `</ds:KeyInfo>`))
		})
	}
	chain := func(keys ...saml.KeyPair) string {
		out := ""
		for _, k := range keys {
			out += "<ds:X509Data><ds:X509Certificate>\n" + base64.StdEncoding.EncodeToString(k.Certificate.Raw) + "\n</ds:X509Certificate></ds:X509Data>"
		}
		return out
	}
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
		{"namespaces declared on the Response", metadata(one), nil, func(a *answer) { a.before = declaredOutside }},
		{"namespaces declared on the Response, both signed", metadata(one), nil, func(a *answer) { a.before, a.signResponse = declaredOutside, &one }},
		{"pretty printed", metadata(one), nil, func(a *answer) { a.indent = true }},
		{"no KeyInfo, two certificates", metadata(two, one), nil, func(a *answer) { a.noKeyInfo = true }},
		{"KeyInfo, two certificates", metadata(two, one), nil, nil},
		{"rollover to the second certificate", metadata(one, two), nil, func(a *answer) { a.signAssertion = &two }},
		{"RSA-SHA512", metadata(one), nil, func(a *answer) { a.method = dsig.RSASHA512SignatureMethod }},
		{"ECDSA-SHA256", metadata(p256), nil, func(a *answer) { a.signAssertion, a.method = &p256, dsig.ECDSASHA256SignatureMethod }},
		{"ECDSA-SHA384", metadata(one, p384), nil, func(a *answer) { a.signAssertion, a.method = &p384, dsig.ECDSASHA384SignatureMethod }},
		{"ECDSA in ASN.1", metadata(p256), nil, func(a *answer) { a.signAssertion, a.method, a.asn1 = &p256, dsig.ECDSASHA256SignatureMethod, true }},
		{"KeyInfo with a chain", metadata(one), nil, keyInfo(chain(one, two))},
		{"KeyInfo with a name only", metadata(two, one), nil, keyInfo(`<ds:KeyName>key 7</ds:KeyName>`)},
		{"KeyInfo with something unreadable", metadata(one), nil, keyInfo(`<ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data>`)},
		{"KeyInfo with another certificate of the key", metadata(one), nil, keyInfo(chain(reissued))},
		{"an expired certificate beside the one in use", metadata(expired(two.Key), one), nil, nil},
		{"indented SignatureValue", metadata(one), nil, after(func(r *etree.Element) {
			v := sigOf(r).FindElement("./SignatureValue")
			v.SetText("\n\t  " + v.Text()[:76] + "\n\t  " + v.Text()[76:] + "\n\t")
		})},
		{"xsi:type with its PrefixList", metadata(one), nil, func(a *answer) { a.inclusive, a.before = "xs", typed }},
		{"xsi:type with its PrefixList inside a signed response without", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedBoth }, func(a *answer) {
			a.inclusive, a.before, a.signResponse = "xs", typed, &one
		}},
		{"XML declaration", metadata(one), nil, func(a *answer) {
			a.raw = func(b []byte) []byte {
				return append([]byte(`<?xml version="1.0" encoding="utf-8" standalone="no"?>`+"\n"), b...)
			}
		}},
		{"no destination, no issuer on an unsigned response", metadata(one), nil, func(a *answer) {
			a.before = func(r, _ *etree.Element) { r.RemoveAttr("Destination"); r.RemoveChild(r.FindElement("./Issuer")) }
		}},
		{"CDATA", metadata(one), nil, text("alice@example.com", "<![CDATA[alice@]]>example.com")},
		{"character reference", metadata(one), nil, text("alice@example.com", "alice&#64;example.com")},
		{"white space round a value", metadata(one), nil, change(func(as *etree.Element) { as.FindElement(".//AttributeValue").SetText("\n  alice@example.com\n") })},
		{"one attribute per value", metadata(one), nil, change(func(as *etree.Element) {
			st := as.FindElement("./AttributeStatement")
			groups := st.FindElements("./Attribute")[1]
			st.RemoveChild(groups)
			for _, v := range groups.ChildElements() {
				at := parse(`<saml:Attribute` + ns + ` Name="groups"/>`)
				at.AddChild(v)
				st.AddChild(at)
			}
		})},
		{"two attribute statements", metadata(one), nil, change(func(as *etree.Element) {
			groups := as.FindElements(".//Attribute")[1]
			groups.Parent().RemoveChild(groups)
			as.CreateElement("saml:AttributeStatement").AddChild(groups)
		})},
		{"NameID in an attribute value", metadata(one), nil, change(func(as *etree.Element) {
			v := as.FindElement(".//AttributeValue")
			v.SetText("")
			v.AddChild(parse(`<saml:NameID` + ns + `>alice@example.com</saml:NameID>`))
		})},
		{"qualified by the two of us", metadata(one), nil, change(func(as *etree.Element) {
			as.FindElement(".//NameID").CreateAttr("NameQualifier", idpEntity)
			as.FindElement(".//NameID").CreateAttr("SPNameQualifier", spEntity)
		})},
		{"issuer with its format", metadata(one), nil, set("./Issuer", "Format", "urn:oasis:names:tc:SAML:2.0:nameid-format:entity")},
		{"attributes with a format", metadata(one), nil, change(func(as *etree.Element) {
			for _, at := range as.FindElements(".//Attribute") {
				at.CreateAttr("NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:uri")
			}
		})},
		{"200 attributes, one with a long name and value", metadata(one), nil, change(func(as *etree.Element) {
			st := as.FindElement("./AttributeStatement")
			st.AddChild(parse(`<saml:Attribute` + ns + ` Name="` + strings.Repeat("n", 512) + `"><saml:AttributeValue>` + strings.Repeat("v", 4096) + `</saml:AttributeValue></saml:Attribute>`))
			for i := range 197 {
				st.AddChild(parse(fmt.Sprintf(`<saml:Attribute%s Name="a%d"/>`, ns, i)))
			}
		})},
		{"attribute statement in another namespace says nothing", metadata(one), nil, add(".", `<x:AttributeStatement xmlns:x="urn:x"><saml:Attribute`+ns+` Name="groups"><saml:AttributeValue>admins</saml:AttributeValue></saml:Attribute></x:AttributeStatement>`)},
		{"signature in another namespace says nothing", metadata(one), nil, add(".", `<x:Signature xmlns:x="urn:x"/>`)},
		{"something else in the namespace of signatures says nothing", metadata(one), nil, add(".", `<ds:Object xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/>`)},
		{"NotBefore in another namespace says nothing", metadata(one), nil, change(func(as *etree.Element) {
			data := as.FindElement(".//SubjectConfirmationData")
			data.CreateAttr("xmlns:x", "urn:x")
			data.CreateAttr("x:NotBefore", at(0))
		})},
		{"names and IDs of others", metadata(one), nil, text("<samlp:Status>", `<samlp:Status xmlns=""><_a.b-1 xmlns:x="urn:x" x="" x:id="1"/><b x="" xmlns:x="urn:x" x:id="1"/>`)},
		{"32 elements deep", metadata(one), nil, text("<samlp:Status>", "<samlp:Status>"+strings.Repeat("<a>", 30)+strings.Repeat("</a>", 30))},
		{"metadata with one name in two namespaces", strings.Replace(metadata(one), "<IDPSSODescriptor ", `<IDPSSODescriptor xmlns:a="urn:a" xmlns:b="urn:b" a:x="" b:x="" `, 1), nil, nil},
		{"the entity that is configured", metadata(one), func(c *saml.Config) { c.IDPEntityID = idpEntity }, nil},
		{"a certificate for every use", strings.Replace(metadata(one), ` use="signing"`, "", 1), nil, nil},
		{"four keys", metadata(one), nil, func(a *answer) {
			a.encrypt = sealed(sealing{bits: 256})
			a.after = func(r *etree.Element) {
				k := r.FindElement(".//EncryptedKey")
				for range 3 {
					k.Parent().AddChild(k.Copy())
				}
			}
		}},
		{"one of several audiences", metadata(one), nil, change(func(as *etree.Element) {
			as.FindElement(".//AudienceRestriction").InsertChildAt(0, parse(`<saml:Audience`+ns+`>https://other.example</saml:Audience>`))
		})},
		{"NotBefore at the edge of the skew", metadata(one), nil, set("./Conditions", "NotBefore", at(time.Minute))},
		{"one-time use", metadata(one), nil, add("./Conditions", `<saml:OneTimeUse`+ns+`/>`)},
		{"milliseconds and an offset", metadata(one), nil, set("./Conditions", "NotOnOrAfter", "2026-11-24T10:05:00.000+01:00")},
		{"metadata with a byte order mark", "\ufeff" + `<?xml version="1.0" encoding="UTF-8"?><!-- x -->` + metadata(one), nil, nil},
		{"metadata with the certificate twice", metadata(one, one), nil, func(a *answer) { a.noKeyInfo = true }},
		{"AES-128-GCM", metadata(one), nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 128}) }},
		{"AES-192-GCM", metadata(one), nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 192}) }},
		{"OAEP with SHA-256", metadata(one), nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 256, wrap: wrapOAEP256}) }},
		{"EncryptedKey beside EncryptedData", metadata(one), nil, func(a *answer) { a.encrypt = sealed(sealing{bits: 256, beside: true}) }},
		{"for our second decryption key", metadata(one), func(c *saml.Config) { c.Decryption = append(c.Decryption, spCrypt2()) }, func(a *answer) { a.encrypt = sealed(sealing{bits: 256, to: spCrypt2()}) }},
		{"AES-256-GCM", metadata(one), func(c *saml.Config) { c.WantEncrypted = true }, func(a *answer) { a.encrypt = sealed(sealing{bits: 256}) }},
		{"AES-GCM in a signed response", metadata(one), func(c *saml.Config) { c.Signature = saml.SignedBoth }, func(a *answer) { a.encrypt, a.signResponse = sealed(sealing{bits: 256}), &one }},
		{"AES-CBC where allowed", metadata(one), func(c *saml.Config) { c.InsecureAllowCBC = true }, func(a *answer) { a.encrypt = sealed(sealing{bits: 128, cbc: true}) }},
		{"in an EntitiesDescriptor", `<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + metadata(one) + strings.Replace(metadata(two), idpEntity, "https://other.example", 1) + `</EntitiesDescriptor>`,
			func(c *saml.Config) { c.IDPEntityID = idpEntity }, nil},
		{"line breaks in the field", metadata(one), nil, nil},
		{"clock 59 s ahead", metadata(one), func(c *saml.Config) { c.Now = func() time.Time { return fixed.Add(-59 * time.Second) } }, nil},
		{"clock 59 s behind the end", metadata(one), func(c *saml.Config) { c.Now = func() time.Time { return fixed.Add(5*time.Minute + 59*time.Second) } }, nil},
		{"3,000 groups", metadata(one), func(c *saml.Config) { c.MaxResponse = 1 << 20 }, func(a *answer) { a.groups = 3000 }},
		{"3,000 groups, signature last", metadata(one), func(c *saml.Config) { c.MaxResponse = 1 << 20 }, func(a *answer) { a.groups, a.signatureLast = 3000, true }},
		{"3,000 groups, encrypted", metadata(one), func(c *saml.Config) { c.MaxResponse = 1 << 20 }, func(a *answer) { a.groups, a.encrypt = 3000, sealed(sealing{bits: 256}) }},
		{"30,000 groups where allowed", metadata(one), func(c *saml.Config) { c.MaxResponse, c.MaxNodes = 8<<20, 60000 }, func(a *answer) { a.groups = 30000 }},
		{"3,000 groups, response signed", metadata(one), func(c *saml.Config) { c.MaxResponse, c.Signature = 1<<20, saml.SignedResponse }, func(a *answer) { a.groups, a.signAssertion, a.signResponse = 3000, nil, &one }},
		{"a second, unconfirmed confirmation", metadata(one), nil, func(a *answer) {
			a.before = func(_, as *etree.Element) {
				as.FindElement("./Subject").AddChild(parse(`<saml:SubjectConfirmation xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"/>`))
			}
		}},
	}
	all := oddities()
	for _, tt := range tests {
		all = append(all, variety{name: tt.name, meta: tt.meta, config: tt.config, answer: tt.answer})
	}
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) { accepts(t, tt) })
	}
}

// variety is a row: a legal answer, and what it says otherwise than the others.
type variety struct {
	name, meta string
	config     func(*saml.Config)
	answer     func(*answer)
	form       func(string) string // of the field
	ask        func(*broker.AuthRequest)
	want       func(*broker.Authentication)
}

func accepts(t *testing.T, tt variety) {
	t.Helper()
	a := good()
	if tt.answer != nil {
		tt.answer(&a)
	}
	f := form(a.build(t))
	if tt.name == "line breaks in the field" {
		tt.form = func(v string) string { return v[:76] + "\r\n" + v[76:] }
	}
	if tt.form != nil {
		f.Set("SAMLResponse", tt.form(f.Get("SAMLResponse")))
	}
	if tt.meta == "" {
		tt.meta = metadata(idpKey())
	}
	r := request()
	if tt.ask != nil {
		tt.ask(&r)
	}
	trace := &broker.Trace{ID: "AAAA-AAAA", Started: time.Now()}
	got, err := newSP(t, tt.meta, tt.config).Finish(broker.WithTrace(t.Context(), trace), r, f)
	if err != nil {
		t.Fatal(err)
	}
	want := broker.Authentication{
		Subject: broker.Subject{Provider: "corp", ID: "alice-0001"}, NameID: "alice-0001",
		NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
		AuthnContext: broker.AuthnContext{ACR: "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"},
		LogoutHint:   broker.NewSecret(`{"format":"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}`),
		SessionIndex: "s1", ReplayID: "_a1", ReplayExpires: fixed.Add(6 * time.Minute),
	}
	if len(got.Claims["groups"]) != a.groups && tt.want == nil || got.Claims.First("mail") != "alice@example.com" {
		t.Errorf("%d groups, claims %v", len(got.Claims["groups"]), got.Claims.First("mail"))
	}
	for name := range got.Unreadable {
		if v, there := got.Claims[name]; there {
			t.Errorf("%q cannot be read, and is %q", name, v)
		}
	}
	if tt.name == "qualified by the two of us" {
		want.LogoutHint = broker.NewSecret(`{"format":"` + want.NameIDFormat + `","name_qualifier":"` + idpEntity + `","sp_name_qualifier":"` + spEntity + `"}`)
	}
	if tt.want != nil {
		tt.want(&want)
	}
	if want.Claims == nil {
		got.Claims = nil
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(broker.Secret{})); d != "" {
		t.Error(d)
	}
	if len(trace.Steps()) < 6 {
		t.Errorf("trace %v", trace.Steps())
	}
	for name := range got.Unreadable {
		if !strings.Contains(fmt.Sprint(trace.Steps()), fmt.Sprintf("%.80q is ", name)) {
			t.Errorf("the trace does not name %q: %v", name, trace.Steps())
		}
	}
}

// typed declares xs and uses it in a value, where canonicalization without a
// PrefixList does not see it.
func typed(_, as *etree.Element) {
	as.CreateAttr("xmlns:xs", "http://www.w3.org/2001/XMLSchema")
	as.CreateAttr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
	for _, v := range as.FindElements(".//AttributeValue") {
		v.CreateAttr("xsi:type", "xs:string")
	}
}

func declaredOutside(r, as *etree.Element) {
	r.CreateAttr("xmlns:saml", as.SelectAttrValue("xmlns:saml", ""))
	as.RemoveAttr("xmlns:saml")
}
