package server

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/broker/saml"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// The certificates are looked at after a start, when metadata has had its time
// to come, and then every hour.
const (
	certificatesFirst = 30 * time.Second
	certificatesEvery = time.Hour
)

// certified are the purposes whose certificate somebody else holds us to.
var certified = []issuer.Purpose{issuer.AWSSAML, issuer.SPSigning, issuer.SPEncryption}

// KeyCertificates lists the certificates of our own keys that are in use.
func KeyCertificates(keys *issuer.Keys) []admin.CertificateEnd {
	var out []admin.CertificateEnd
	for _, p := range certified {
		for _, k := range keys.Published(p) {
			out = append(out, certificateEnd(string(p), "", k.Certificate))
		}
	}
	return out
}

// FileCertificates lists the certificates in files that the configuration
// names: that of TLS, and those that metadata must be signed with. One that
// cannot be read now is left out; whoever uses it says so.
func FileCertificates(c *config.Config) []admin.CertificateEnd {
	var out []admin.CertificateEnd
	add := func(use string, id broker.ProviderID, path string) {
		if path == "" {
			return
		}
		b, err := os.ReadFile(c.Path(path))
		if err != nil {
			return
		}
		if cert, err := config.Certificate(b); err == nil {
			out = append(out, certificateEnd(use, id, cert))
		}
	}
	if c.TLS != nil {
		add("tls", "", c.TLS.CertFile)
	}
	for _, p := range c.IdentityProviders {
		if p.SAML != nil {
			add("idp-metadata", broker.ProviderID(p.ID), p.SAML.MetadataCertificateFile)
		}
	}
	return out
}

// MetadataCertificates lists the signing certificates of identity providers as
// their metadata has them now.
func MetadataCertificates(all map[broker.ProviderID]*saml.ServiceProvider) []admin.CertificateEnd {
	var out []admin.CertificateEnd
	for id, sp := range all {
		for _, cert := range sp.Status().Certificates {
			out = append(out, certificateEnd("idp-signing", id, cert))
		}
	}
	return out
}

// certificates lists every certificate whose end would stop something.
func (s *Server) certificates() []admin.CertificateEnd {
	return append(append(KeyCertificates(s.keys), FileCertificates(s.config)...), MetadataCertificates(s.SAML)...)
}

func certificateEnd(use string, id broker.ProviderID, cert *x509.Certificate) admin.CertificateEnd {
	sum := sha256.Sum256(cert.Raw)
	return admin.CertificateEnd{Use: use, Provider: id, Fingerprint: hex.EncodeToString(sum[:]), NotAfter: cert.NotAfter}
}

func (l *Live) watchCertificates(ctx context.Context) {
	wait := certificatesFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		l.WarnOfCertificates(ctx)
		wait = certificatesEvery
	}
}

// WarnOfCertificates logs and records each certificate that has come within 60,
// 30 or 7 days of its end and of which nobody was told yet.
func (l *Live) WarnOfCertificates(ctx context.Context) {
	alarms := admin.CertificateAlarms{
		State: l.options.Metrics.State(l.base.Store), Journal: l.Current().Journal, Now: l.options.Now,
	}
	raised, err := alarms.Raise(ctx, l.Current().certificates())
	for _, a := range raised {
		l.options.Logger.WarnContext(ctx, "a certificate ends soon", "use", a.Use, "provider", string(a.Provider), "fingerprint", a.Fingerprint,
			"not_after", a.NotAfter.UTC().Format(time.RFC3339), "days", a.Days)
	}
	if err != nil {
		l.options.Logger.ErrorContext(ctx, "a warning of the end of a certificate could not be recorded", "error", err)
	}
}

// State is what the metrics ask for.
func (l *Live) State() metrics.State {
	s := l.Current()
	var out metrics.State
	for id, sp := range s.SAML {
		out.Providers = append(out.Providers, metrics.Provider{ID: id, Status: sp.ProviderStatus()})
	}
	for id, rp := range s.OIDC {
		out.Providers = append(out.Providers, metrics.Provider{ID: id, Status: rp.ProviderStatus()})
	}
	for _, c := range s.certificates() {
		out.Certificates = append(out.Certificates, metrics.Certificate{Use: c.Use, Provider: c.Provider, Fingerprint: c.Fingerprint[:16], NotAfter: c.NotAfter})
	}
	return out
}
