package saml_test

import (
	"crypto"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestLogoutCertificateTimes ensures that a sign-out signed with a certificate
// that is over, or not good yet, is refused by both bindings.
func TestLogoutCertificateTimes(t *testing.T) {
	key := idpKey2().Key
	for name, pair := range map[string]saml.KeyPair{
		"over": expired(key), "not good yet": certifyFrom(key, fixed.Add(24*time.Hour), fixed.Add(48*time.Hour)),
	} {
		meta := strings.Replace(metadata(idpKey(), pair), "<SingleSignOnService", place("Redirect", theirSLO)+"<SingleSignOnService", 1)
		sp := newSP(t, meta, nil)
		for binding, m := range changed(logoutRequest(), func(f *farewell) { f.key = pair }).byBoth(t) {
			why := "is valid from"
			if binding == "redirect" {
				why = "no certificate that this was signed with"
			}
			t.Run(name+" by "+binding, func(t *testing.T) { refused(t, sp, "request", why, m) })
		}
	}
}

// TestLogoutNotBase64 ensures that what the provider signed and is no message
// is refused as that.
func TestLogoutNotBase64(t *testing.T) {
	m := changed(logoutRequest(), func(f *farewell) {
		f.query = func(q []string) []string {
			q[0] = "SAMLRequest=%25"
			q[3] = "Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signBytes(t, idpKey(), crypto.SHA256, []byte(strings.Join(q[:3], "&")))))
			return q
		}
	}).byRedirect(t)
	refused(t, newSP(t, withSLO(), nil), "request", "the message is not base64", m)
}

// TestLogoutReadsSessionIndexOnly ensures that nothing else ends a session.
func TestLogoutReadsSessionIndexOnly(t *testing.T) {
	sp := newSP(t, withSLO(), nil)
	for binding, m := range changed(logoutRequest(), func(f *farewell) {
		f.change = func(el *etree.Element) {
			el.AddChild(parse(`<x:SessionIndex xmlns:x="urn:x">s8</x:SessionIndex>`))
			el.CreateElement("samlp:Other").SetText("s9")
		}
	}).byBoth(t) {
		got, err := sp.ReceiveLogout(t.Context(), m)
		if err != nil || len(got.Sessions) != 1 || got.Sessions[0].SessionIndex != "s1" {
			t.Errorf("%s: %v, %+v", binding, err, got.Sessions)
		}
	}
}

// TestLogoutWithoutMetadata ensures that nothing is verified, and nothing sent,
// before the provider is known.
func TestLogoutWithoutMetadata(t *testing.T) {
	sp, err := saml.New(saml.Config{ID: "corp", PublicURL: "https://sso.example.com", MetadataFile: "none.xml", Signing: []saml.KeyPair{spSign()}})
	if err != nil {
		t.Fatal(err)
	}
	ours := broker.LogoutRequest{ID: "id-9", NameID: "alice", Hint: broker.NewSecret("{}")}
	for name, call := range map[string]func() error{
		"begin":   func() error { _, err := sp.BeginLogout(t.Context(), ours); return err },
		"finish":  func() error { return sp.FinishLogout(t.Context(), ours, logoutResponse().byPost(t)) },
		"receive": func() error { _, err := sp.ReceiveLogout(t.Context(), logoutRequest().byPost(t)); return err },
		"answer": func() error {
			_, err := sp.AnswerLogout(t.Context(), broker.LogoutNotice{RequestID: "_l1"}, nil)
			return err
		},
	} {
		if err := call(); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNoLogoutMessage ensures that a session which cannot be named is not, and
// that nothing is sent unsigned.
func TestNoLogoutMessage(t *testing.T) {
	sp := newSP(t, withSLO(place("Redirect", theirSLO)), nil)
	if ch, err := sp.BeginLogout(t.Context(), broker.LogoutRequest{ID: "id-9", Hint: broker.NewSecret("{}")}); ch != nil || err != nil {
		t.Errorf("without a NameID: %v %v", ch, err)
	}
	if ch, err := sp.BeginLogout(t.Context(), broker.LogoutRequest{ID: "id-9", NameID: "alice", Hint: broker.NewSecret("{")}); ch != nil || err == nil {
		t.Errorf("with half a hint: %v", ch)
	}
	sp = newSP(t, withSLO(place("Redirect", theirSLO)), func(c *saml.Config) { c.SignRequests, c.Signing = false, nil })
	if ch, err := sp.AnswerLogout(t.Context(), broker.LogoutNotice{RequestID: "_l1"}, nil); ch != nil || err != nil {
		t.Errorf("an answer without a key: %v %v", ch, err)
	}
}
