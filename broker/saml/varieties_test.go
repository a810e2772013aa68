package saml_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

const role11 = `<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol urn:mace:shibboleth:1.0"><SingleSignOnService Binding="urn:mace:shibboleth:1.0:profiles:AuthnRequest" Location="https://idp.example.com/old"/></IDPSSODescriptor>`

func keyDescriptor(inside string) string {
	return `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">` + inside + `</KeyInfo></KeyDescriptor>`
}

func x509Data(b64 string) string {
	return `<X509Data><X509Certificate>` + b64 + `</X509Certificate></X509Data>`
}

// TestAcceptsMetadata holds the legal variety of metadata, and what is odd in it
// and nobody's business: every row must be read, and a sign-in must go through.
func TestAcceptsMetadata(t *testing.T) {
	one, two := idpKey(), idpKey2()
	cert := base64.StdEncoding.EncodeToString(one.Certificate.Raw)
	valid := metadata(one)
	replace := func(old, new string) string {
		if !strings.Contains(valid, old) {
			t.Fatalf("no %s in the metadata", old)
		}
		return strings.ReplaceAll(valid, old, new)
	}
	entity := func(inside string) string { return replace("</EntityDescriptor>", inside+"</EntityDescriptor>") }
	role := func(inside string) string { return replace("</IDPSSODescriptor>", inside+"</IDPSSODescriptor>") }
	keys := func(descriptors string) string {
		return strings.Replace(metadata(), `:SAML:2.0:protocol">`, `:SAML:2.0:protocol">`+descriptors, 1)
	}
	negative := negativeSerial(one.Certificate.Raw)
	const redirect, post = "https://idp.example.com/sso?tenant=1", "https://idp.example.com/sso"
	const other = `<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://sp.example.com" `
	const sp = `><SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"`
	const spEnd = `><AssertionConsumerService index="0" Binding="urn:x" Location="https://sp.example.com/acs"/></SPSSODescriptor></EntityDescriptor>`
	tests := []struct {
		name, meta string
		config     func(*saml.Config)
		to         string // where the browser is sent, the default redirect
		leftOut    string // what is said to be left out
	}{
		{name: "cacheDuration on the role", meta: replace("<IDPSSODescriptor ", `<IDPSSODescriptor cacheDuration="PT24H" `)},
		{name: "cacheDuration in days and fractions", meta: replace("entityID=", `cacheDuration="P1DT2H0.5S" entityID=`)},
		{name: "cacheDuration that is none", meta: replace("entityID=", `cacheDuration="a day" entityID=`)},
		{name: "cacheDuration on a service provider beside it", meta: aggregate("", other+`cacheDuration="forever"`+sp+` cacheDuration="PT24H"`+spEnd, valid)},
		{name: "validUntil of somebody else that is none", meta: aggregate("", other+`validUntil="soon"`+sp+spEnd, valid)},
		{name: "validUntil without a zone", meta: replace("entityID=", `validUntil="2026-11-24T09:00:01" entityID=`)},
		{name: "a role for SAML 1.1 first", meta: replace("<IDPSSODescriptor ", role11+"<IDPSSODescriptor ")},
		{name: "a role for SAML 1.1 last", meta: entity(role11)},
		{name: "a role that is over beside the one in use", meta: replace("<IDPSSODescriptor ", `<IDPSSODescriptor validUntil="2020-01-01T00:00:00Z" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/><IDPSSODescriptor `), leftOut: "validUntil 2020"},
		{name: "two roles, the first is taken", meta: entity(strings.NewReplacer(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="`+idpEntity+`">`, "", "</EntityDescriptor>", "", "idp.example.com", "second.example.com").Replace(metadata(two)))},
		{name: "two protocols of one role", meta: replace(`protocolSupportEnumeration="`, `protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol `)},
		{name: "role descriptors of other standards", meta: entity(`<RoleDescriptor xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="fed:SecurityTokenServiceType" protocolSupportEnumeration="http://docs.oasis-open.org/wsfed/federation/200706"><KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>no</X509Certificate></X509Data></KeyInfo></KeyDescriptor></RoleDescriptor>`)},
		{name: "an AttributeAuthorityDescriptor with an odd key", meta: entity(`<AttributeAuthorityDescriptor protocolSupportEnumeration="x">` + keyDescriptor(x509Data("%%")) + `</AttributeAuthorityDescriptor>`)},
		{name: "organization, contacts, extensions", meta: entity(`<Organization><OrganizationName xml:lang="en">x</OrganizationName></Organization><ContactPerson contactType="technical"><EmailAddress>mailto:x@example.com</EmailAddress></ContactPerson><AdditionalMetadataLocation namespace="urn:x">https://x.example</AdditionalMetadataLocation>`)},
		{name: "an extension named in another alphabet", meta: entity(`<Extensions><é:größe xmlns:é="urn:é" ü="1"/></Extensions>`)},
		{name: "an ID twice in somebody else's metadata", meta: aggregate("", other+`ID="x"`+sp+` ID="x"`+spEnd, valid)},
		{name: "certificates that cannot be read before and after", meta: keys(keyDescriptor(x509Data("")) + keyDescriptor(x509Data("AAAA")) + keyDescriptor(x509Data("%%%")) + keyDescriptor(x509Data(cert)) + keyDescriptor(x509Data("MIIB"))), leftOut: "a certificate: "},
		{name: "a bad certificate before the good one in one KeyInfo", meta: keys(keyDescriptor(x509Data("AAAA") + x509Data(cert))), leftOut: "a certificate: "},
		{name: "a weak certificate beside a good one", meta: metadata(weakKey(), one), leftOut: "with a weak key"},
		{name: "a certificate with a negative serial number", meta: keys(keyDescriptor(x509Data(base64.StdEncoding.EncodeToString(negative))))},
		{name: "a certificate as PEM", meta: keys(keyDescriptor(x509Data("\n-----BEGIN CERTIFICATE-----\n" + cert + "\n-----END CERTIFICATE-----\n")))},
		{name: "two certificates run together", meta: keys(keyDescriptor(x509Data(base64.StdEncoding.EncodeToString(two.Certificate.Raw) + cert)))},
		{name: "two certificates in one X509Data", meta: keys(keyDescriptor(`<X509Data><X509SubjectName>CN=x</X509SubjectName><X509Certificate>` + base64.StdEncoding.EncodeToString(two.Certificate.Raw) + `</X509Certificate><X509Certificate>` + cert + `</X509Certificate></X509Data>`))},
		{name: "white space in the base64", meta: keys(keyDescriptor(x509Data("\n\t " + cert[:64] + "\r\n   " + cert[64:] + "\n")))},
		{name: "a bare RSA key", meta: keys(keyDescriptor(rsaKeyValue(one)))},
		{name: "a key that is no certificate beside one that is", meta: keys(keyDescriptor(`<KeyName>k</KeyName>`) + keyDescriptor(x509Data(cert))), leftOut: "without a certificate"},
		{name: "a key of no stated use", meta: replace(` use="signing"`, "")},
		{name: "a key with EncryptionMethods", meta: replace("</KeyDescriptor>", `<EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/></KeyDescriptor>`)},
		{name: "by POST only", meta: replace(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso?tenant=1"/>`, ""), to: post},
		{name: "by POST only, as configured", meta: replace(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/sso?tenant=1"/>`, ""), config: func(c *saml.Config) { c.Binding = saml.BindingPOST }, to: post},
		{name: "redirect not over https beside POST", meta: replace("https://idp.example.com/sso?tenant=1", "http://idp.example.com/sso"), to: post, leftOut: "is not an https address"},
		{name: "two services with one binding, the first is taken", meta: role(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example.com/second"/>`)},
		{name: "a relative address before the one in use", meta: replace("<SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\"", `<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="/sso"/><SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"`), leftOut: `"/sso" is not an https address`},
		{name: "services by other bindings", meta: role(`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="soap"/><ArtifactResolutionService index="x" Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location=""/><NameIDMappingService Binding="x" Location=""/><AssertionIDRequestService Binding="x" Location=""/><ManageNameIDService Binding="x" Location=""/>`)},
		{name: "a sign-out address that is relative", meta: role(`<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="/slo"/>`), leftOut: "a SingleLogoutService"},
		{name: "a sign-out address that is empty", meta: role(`<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location=""/>`), leftOut: "a SingleLogoutService"},
		{name: "line breaks round and in an address", meta: replace(`Location="https://idp.example.com/sso?tenant=1"`, "Location=\"\n  https://idp.example.com/sso?tenant=1\n\"")},
		{name: "white space round the entity ID", meta: replace(idpEntity, "\n "+idpEntity+" ")},
		{name: "white space round the entity ID, which is asked for", meta: replace(idpEntity, "\n "+idpEntity+" "), config: func(c *saml.Config) { c.IDPEntityID = idpEntity }},
		{name: "an attribute profile and attributes", meta: role(`<AttributeProfile>urn:x</AttributeProfile><saml:Attribute xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Name="groups"/>`)},
		{name: "a style sheet", meta: `<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?>` + valid + `<?done x?>`},
		{name: "an instruction and a comment inside", meta: replace("<SingleSignOnService", "<?x y?><!-- z --><SingleSignOnService")},
		{name: "another prefix", meta: strings.NewReplacer("<EntityDescriptor xmlns=", "<md:EntityDescriptor xmlns:md=", "</EntityDescriptor", "</md:EntityDescriptor", "<IDPSSO", "<md:IDPSSO", "</IDPSSO", "</md:IDPSSO", "<SingleS", "<md:SingleS", "<KeyDesc", "<md:KeyDesc", "</KeyDesc", "</md:KeyDesc").Replace(valid)},
		{name: "namespaces declared outside", meta: `<a:EntitiesDescriptor xmlns:a="urn:oasis:names:tc:SAML:2.0:metadata" xmlns="urn:oasis:names:tc:SAML:2.0:metadata">` + replace(` xmlns="urn:oasis:names:tc:SAML:2.0:metadata"`, "") + `</a:EntitiesDescriptor>`},
		{name: "in aggregates, with their extensions", meta: aggregate("", `<Extensions><x xmlns="urn:x"><EntityDescriptor/></x></Extensions>`+aggregate(`Name="inner"`, other+sp+spEnd, valid)), config: func(c *saml.Config) { c.IDPEntityID = idpEntity }},
		{name: "the only identity provider among others", meta: aggregate("", other+sp+spEnd, valid, other+sp+spEnd)},
		{name: "signed, and nobody asked for it", meta: replace("<IDPSSODescriptor ", `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature><IDPSSODescriptor `)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newSP(t, tt.meta, tt.config)
			ch, err := p.Begin(t.Context(), request())
			if tt.to == "" {
				tt.to = redirect
			}
			if err != nil || !strings.HasPrefix(ch.URL, tt.to) || (ch.Form != nil) != (tt.to == post) {
				t.Errorf("sent to %q with the form %v, error %v", ch.URL, ch.Form, err)
			}
			trace := &broker.Trace{}
			if _, err := p.Finish(broker.WithTrace(t.Context(), trace), request(), form(good().build(t))); err != nil {
				t.Error(err)
			}
			left := strings.Join(p.Status().LeftOut, "; ")
			if !strings.Contains(left, tt.leftOut) || tt.leftOut == "" && left != "" {
				t.Errorf("left out: %q", left)
			}
			if said := fmt.Sprint(trace.Steps()); tt.leftOut != "" && !strings.Contains(said, "left out") {
				t.Errorf("the trace does not say it: %s", said)
			}
		})
	}
}

// TestMetadataMessages ensures that a refusal says what is wrong, and what to do.
func TestMetadataMessages(t *testing.T) {
	valid := metadata(idpKey())
	for name, tt := range map[string]struct {
		meta, want string
		config     func(*saml.Config)
	}{
		"blank line":           {meta: "\n<?xml version=\"1.0\"?>" + valid, want: "take away the blank line"},
		"UTF-16":               {meta: "\xff\xfe<\x00x\x00/\x00>\x00", want: "UTF-16: save it as UTF-8"},
		"a page":               {meta: "<html><body/></html>", want: "the root is html and not EntityDescriptor"},
		"POST only, redirect":  {meta: strings.Replace(valid, "HTTP-Redirect", "SOAP", 1), want: "set binding: post", config: func(c *saml.Config) { c.Binding = saml.BindingRedirect }},
		"redirect only, POST":  {meta: strings.Replace(valid, "HTTP-POST", "SOAP", 1), want: "set binding: redirect", config: func(c *saml.Config) { c.Binding = saml.BindingPOST }},
		"neither":              {meta: strings.NewReplacer("HTTP-POST", "SOAP", "HTTP-Redirect", "PAOS").Replace(valid), want: "no sign-in by the redirect or the POST binding"},
		"relative only":        {meta: strings.ReplaceAll(valid, "https://idp.example.com/sso", "/sso"), want: `"/sso?…" is not an https address`},
		"SAML 1.1 only":        {meta: strings.Replace(valid, "SAML:2.0:protocol", "SAML:1.1:protocol", 1), want: "no identity provider of SAML 2.0"},
		"validUntil unclear":   {meta: strings.Replace(valid, "entityID=", `validUntil="soon" entityID=`, 1), want: `validUntil of EntityDescriptor: "soon" is no time`},
		"aggregate unclear":    {meta: aggregate(`validUntil="soon"`, valid), want: `validUntil of EntitiesDescriptor`},
		"none of the ID":       {meta: aggregate("", valid), want: `no identity provider with the entity ID "https://none.example" (and 1 other`, config: func(c *saml.Config) { c.IDPEntityID = "https://none.example" }},
		"the ID is an SP":      {meta: strings.ReplaceAll(valid, "IDPSSO", "SPSSO"), want: "is no identity provider", config: func(c *saml.Config) { c.IDPEntityID = idpEntity }},
		"several":              {meta: aggregate("", valid, strings.Replace(metadata(idpKey2()), idpEntity, "https://other.example", 1)), want: "set entity_id"},
		"the ID twice":         {meta: aggregate("", valid, valid), want: "is there twice", config: func(c *saml.Config) { c.IDPEntityID = idpEntity }},
		"bad certificates":     {meta: strings.Replace(metadata(weakKey(), idpKey()), base64.StdEncoding.EncodeToString(idpKey().Certificate.Raw), "AAAA", 1), want: "weak key"},
		"a large entity":       {meta: strings.Replace(valid, "<IDPSSO", "<Extensions>"+strings.Repeat("<x>"+strings.Repeat("y", 1000)+"</x>", 5000)+"</Extensions><IDPSSO", 1), want: "an entity of more than"},
		"a long text":          {meta: strings.Replace(valid, "<IDPSSO", "<x>"+strings.Repeat("y", 9<<20)+"</x><IDPSSO", 1), want: "more than"},
		"no end":               {meta: strings.TrimSuffix(valid, "</EntityDescriptor>"), want: "no whole root element"},
		"entity without an ID": {meta: strings.Replace(valid, idpEntity, " ", 1), want: "the entityID is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			c := saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata",
				Now: func() time.Time { return fixed }, HTTP: serving(func() io.Reader { return strings.NewReader(tt.meta) })}
			if tt.config != nil {
				tt.config(&c)
			}
			sp, err := saml.New(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := sp.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func serving(body func() io.Reader) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(body())}, nil
	})}
}

// TestAggregateAsStream ensures that a federation's aggregate of 60 MB with
// 4,000 entities takes little memory: only the wanted entity is kept.
func TestAggregateAsStream(t *testing.T) {
	const entities, size = 4000, 15000
	filler := strings.Repeat("<x:logo>"+strings.Repeat("A", 92)+"</x:logo>", (size-1900)/109)
	other := metadata(idpKey2())
	var most uint64
	parts := func(yield func(string) bool) {
		if !yield(`<EntitiesDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:x="urn:x">`) {
			return
		}
		for n := range entities {
			if n%500 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			one := strings.Replace(other, idpEntity, fmt.Sprintf("https://idp%d.example", n), 1)
			if n == entities/2 {
				one = metadata(idpKey())
			}
			if !yield(strings.Replace(one, "<IDPSSO", "<Extensions>"+filler+"</Extensions><IDPSSO", 1)) {
				return
			}
		}
		yield(`</EntitiesDescriptor>`)
	}
	stream := &partReader{next: pull(parts)}
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://mdq.example/all", IDPEntityID: idpEntity,
		Now: func() time.Time { return fixed }, HTTP: serving(func() io.Reader { return stream })})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if stream.total < 55<<20 {
		t.Errorf("only %d bytes were read", stream.total)
	}
	if grown := int64(most) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Errorf("%d MiB of heap for a document of %d MiB", grown>>20, stream.total>>20)
	}
	if _, err := sp.Finish(t.Context(), request(), form(good().build(t))); err != nil {
		t.Error(err)
	}
}

type partReader struct {
	next  func() (string, bool)
	rest  string
	total int
}

func (p *partReader) Read(b []byte) (int, error) {
	if p.rest == "" {
		var ok bool
		if p.rest, ok = p.next(); !ok {
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	p.total += n
	return n, nil
}

// TestMetadataQuery ensures that the address of one entity at a metadata query
// service is asked for as it is written, and that an unchanged answer is enough.
func TestMetadataQuery(t *testing.T) {
	for address, path := range map[string]string{
		"https://mdq.example/entities/https%3A%2F%2Fidp.example.com%2Fmetadata": "/entities/https%3A%2F%2Fidp.example.com%2Fmetadata",
		"https://mdq.example/entities/%7Bsha1%7D0a1b2c":                         "/entities/%7Bsha1%7D0a1b2c",
		"https://mdq.example/entities/{sha1}0a1b2c":                             "/entities/%7Bsha1%7D0a1b2c",
	} {
		asked, fetches := "", 0
		sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: address, IDPEntityID: idpEntity,
			Now: func() time.Time { return fixed }, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.EscapedPath()
				fetches++
				if r.Header.Get("If-None-Match") == `"v1"` {
					return &http.Response{StatusCode: 304, Body: http.NoBody}, nil
				}
				return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"v1"`}}, Body: io.NopCloser(strings.NewReader(metadata(idpKey())))}, nil
			})}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := sp.Refresh(t.Context()); err != nil || asked != path {
				t.Errorf("asked for %q, error %v", asked, err)
			}
			if _, err := sp.Finish(t.Context(), request(), form(good().build(t))); err != nil {
				t.Error(err)
			}
		}
		if fetches != 2 {
			t.Errorf("%d fetches", fetches)
		}
	}
}
