package saml_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	xrv "github.com/mattermost/xml-roundtrip-validator"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// FuzzResponse: no bytes panic, and none but a signed answer is accepted.
func FuzzResponse(f *testing.F) {
	one := idpKey()
	for _, change := range []func(*answer){
		func(*answer) {},
		func(a *answer) { a.signResponse = &one },
		func(a *answer) { a.encrypt = sealed(sealing{bits: 256}) },
		func(a *answer) { a.encrypt = sealed(sealing{bits: 128, cbc: true}) },
		func(a *answer) { a.inclusive, a.before = "xs", typed },
		after(func(r *etree.Element) { r.FindElement(".//SignatureValue").SetText("AAAA") }),
	} {
		a := good()
		change(&a)
		f.Add(a.build(f))
	}
	f.Add([]byte(`<x`))
	sp := newSP(f, metadata(one), func(c *saml.Config) { c.InsecureAllowCBC, c.Signature = true, saml.SignedEither })
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := sp.Finish(t.Context(), request(), form(raw))
		if err == nil && got.Subject.ID != "alice-0001" {
			t.Errorf("%s accepted as %q", raw, got.Subject.ID)
		}
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("panic: %v", err)
		}
		if _, err := sp.FinishWithoutPrepass(request(), raw); err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("panic behind the pre-pass: %v", err)
		}
	})
}

// FuzzForm: no form at the ACS is accepted but one that holds, once, the answer
// that the provider signed; and none leads to an answer without a meaning.
func FuzzForm(f *testing.F) {
	encoded := form(good().build(f)).Get("SAMLResponse")
	for _, s := range []string{
		url.Values{"SAMLResponse": {encoded}, "RelayState": {"state-1"}}.Encode(),
		url.Values{"SAMLResponse": {encoded, encoded}, "RelayState": {"state-1"}}.Encode(),
		url.Values{"SAMLResponse": {encoded[:76] + "\r\n" + encoded[76:]}}.Encode(),
		url.Values{"SAMLResponse": {strings.TrimRight(encoded, "=")}, "SAMLEncoding": {"urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"}}.Encode(),
		"SAMLResponse=%00&RelayState=", "SAMLResponse=PHgvPg==", "samlresponse=" + url.QueryEscape(encoded), "SAMLart=AAQAAA&SAMLResponse", "SAMLRequest=" + url.QueryEscape(encoded), "",
	} {
		f.Add(s)
	}
	sp := newSP(f, metadata(idpKey()), func(c *saml.Config) { c.IDPInitiated = true })
	f.Fuzz(func(t *testing.T, body string) {
		values, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		got, err := sp.Finish(t.Context(), request(), values)
		if err == nil && (got.Subject.ID != "alice-0001" || got.ReplayID == "" || len(values["SAMLResponse"]) != 1) {
			t.Errorf("%q accepted as %+v", body, got)
		}
		if err != nil && (got.Subject.ID != "" || broker.CodeOf(err) == broker.CodeInternal) {
			t.Errorf("%q: %v", body, err)
		}
		// What answers a request is never one that nobody asked for.
		if got, err := sp.FinishUnsolicited(t.Context(), values); err == nil {
			t.Errorf("%q accepted as unsolicited, about %q", body, got.Subject.ID)
		}
	})
}

