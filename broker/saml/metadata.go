package saml

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"github.com/rolegate/rolegate/broker"
)

const (
	metadataLimit   = 20 << 20 // federation aggregates are large
	refreshDefault  = time.Hour
	refreshShortest = 5 * time.Minute
	refreshLongest  = 24 * time.Hour
	refreshRetry    = time.Minute
)

// idp is what we use of an identity provider's metadata.
type idp struct {
	entityID     string
	certificates []*x509.Certificate
	redirect     string
	post         string
	logout       endpoint
	validUntil   time.Time     // zero: for ever
	cacheFor     time.Duration // zero: not said
	persistent   bool          // it does not say that it has no persistent NameIDs
	wantsSigned  bool          // requests
}

// Refresh reads the metadata again. On failure the last good copy stays.
func (sp *ServiceProvider) Refresh(ctx context.Context) error {
	raw, err := sp.fetch(ctx)
	var next *idp
	if err == nil {
		next, err = sp.parseMetadata(raw)
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.status.Err = err
	if err != nil {
		return err
	}
	sp.idp = next
	sp.status.EntityID, sp.status.Certificates, sp.status.Refreshed = next.entityID, next.certificates, sp.c.Now()
	return nil
}

// Run refreshes until ctx ends: as often as cacheDuration says, within bounds,
// and every minute while it fails.
func (sp *ServiceProvider) Run(ctx context.Context) {
	for {
		wait := refreshRetry
		if err := sp.Refresh(ctx); err == nil {
			wait = sp.interval()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// interval is the time to the next refresh: what cacheDuration says within
// bounds, and well before validUntil, which would leave us with nothing.
func (sp *ServiceProvider) interval() time.Duration {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	d := sp.idp.cacheFor
	if d == 0 {
		d = refreshDefault
	}
	d = min(max(d, refreshShortest), refreshLongest)
	if !sp.idp.validUntil.IsZero() {
		d = max(min(d, sp.idp.validUntil.Sub(sp.c.Now())/2), refreshRetry)
	}
	return d
}

func (sp *ServiceProvider) fetch(ctx context.Context) ([]byte, error) {
	if sp.c.MetadataFile != "" {
		b, err := os.ReadFile(sp.c.MetadataFile)
		if err != nil {
			return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
		}
		return limited(bytes.NewReader(b))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sp.c.MetadataURL, nil)
	if err != nil {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, broker.RedactedError(err))
	}
	req.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, */*;q=0.1")
	resp, err := sp.c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, broker.RedactedError(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("saml: metadata of %s: status %d", sp.c.ID, resp.StatusCode)
	}
	return limited(resp.Body)
}

func limited(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, metadataLimit+1))
	if err != nil {
		return nil, fmt.Errorf("saml: read metadata: %w", err)
	}
	if len(b) > metadataLimit {
		return nil, fmt.Errorf("saml: metadata over %d bytes", metadataLimit)
	}
	return b, nil
}

// parseMetadata reads an EntityDescriptor, or the wanted one of an
// EntitiesDescriptor (saml-metadata-2.0 section 2.3). If a certificate is
// pinned, only what its signature covers is read.
func (sp *ServiceProvider) parseMetadata(raw []byte) (out *idp, err error) {
	defer recovered(&err)
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")) // as AD FS writes it
	if err := prepass(raw, metadataLimits); err != nil {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
	}
	if sp.c.MetadataCertificate != nil {
		doc := etree.NewDocument()
		if err := doc.ReadFromBytes(raw); err != nil {
			return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
		}
		good, err := verifyElement(doc.Root(), []*x509.Certificate{sp.c.MetadataCertificate}, sp.c.Now())
		if err != nil {
			return nil, fmt.Errorf("saml: signature of the metadata of %s: %w", sp.c.ID, err)
		}
		if raw, err = serialize(good); err != nil {
			return nil, err
		}
	}
	entity, err := sp.pick(raw)
	if err != nil {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
	}
	return sp.read(entity)
}

func (sp *ServiceProvider) pick(raw []byte) (*saml.EntityDescriptor, error) {
	var one saml.EntityDescriptor
	if xml.Unmarshal(raw, &one) == nil {
		if sp.c.IDPEntityID != "" && one.EntityID != sp.c.IDPEntityID {
			return nil, fmt.Errorf("it is about %q, and entity_id says %q", one.EntityID, sp.c.IDPEntityID)
		}
		return &one, nil
	}
	var many saml.EntitiesDescriptor
	if err := xml.Unmarshal(raw, &many); err != nil {
		return nil, fmt.Errorf("no EntityDescriptor: %w", err)
	}
	var found []*saml.EntityDescriptor
	var walk func(d *saml.EntitiesDescriptor)
	walk = func(d *saml.EntitiesDescriptor) {
		for i := range d.EntityDescriptors {
			e := &d.EntityDescriptors[i]
			if len(e.IDPSSODescriptors) > 0 && (sp.c.IDPEntityID == "" || e.EntityID == sp.c.IDPEntityID) {
				inheritLife(&e.ValidUntil, &e.CacheDuration, d)
				found = append(found, e)
			}
		}
		for i := range d.EntitiesDescriptors {
			inner := &d.EntitiesDescriptors[i]
			var until time.Time
			var cache time.Duration
			inheritLife(&until, &cache, inner)
			inheritLife(&until, &cache, d)
			inner.ValidUntil, inner.CacheDuration = &until, &cache
			walk(inner)
		}
	}
	walk(&many)
	if len(found) != 1 {
		return nil, fmt.Errorf("it holds %d matching identity providers: set entity_id to one of them", len(found))
	}
	return found[0], nil
}

// inheritLife shortens a life by that of the document around it: the smallest
// value counts (saml-metadata-2.0 section 2.3.1).
func inheritLife(until *time.Time, cache *time.Duration, d *saml.EntitiesDescriptor) {
	if d.ValidUntil != nil {
		*until = sooner(*until, *d.ValidUntil)
	}
	if d.CacheDuration != nil && *d.CacheDuration > 0 && (*cache == 0 || *d.CacheDuration < *cache) {
		*cache = *d.CacheDuration
	}
}

// sooner returns the earlier time; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (sp *ServiceProvider) read(e *saml.EntityDescriptor) (*idp, error) {
	bad := func(format string, args ...any) (*idp, error) {
		return nil, fmt.Errorf("saml: metadata of %s: "+format, append([]any{sp.c.ID}, args...)...)
	}
	if len(e.IDPSSODescriptors) != 1 {
		return bad("%d IDPSSODescriptors, one is needed", len(e.IDPSSODescriptors))
	}
	d := e.IDPSSODescriptors[0]
	out := &idp{entityID: e.EntityID, validUntil: e.ValidUntil, cacheFor: e.CacheDuration, persistent: len(d.NameIDFormats) == 0}
	if d.ValidUntil != nil {
		out.validUntil = sooner(out.validUntil, *d.ValidUntil)
	}
	for _, f := range d.NameIDFormats {
		out.persistent = out.persistent || strings.TrimSpace(string(f)) == nameIDPersistent
	}
	if out.wantsSigned = d.WantAuthnRequestsSigned != nil && *d.WantAuthnRequestsSigned; out.wantsSigned && len(sp.c.Signing) == 0 {
		return bad("it wants signed requests, and there is no signing key")
	}
	if e.EntityID == "" || len(e.EntityID) > 1024 {
		return bad("the entityID is missing or too long")
	}
	if !out.validUntil.IsZero() && !sp.c.Now().Before(out.validUntil) {
		return bad("validUntil %s is over", out.validUntil)
	}
	weak := 0
	for _, k := range d.KeyDescriptors {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, x := range k.KeyInfo.X509Data.X509Certificates {
			cert, err := parseCertificate(x.Data)
			if err != nil {
				return bad("certificate: %w", err)
			}
			switch {
			case !strong(cert):
				weak++
			case !slices.ContainsFunc(out.certificates, cert.Equal):
				out.certificates = append(out.certificates, cert)
			}
		}
	}
	if len(out.certificates) == 0 {
		return bad("no signing certificate (%d were too weak: RSA of 2048 bits or ECDSA of 256 is needed)", weak)
	}
	for _, s := range d.SingleSignOnServices {
		u, err := url.Parse(s.Location)
		if err != nil || !secure(u) || u.Fragment != "" {
			continue
		}
		switch s.Binding {
		case saml.HTTPRedirectBinding:
			out.redirect = s.Location
		case saml.HTTPPostBinding:
			out.post = s.Location
		}
	}
	for _, s := range d.SingleLogoutServices {
		u, err := url.Parse(s.Location)
		if err != nil || !secure(u) || u.Fragment != "" {
			continue
		}
		if r, err := url.Parse(s.ResponseLocation); err != nil || !secure(r) || r.Fragment != "" {
			s.ResponseLocation = ""
		}
		switch {
		case s.Binding == saml.HTTPRedirectBinding:
			out.logout = endpoint{redirect: s.Location, response: s.ResponseLocation}
		case s.Binding == saml.HTTPPostBinding && out.logout.redirect == "":
			out.logout = endpoint{post: s.Location, response: s.ResponseLocation}
		}
	}
	if sp.c.Binding == BindingRedirect && out.redirect == "" || sp.c.Binding == BindingPOST && out.post == "" {
		return bad("it offers no sign-in by the %s binding over https", sp.c.Binding)
	}
	return out, nil
}

func parseCertificate(data string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
	if err != nil {
		return nil, errors.New("not base64")
	}
	return x509.ParseCertificate(der)
}

func strong(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize >= 256
	default:
		return false
	}
}
