package saml_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestMetadataEdges holds what a line of metadata may just still be, and what it
// may not be any more.
func TestMetadataEdges(t *testing.T) {
	valid := metadata(idpKey())
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(valid) }
	const sso, redirect, post = "https://idp.example.com/sso", "HTTP-Redirect", "HTTP-POST"
	binding := func(b saml.Binding) func(*saml.Config) { return func(c *saml.Config) { c.Binding = b } }
	for _, tt := range []struct {
		name, meta, refused, leftOut string
		config                       func(*saml.Config)
	}{
		{name: "a role that names no protocol", meta: replace(` protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"`, "")},
		{name: "both bindings, redirect wanted", meta: valid, config: binding(saml.BindingRedirect)},
		{name: "both bindings, POST wanted", meta: valid, config: binding(saml.BindingPOST)},
		{name: "redirect only, nothing wanted", meta: replace(post, "SOAP")},
		{name: "POST only, nothing wanted", meta: replace(redirect, "SOAP")},
		{name: "an address that is none beside a good one", meta: replace(sso+"?tenant=1", "https://[::1"), leftOut: "is not an https address"},
		{name: "an entity ID of 1,025 bytes", meta: replace(idpEntity, "https://"+strings.Repeat("i", 1017)), refused: "the entityID is missing or too long"},
		{name: "an end of the role that cannot be read", meta: replace("<IDPSSODescriptor ", `<IDPSSODescriptor validUntil="soon" `), refused: `validUntil of IDPSSODescriptor: "soon" is no time`},
		{name: "wants signed requests, as 1", meta: replace("<IDPSSODescriptor ", `<IDPSSODescriptor WantAuthnRequestsSigned="1" `), refused: "it wants signed requests"},
		{name: "a user name in the address", meta: replace(sso, "https://sso.example.com@idp.example.com/sso"), refused: "no sign-in by the redirect or the POST binding"},
		{name: "a script that names this machine", meta: replace(sso, "javascript://localhost/%0aalert(1)"), refused: "no sign-in by the redirect or the POST binding"},
		{name: "a name that begins with a colon", meta: replace("<IDPSSO", "<:a/><IDPSSO"), refused: `the name "::a"`},
		{name: "a name that ends in a colon", meta: replace("<IDPSSO", "<a:/><IDPSSO"), refused: `the name ":a:"`},
		{name: "UTF-16, high bytes first", meta: "\xfe\xff\x00<\x00x", refused: "UTF-16: save it as UTF-8"},
		{name: "nothing", meta: "", refused: "no whole root element"},
		{name: "a comment only", meta: "<!-- -->", refused: "no whole root element"},
		{name: "an entity that is large in its last attributes", meta: replace("</EntityDescriptor", strings.Repeat(`<x a="`+strings.Repeat("y", 1000)+`"/>`, 5000)+"</EntityDescriptor"), refused: "an entity of more than"},
		{name: "one attribute larger than an entity", meta: replace("<EntityDescriptor ", `<EntityDescriptor a="`+strings.Repeat("y", 5<<20)+`" `), refused: "an entity of more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata",
				Now: func() time.Time { return fixed }, HTTP: serving(func() io.Reader { return strings.NewReader(tt.meta) })}
			if tt.config != nil {
				tt.config(&c)
			}
			sp, err := saml.New(c)
			if err != nil {
				t.Fatal(err)
			}
			err = sp.Refresh(t.Context())
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Fatalf("error %v, want %q", err, tt.refused)
			}
			if err != nil {
				return
			}
			if _, err := sp.Finish(t.Context(), request(), form(good().build(t))); err != nil {
				t.Error(err)
			}
			if left := strings.Join(sp.Status().LeftOut, "; "); !strings.Contains(left, tt.leftOut) || tt.leftOut == "" && left != "" {
				t.Errorf("left out: %q", left)
			}
		})
	}
}

