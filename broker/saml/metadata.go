package saml

import (
	"bytes"
	"context"
	"crypto/x509"
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

	"github.com/rolegate/rolegate/broker"
)

const (
	refreshDefault  = time.Hour
	refreshShortest = 5 * time.Minute
	refreshLongest  = 24 * time.Hour
	refreshRetry    = time.Minute
	fetchTime       = 2 * time.Minute
	// rekeyEvery is the least time between two fetches that an unknown key sets
	// off, so that forged answers cannot make us storm the provider. A document
	// that takes long is fetched more rarely: rekeyShare of the time at most.
	rekeyEvery = 15 * time.Second
	rekeyShare = 20
)

// idp is what we use of an identity provider's metadata.
type idp struct {
	entityID     string
	certificates []*x509.Certificate
	keys         []*x509.Certificate // what signatures are verified with: the same, or without their ends
	leftOut      []string            // what could not be used, for the trace
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
	select {
	case sp.gate <- struct{}{}:
		defer func() { <-sp.gate }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return sp.refresh(ctx)
}

// refresh is called with the gate held.
func (sp *ServiceProvider) refresh(ctx context.Context) error {
	began := sp.c.Now()
	next, err := sp.load(ctx)
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return err // we gave it up, which says nothing about the provider
	}
	if sp.refreshed(next, began, err) && sp.c.Changed != nil {
		sp.c.Changed(sp.ProviderStatus())
	}
	return err
}

// refreshed keeps what a refresh came to, and reports whether the provider is up
// or down since.
func (sp *ServiceProvider) refreshed(next *idp, began time.Time, err error) (changed bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.tried, sp.took = sp.c.Now(), sp.c.Now().Sub(began)
	changed = sp.status.Tried(sp.tried, err)
	if err != nil {
		return changed
	}
	if next != nil { // else it is as it was
		sp.idp = next
		sp.status.EntityID, sp.status.Certificates, sp.status.LeftOut = next.entityID, next.certificates, next.leftOut
	}
	sp.status.Refreshed = sp.c.Now()
	return changed
}

// load fetches and reads the metadata; nil when the server says that it has not
// changed.
func (sp *ServiceProvider) load(ctx context.Context) (*idp, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, err := sp.fetch(ctx)
	if err != nil || body == nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // only read
	next, err := sp.parseMetadata(body)
	if err != nil {
		sp.tag, sp.modified = "", "" // or it would not be sent again
	}
	return next, err
}

