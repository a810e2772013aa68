package server_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// endsIn is a certificate with the key of the identity provider.
func endsIn(t *testing.T, d time.Duration) []byte {
	t.Helper()
	x := &x509.Certificate{SerialNumber: big.NewInt(int64(d)), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(d)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, idpKey().key.Public(), idpKey().key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TestCertificateWarnings ensures that the ends of metadata's certificates, of
// the TLS certificate and of our own are told once, in the log and as events,
// and not again after a restart.
func TestCertificateWarnings(t *testing.T) {
	const day = 24 * time.Hour
	w := newLiveWorld(t)
	w.write("tls.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endsIn(t, 5*day)})))
	w.write("tls.key", tlsPair(t))
	w.write("idp.xml", strings.Replace(idpMetadata(), base64.StdEncoding.EncodeToString(idpKey().cert), base64.StdEncoding.EncodeToString(endsIn(t, 20*day)), 1))
	w.write("rolegate.yaml", strings.Replace(w.text, "accounts:", "tls: {cert_file: tls.pem, key_file: tls.key}\naccounts:", 1))
	now := time.Now()
	start := func() *server.Live {
		t.Helper()
		if err := w.Store.Close(); err != nil {
			t.Fatal(err)
		}
		c, err := w.load()
		if err != nil {
			t.Fatal(err)
		}
		w.log.Reset()
		s, err := server.New(t.Context(), c, server.Options{Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.SAML["corp"].Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Server = s
		return server.NewLive(s, w.load)
	}
	warned := func() (out []string) {
		for line := range strings.Lines(w.log.String()) {
			var l struct{ Msg, Use, Provider string }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			if l.Msg == "a certificate ends soon" {
				out = append(out, l.Use+l.Provider)
			}
		}
		return out
	}
	live := start()
	live.WarnOfCertificates(t.Context())
	live.WarnOfCertificates(t.Context())
	if got := strings.Join(warned(), " "); got != "tls idp-signingcorp" {
		t.Errorf("warned of %s", got)
	}
	events, err := w.Store.Events(t.Context(), sqlstore.EventFilter{Action: broker.ActionCertificate})
	if err != nil || len(events) != 2 {
		t.Errorf("%d events %v", len(events), err)
	}
	live = start()
	live.WarnOfCertificates(t.Context())
	if got := warned(); len(got) != 0 {
		t.Errorf("after a restart, again: %v", got)
	}
	now = now.Add(15 * day)
	live.WarnOfCertificates(t.Context())
	if got := strings.Join(warned(), " "); got != "idp-signingcorp" {
		t.Errorf("at 5 days warned of %s", got)
	}
	// Ours are made for ten years.
	now = now.Add(3650*day - 45*day)
	live.WarnOfCertificates(t.Context())
	for _, use := range []string{"aws-saml", "sp-signing", "sp-encryption"} {
		if !strings.Contains(strings.Join(warned(), " "), use) {
			t.Errorf("not warned of %s: %v", use, warned())
		}
	}
}