// TestMetadataChanged ensures that a document is read whenever the server sends
// one, that only an answer to our own condition says that it is as it was, and
// that what could not be read is asked for again without a condition.
func TestMetadataChanged(t *testing.T) {
	one, two := idpKey(), idpKey2()
	status, header, body, now := 304, http.Header{}, "", fixed
	var asked http.Header
	var last time.Time // that it was read, or said to be as it was
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata",
		Now: func() time.Time { return now }, HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked = r.Header
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}, nil
		})}})
	if err != nil {
		t.Fatal(err)
	}
	tagged := func(tag string) http.Header { return http.Header{"Etag": {tag}} }
	dated := http.Header{"Last-Modified": {"Tue, 24 Nov 2026 09:00:00 GMT"}}
	for _, step := range []struct {
		name             string
		status           int
		header           http.Header
		body             string
		ok               bool
		key              *saml.KeyPair // whose signature is taken afterwards; nil: nobody's
		ifNone, ifSooner string        // the conditions of our request
	}{
		{name: "not modified, and we have nothing", status: 304, body: "", ok: false},
		{name: "the first", status: 200, header: tagged(`"1"`), body: metadata(one), ok: true, key: &one},
		{name: "as it was", status: 304, ok: true, key: &one, ifNone: `"1"`},
		{name: "another one", status: 200, header: tagged(`"2"`), body: metadata(two), ok: true, key: &two, ifNone: `"1"`},
		{name: "one that is bad", status: 200, header: tagged(`"3"`), body: "x", ok: false, key: &two, ifNone: `"2"`},
		{name: "not modified since the bad one", status: 304, ok: false, key: &two},
		{name: "one with a date", status: 200, header: dated, body: metadata(one), ok: true, key: &one},
		{name: "as it was on the date", status: 304, ok: true, key: &one, ifSooner: dated.Get("Last-Modified")},
		{name: "no content", status: 204, ok: false, key: &one, ifSooner: dated.Get("Last-Modified")},
	} {
		status, header, body, now = step.status, step.header, step.body, now.Add(time.Second)
		if step.ok {
			last = now
		}
		if err := sp.Refresh(t.Context()); (err == nil) != step.ok {
			t.Errorf("%s: %v", step.name, err)
		}
		if got := sp.Status().Refreshed; !got.Equal(last) {
			t.Errorf("%s: the metadata is said to be from %s, and is from %s", step.name, got, last)
		}
		if n, s := asked.Get("If-None-Match"), asked.Get("If-Modified-Since"); n != step.ifNone || s != step.ifSooner {
			t.Errorf("%s: asked with the conditions %q and %q", step.name, n, s)
		}
		for i, k := range []*saml.KeyPair{&one, &two} {
			a := good()
			a.signAssertion = k
			_, err := sp.Finish(t.Context(), request(), form(a.build(t)))
			if taken := step.key != nil && k.Certificate == step.key.Certificate; (err == nil) != taken {
				t.Errorf("%s: an answer signed with key %d: %v", step.name, i+1, err)
			}
		}
		if _, err := sp.Begin(t.Context(), request()); step.key == nil && broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%s: a request: %v", step.name, err)
		}
	}
}

// TestMetadataGivenUpLate ensures that what was read whole is kept, though nobody
// waits for it any more.
func TestMetadataGivenUpLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata",
		Now: func() time.Time { return fixed }, HTTP: serving(func() io.Reader { cancel(); return strings.NewReader(metadata(idpKey())) })})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Refresh(ctx); err != nil || sp.Status().EntityID != idpEntity {
		t.Errorf("the metadata of %q, error %v", sp.Status().EntityID, err)
	}
}

// TestDurations holds the form of xs:duration, and its bound.
func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"P1Y": 365 * day, "P1M": 30 * day, "P1D": day, "PT1H": time.Hour, "PT1M": time.Minute, "PT1.5S": time.Second,
		"P1DT2H": 26 * time.Hour, " P1D\n": day, "P200Y": 200 * 365 * day, "PT0S": 0,
	} {
		if got, err := saml.Duration(s); err != nil || got != want {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "P", "PT", "P1DT", "-P1D", "1D", "P1", "P1H", "P201Y", "P200YT1S", "P9999Y", "P10000Y", "PT99999999999S"} {
		if got, err := saml.Duration(s); err == nil {
			t.Errorf("%q: %s", s, got)
		}
	}
}

// TestMetadataStreamEnds ensures that a stream is cut off at its bound.
func TestMetadataStreamEnds(t *testing.T) {
	for left, ok := range map[int]bool{9: false, 10: true} {
		got, err := io.ReadAll(saml.Paced(strings.NewReader("0123456789"), left))
		if (err == nil) != ok || ok && string(got) != "0123456789" {
			t.Errorf("10 bytes where %d may come: %q, %v", left, got, err)
		}
	}
}