// rekeyed fetches the metadata because an answer was signed by a key that old
// does not hold: the provider may have changed it. It returns what is known
// then, nil when that is old still; it waits for a fetch that is under way.
func (sp *ServiceProvider) rekeyed(ctx context.Context, old *idp) *idp {
	select {
	case sp.gate <- struct{}{}:
		defer func() { <-sp.gate }()
	case <-ctx.Done():
		return nil
	}
	sp.mu.RLock()
	known, braked := sp.idp, sp.c.Now().Sub(sp.tried) < max(rekeyEvery, rekeyShare*sp.took)
	sp.mu.RUnlock()
	if known == old && !braked {
		// Those who wait for it do not lose it when the first leaves.
		_ = sp.refresh(context.WithoutCancel(ctx)) // kept in the status
	}
	if known, err := sp.current(); err == nil && known != old {
		return known
	}
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

// fetch opens the metadata; nil when it has not changed since the last good
// copy.
func (sp *ServiceProvider) fetch(ctx context.Context) (io.ReadCloser, error) {
	fail := func(err error) (io.ReadCloser, error) {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
	}
	if sp.c.MetadataFile != "" {
		f, err := os.Open(sp.c.MetadataFile)
		if err != nil {
			return fail(err)
		}
		return f, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, sp.c.MetadataURL, nil)
	if err != nil {
		return fail(broker.RedactedError(err))
	}
	req.Header.Set("Accept", "application/samlmetadata+xml, application/xml;q=0.9, */*;q=0.1")
	if sp.tag != "" {
		req.Header.Set("If-None-Match", sp.tag)
	} else if sp.modified != "" {
		req.Header.Set("If-Modified-Since", sp.modified)
	}
	resp, err := sp.c.HTTP.Do(req)
	if err != nil {
		return fail(broker.RedactedError(err))
	}
	switch {
	case resp.StatusCode == http.StatusNotModified && sp.tag+sp.modified != "":
		_ = resp.Body.Close() // it has none
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		_ = resp.Body.Close()
		return fail(fmt.Errorf("status %d", resp.StatusCode))
	}
	sp.tag, sp.modified = resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	return resp.Body, nil
}

// parseMetadata reads an EntityDescriptor, or the wanted one of an
// EntitiesDescriptor (saml-metadata-2.0 section 2.3), as a stream. If a
// certificate is pinned, the document is held whole, and only what its signature
// covers is read.
func (sp *ServiceProvider) parseMetadata(r io.Reader) (out *idp, err error) {
	defer recovered(&err)
	fail := func(err error) (*idp, error) {
		return nil, fmt.Errorf("saml: metadata of %s: %w", sp.c.ID, err)
	}
	if sp.c.MetadataCertificate != nil {
		if r, err = sp.pinned(r); err != nil {
			return fail(err)
		}
	}
	entity, err := findEntity(r, sp.c.IDPEntityID)
	if err != nil {
		return fail(err)
	}
	if out, err = sp.read(entity); err != nil {
		return fail(err)
	}
	return out, nil
}

// pinned returns what the signature by the pinned certificate covers.
func (sp *ServiceProvider) pinned(r io.Reader) (io.Reader, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPinned+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxPinned {
		return nil, fmt.Errorf("signed metadata of more than %d MiB: use the address of this one entity at the federation's metadata query service (MDQ)", maxPinned>>20)
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if err := prepass(raw, pinnedLimits); err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, err
	}
	good, err := verifyElement(doc.Root(), []*x509.Certificate{sp.c.MetadataCertificate}, sp.c.Now())
	if err != nil {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	if raw, err = serialize(good); err != nil {
		return nil, err
	}
	return bytes.NewReader(raw), nil
}

// idpRoles returns the roles of an entity in which it is an identity provider
// by SAML 2.0. There may be others beside them, as for SAML 1.1.
func idpRoles(entity *etree.Element) []*etree.Element {
	return slices.DeleteFunc(children(entity, nsMetadata, "IDPSSODescriptor"), func(d *etree.Element) bool {
		return hasAttr(d, "protocolSupportEnumeration") && !slices.Contains(strings.Fields(attr(d, "protocolSupportEnumeration")), nsProtocol)
	})
}

// read takes the first role of the entity that can be used (metadata 2.3.2
// allows several).
func (sp *ServiceProvider) read(e *found) (*idp, error) {
	id := collapse(attr(e.el, "entityID"))
	if id == "" || len(id) > 1024 {
		return nil, errors.New("the entityID is missing or too long")
	}
	roles := idpRoles(e.el)
	if len(roles) == 0 {
		return nil, fmt.Errorf("%.200q is no identity provider of SAML 2.0", id)
	}
	var refused []error
	for _, d := range roles {
		out := &idp{entityID: id}
		err := sp.role(d, e.life, out)
		if err == nil {
			for _, other := range refused {
				out.leftOut = append(out.leftOut, "an IDPSSODescriptor: "+other.Error())
			}
			return out, nil
		}
		refused = append(refused, err)
	}
	return nil, errors.Join(refused...)
}

func (sp *ServiceProvider) role(d *etree.Element, l life, out *idp) error {
	l, err := l.within(d)
	if err != nil {
		return err
	}
	if out.validUntil, out.cacheFor = l.until, l.cache; !l.until.IsZero() && !sp.c.Now().Before(l.until) {
		return fmt.Errorf("validUntil %s is over", stamp(l.until))
	}
	formats := children(d, nsMetadata, "NameIDFormat")
	out.persistent = len(formats) == 0 || slices.ContainsFunc(formats, func(f *etree.Element) bool { return collapse(leafText(f)) == nameIDPersistent })
	wants := collapse(attr(d, "WantAuthnRequestsSigned"))
	if out.wantsSigned = wants == "true" || wants == "1"; out.wantsSigned && len(sp.c.Signing) == 0 {
		return errors.New("it wants signed requests, and there is no signing key")
	}
	keys := signing(d)
	if out.certificates, out.leftOut = keys.certificates, keys.leftOut; len(keys.certificates) == 0 {
		return fmt.Errorf("no signing certificate that can be used (%s)", strings.Join(append(keys.leftOut, "no other"), "; "))
	}
	out.keys = out.certificates
	if sp.c.InsecureExpired {
		out.keys = nil
		for _, c := range out.certificates {
			endless := *c
			endless.NotBefore, endless.NotAfter = endlessLife()
			out.keys = append(out.keys, &endless)
		}
	}
	return sp.endpoints(d, out)
}

// endlessLife is that of a key of which no certificate says an end.
func endlessLife() (from, until time.Time) {
	return time.Unix(0, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
}

// endpoints takes of each binding the first address that can be used.
func (sp *ServiceProvider) endpoints(d *etree.Element, out *idp) error {
	for _, s := range children(d, nsMetadata, "SingleSignOnService") {
		into := map[string]*string{bindingRedirect: &out.redirect, bindingPOST: &out.post}[collapse(attr(s, "Binding"))]
		location, err := address(attr(s, "Location"))
		switch {
		case into == nil: // by a binding that we do not use
		case err != nil:
			out.leftOut = append(out.leftOut, "a SingleSignOnService: "+err.Error())
		case *into == "":
			*into = location
		}
	}
	for _, s := range children(d, nsMetadata, "SingleLogoutService") {
		binding := collapse(attr(s, "Binding"))
		location, err := address(attr(s, "Location"))
		if err != nil {
			out.leftOut = append(out.leftOut, "a SingleLogoutService: "+err.Error())
			continue
		}
		e := endpoint{}
		if hasAttr(s, "ResponseLocation") {
			if e.response, err = address(attr(s, "ResponseLocation")); err != nil {
				out.leftOut = append(out.leftOut, "a SingleLogoutService's ResponseLocation: "+err.Error())
			}
		}
		switch {
		case binding == bindingRedirect && out.logout.redirect == "":
			e.redirect = location
			out.logout = e
		case binding == bindingPOST && out.logout == (endpoint{}):
			e.post = location
			out.logout = e
		}
	}
	left := ""
	if len(out.leftOut) > 0 {
		left = " (left out: " + strings.Join(out.leftOut, "; ") + ")"
	}
	switch {
	case out.redirect == "" && out.post == "":
		return fmt.Errorf("it offers no sign-in by the redirect or the POST binding over https%s", left)
	case sp.c.Binding == BindingRedirect && out.redirect == "":
		return fmt.Errorf("it offers sign-in by POST only: set binding: post, or leave binding out%s", left)
	case sp.c.Binding == BindingPOST && out.post == "":
		return fmt.Errorf("it offers sign-in by redirect only: set binding: redirect, or leave binding out%s", left)
	}
	return nil
}

const (
	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
)

// address reads the xs:anyURI of an endpoint.
func address(s string) (string, error) {
	s = collapse(s)
	u, err := url.Parse(s)
	if err != nil || !secure(u) || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%.200q is not an https address", broker.RedactURL(s))
	}
	return s, nil
}
