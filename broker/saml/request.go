package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker"
)

const (
	nameIDPersistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	rsaSHA256        = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
)

// Begin makes the AuthnRequest (SAML core 3.4.1) and returns where to send the
// browser. CodeUnavailable while the provider's metadata is not known.
func (sp *ServiceProvider) Begin(_ context.Context, r broker.AuthRequest) (broker.Challenge, error) {
	idp, err := sp.current()
	if err != nil {
		return broker.Challenge{}, err
	}
	destination, byForm := idp.redirect, false
	if sp.c.Binding == BindingPOST || destination == "" {
		destination, byForm = idp.post, true
	}
	el := sp.authnRequest(r, idp, destination)
	signed := sp.c.SignRequests || idp.wantsSigned
	if byForm {
		return sp.post(el, "SAMLRequest", r.State, destination, signed)
	}
	return sp.redirect(el, "SAMLRequest", r.State, destination, signed)
}

func (sp *ServiceProvider) authnRequest(r broker.AuthRequest, idp *idp, destination string) *etree.Element {
	req := saml.AuthnRequest{
		ID: r.ID, Version: "2.0", IssueInstant: sp.c.Now().UTC(), Destination: destination,
		ProtocolBinding: saml.HTTPPostBinding, AssertionConsumerServiceURL: sp.acs,
		Issuer: &saml.Issuer{Value: sp.entityID},
	}
	allow := true
	req.NameIDPolicy = &saml.NameIDPolicy{AllowCreate: &allow}
	// An authoritative e-mail address may be the subject as well, and a provider
	// that lists its formats without the persistent one could only answer with
	// an error: then it sends what it is set to, and identity.subject decides.
	if idp.persistent && len(sp.c.EmailDomains) == 0 {
		format := nameIDPersistent
		req.NameIDPolicy.Format = &format
	}
	if r.ForceAuthn {
		force := true
		req.ForceAuthn = &force
	}
	el := req.Element()
	if len(r.RequestedContext) > 0 {
		rac := el.CreateElement("samlp:RequestedAuthnContext")
		rac.CreateAttr("Comparison", "exact")
		for _, c := range r.RequestedContext {
			ref := rac.CreateElement("saml:AuthnContextClassRef")
			ref.CreateAttr("xmlns:saml", nsAssertion)
			ref.SetText(c)
		}
	}
	return el
}

// redirect deflates a message into the query and signs the query (SAML bindings
// 3.4.4.1).
func (sp *ServiceProvider) redirect(el *etree.Element, field, relay, destination string, signed bool) (broker.Challenge, error) {
	raw, err := serialize(el)
	if err != nil {
		return broker.Challenge{}, err
	}
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.BestCompression)
	if err != nil {
		return broker.Challenge{}, fmt.Errorf("saml: deflate: %w", err)
	}
	if _, err := w.Write(raw); err != nil {
		return broker.Challenge{}, fmt.Errorf("saml: deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return broker.Challenge{}, fmt.Errorf("saml: deflate: %w", err)
	}
	query := field + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes()))
	if relay != "" {
		query += "&RelayState=" + url.QueryEscape(relay)
	}
	if signed {
		query += "&SigAlg=" + url.QueryEscape(rsaSHA256)
		sum := sha256.Sum256([]byte(query))
		sig, err := sp.c.Signing[0].Key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			return broker.Challenge{}, fmt.Errorf("saml: sign message: %w", err)
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(sig))
	}
	u, err := url.Parse(destination)
	if err != nil {
		return broker.Challenge{}, fmt.Errorf("saml: address of %s: %w", sp.c.ID, err)
	}
	// A query that the provider put into its own address stays in front.
	if u.RawQuery != "" {
		query = u.RawQuery + "&" + query
	}
	u.RawQuery = query
	return broker.Challenge{URL: u.String()}, nil
}

// post signs the message itself (SAML bindings 3.5).
func (sp *ServiceProvider) post(el *etree.Element, field, relay, destination string, signed bool) (broker.Challenge, error) {
	if signed {
		key := sp.c.Signing[0]
		ctx, err := dsig.NewSigningContext(key.Key, [][]byte{key.Certificate.Raw})
		if err != nil {
			return broker.Challenge{}, fmt.Errorf("saml: sign message: %w", err)
		}
		ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
		sig, err := ctx.ConstructSignature(el, true)
		if err != nil {
			return broker.Challenge{}, fmt.Errorf("saml: sign message: %w", err)
		}
		// The schema wants the signature right after the Issuer.
		el.InsertChildAt(el.FindElement("./Issuer").Index()+1, sig)
	}
	raw, err := serialize(el)
	if err != nil {
		return broker.Challenge{}, err
	}
	form := url.Values{field: {base64.StdEncoding.EncodeToString(raw)}}
	if relay != "" {
		form.Set("RelayState", relay)
	}
	return broker.Challenge{URL: destination, Form: form}, nil
}
