package saml_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestKeyRotation ensures that sign-ins go on when the provider begins to sign
// with another key, that forged answers cannot make us fetch at will, and that a
// fetch which brings nothing changes nothing.
func TestKeyRotation(t *testing.T) {
	one, two, evil := idpKey(), idpKey2(), evilKey()
	now, fetches, body, status := fixed, 0, metadata(one), 200
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", Now: func() time.Time { return now },
		Signing: []saml.KeyPair{spSign()},
		HTTP: &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			fetches++
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	signIn := func(k saml.KeyPair) (string, error) {
		a := good()
		a.signAssertion = &k
		trace := &broker.Trace{}
		_, err := sp.Finish(broker.WithTrace(t.Context(), trace), request(), form(a.build(t)))
		said := ""
		for _, s := range trace.Steps() {
			said += s.Name + ": " + s.Detail + "\n"
		}
		return said, err
	}
	step := func(what string, k saml.KeyPair, ok bool, wantFetches int) string {
		t.Helper()
		said, err := signIn(k)
		if (err == nil) != ok || fetches != wantFetches {
			t.Errorf("%s: error %v, %d fetches, want %d", what, err, fetches, wantFetches)
		}
		return said
	}
	step("as configured", one, true, 1)
	body = metadata(two)
	step("new key, just after a fetch", two, false, 1)
	now = now.Add(15 * time.Second)
	if said := step("new key", two, true, 2); !strings.Contains(said, "fetched again") {
		t.Errorf("the trace does not say it: %s", said)
	}
	step("the old key is gone", one, false, 2)
	for range 5 {
		step("forged", evil, false, 2)
	}
	now = now.Add(15 * time.Second)
	step("forged again", evil, false, 3)
	step("forged again, braked", evil, false, 3)
	now, status = now.Add(15*time.Second), 500
	step("forged while the provider is down", evil, false, 4)
	step("the key in use while the provider is down", two, true, 4)
	now, status, body = now.Add(15*time.Second), 200, metadata(evil)[:200]
	step("forged, and half a document", evil, false, 5)
	step("the key in use after half a document", two, true, 5)
}

// TestKeyRotationOfLogout ensures the same for messages of single logout.
func TestKeyRotationOfLogout(t *testing.T) {
	one, two := idpKey(), idpKey2()
	now, keys := fixed, []saml.KeyPair{one}
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", Now: func() time.Time { return now },
		Signing: []saml.KeyPair{spSign()}, HTTP: serving(func() io.Reader { return strings.NewReader(metadata(keys...)) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	request, answer := logoutRequest(), logoutResponse()
	request.key, answer.key = two, two
	for name, m := range request.byBoth(t) {
		keys, now = []saml.KeyPair{one}, now.Add(30*time.Second)
		if err := sp.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := sp.ReceiveLogout(t.Context(), m); broker.CodeOf(err) != broker.CodeUnauthenticated {
			t.Errorf("%s: just after a fetch: %v", name, err)
		}
		keys, now = []saml.KeyPair{two}, now.Add(15*time.Second)
		if _, err := sp.ReceiveLogout(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	keys, now = []saml.KeyPair{one}, now.Add(30*time.Second)
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, now = []saml.KeyPair{two}, now.Add(15*time.Second)
	if err := sp.FinishLogout(t.Context(), broker.LogoutRequest{ID: requestID, State: "state-1"}, answer.byPost(t)); err != nil {
		t.Error(err)
	}
}