// FuzzMetadata: no bytes panic, and what is taken can be used.
func FuzzMetadata(f *testing.F) {
	one := idpKey()
	f.Add([]byte(metadata(one)))
	f.Add([]byte(aggregate("", metadata(one), strings.Replace(metadata(idpKey2()), idpEntity, "https://other.example", 1))))
	f.Add([]byte(`<x`))
	var body []byte
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", IDPEntityID: idpEntity,
		Now: func() time.Time { return fixed },
		HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		body = raw
		err := sp.Refresh(t.Context())
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Errorf("panic: %v", err)
		}
		if err != nil {
			return
		}
		ch, err := sp.Begin(t.Context(), request())
		if err != nil || !strings.HasPrefix(ch.URL, "http") || len(sp.Status().Certificates) == 0 {
			t.Errorf("%q, error %v", ch.URL, err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// FuzzPrepass: what the pre-pass lets through passes the round-trip validator
// too, and is the same tree after it was written and read again.
func FuzzPrepass(f *testing.F) {
	f.Add(good().build(f))
	f.Add([]byte(metadata(idpKey())))
	for _, s := range fragments {
		f.Add([]byte(s))
		f.Add([]byte("<a xmlns:b='c'>" + s + "</a>"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { differential(t, raw) })
}

var fragments = []string{
	"<a>", "</a>", "<b:a>", "</b:a>", "<a/>", "<b:a/>", "<a", "/>", ">", " x='1'", " b:x='1'", " xmlns='u'", " xmlns:b='u'", " xmlns:b='v'", " xmlns=''",
	" xml:lang='en'", " :x=''", " x:=''", " b:c:d=''", "<:a/>", "<a:/>", "<b:c:d/>", "<xmlns:a/>", " xmlns:xml='u'", " xmlns:xmla='u'", "<xmla:a/>",
	" x=\"'&quot;&#10;&#13;&#9;\"", "t", "&amp;", "&lt;", "&#13;", "&#xD;", "\r\n", "\r", "\t", "]]>", "]]&gt;", "<![CDATA[", "]]>", "<![CDATA[<a>]]>", "&x;", "&#0;",
	"\u00e9", "\u2028", "\ufeff", "\ufffe", "\U0001F600", "\xff", "<?xml version='1.0'?>", "<?xml version=\"1.0\" encoding='UTF-8'?>", "<?p i?>", "<!-- c -->", "<!--", "-->", "<!D>", "<\u00e9/>",
}

// TestPrepassDifferential is the fuzz test's property over documents put
// together from what has broken encoding/xml before.
func TestPrepassDifferential(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	taken := 0
	for range 100000 {
		var b strings.Builder
		b.WriteString([]string{"", "<a xmlns:b='u' xmlns:xmla='v'>", "<b:a xmlns:b='u'>", "<a xmlns='u' xmlns:b='u'"}[r.IntN(4)])
		for range r.IntN(7) {
			b.WriteString(fragments[r.IntN(len(fragments))])
		}
		b.WriteString([]string{"", "</a>", "</b:a>", "/>", "></a>"}[r.IntN(5)])
		if differential(t, []byte(b.String())) {
			taken++
		}
	}
	if taken < 500 {
		t.Errorf("only %d documents passed: nothing was compared", taken)
	}
	t.Logf("%d documents passed the pre-pass", taken)
}

// validatorsFault reports that the validator trips over its own encoder, which
// declares a prefix for the xml of xml:lang, and not over the document.
func validatorsFault(err error) bool {
	e, ok := errors.AsType[xrv.XMLRoundtripError](err)
	if !ok {
		return false
	}
	start, ok := e.Expected.(xml.StartElement)
	return ok && slices.ContainsFunc(start.Attr, func(a xml.Attr) bool { return a.Name.Space == "xml" })
}

func differential(t *testing.T, raw []byte) bool {
	t.Helper()
	if saml.Prepass(raw) != nil {
		return false
	}
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil && !validatorsFault(err) {
		t.Errorf("%q: passes, and not the round-trip validator: %v", raw, err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatalf("%q: passes, and cannot be read: %v", raw, err)
	}
	canonical := etree.WriteSettings{CanonicalAttrVal: true, CanonicalEndTags: true, CanonicalText: true}
	doc.WriteSettings = canonical
	once, err := doc.WriteToBytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := saml.Prepass(once); err != nil {
		t.Errorf("%q: passes, and not when it is written again as %q: %v", raw, once, err)
	}
	again := etree.NewDocument()
	if err := again.ReadFromBytes(once); err != nil {
		t.Fatal(err)
	}
	again.WriteSettings = canonical
	if twice, err := again.WriteToBytes(); err != nil || !bytes.Equal(once, twice) {
		t.Errorf("%q is %q and then %q: %v", raw, once, twice, err)
	}
	return true
}
