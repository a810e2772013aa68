package saml

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	xrv "github.com/mattermost/xml-roundtrip-validator"

	"github.com/rolegate/rolegate/broker"
)

// Finish verifies the form that the browser posted to the ACS: the answer to r
// and to nothing else. CodeUnauthenticated for whatever does not verify.
func (sp *ServiceProvider) Finish(ctx context.Context, r broker.AuthRequest, form url.Values) (broker.Authentication, error) {
	idp, err := sp.current()
	if err != nil {
		return broker.Authentication{}, err
	}
	c := &check{sp: sp, idp: idp, request: r, now: sp.c.Now(), trace: broker.TraceFrom(ctx)}
	auth, err := c.response(form)
	if err != nil {
		if e, ok := errors.AsType[*broker.Error](err); ok {
			return broker.Authentication{}, e
		}
		return broker.Authentication{}, broker.Errorf(broker.CodeUnauthenticated,
			"The answer of your identity provider could not be verified.").
			Fix("Start again from the portal. If it happens again, tell your administrator the code below.").
			Because(fmt.Errorf("saml: %s: %w", sp.c.ID, err))
	}
	sp.mu.Lock()
	sp.status.Skew = c.skew
	sp.mu.Unlock()
	return auth, nil
}

// check is the verification of one response.
type check struct {
	sp      *ServiceProvider
	idp     *idp
	request broker.AuthRequest
	now     time.Time
	trace   *broker.Trace
	skew    time.Duration
}

func (c *check) response(form url.Values) (broker.Authentication, error) {
	raw, err := c.decode(form)
	if err != nil {
		return broker.Authentication{}, err
	}
	root, err := c.parse(raw)
	if err != nil {
		return broker.Authentication{}, err
	}
	if err := c.envelope(root); err != nil {
		return broker.Authentication{}, err
	}
	assertion, err := c.verified(root)
	if err != nil {
		return broker.Authentication{}, err
	}
	return c.assertion(assertion)
}

func (c *check) decode(form url.Values) ([]byte, error) {
	values := form["SAMLResponse"]
	switch {
	case len(form["SAMLart"]) > 0:
		return nil, errors.New("an artifact: the POST binding is needed")
	case len(values) != 1 || values[0] == "":
		return nil, fmt.Errorf("%d SAMLResponse fields, one is needed", len(values))
	case len(values[0]) > c.sp.c.MaxResponse:
		return nil, fmt.Errorf("a response of %d bytes, %d are taken", len(values[0]), c.sp.c.MaxResponse)
	}
	// Line breaks are legal in the field (bindings 3.5.4), nothing else is.
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.NewReplacer("\r", "", "\n", "").Replace(values[0]))
	if err != nil {
		return nil, errors.New("the response is not base64")
	}
	return raw, nil
}

func (c *check) parse(raw []byte) (root *etree.Element, err error) {
	defer recovered(&err)
	if err := prepass(bytes.NewReader(raw), responseLimits); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("the response reads differently a second time: %w", err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	root = doc.Root()
	if root == nil || root.Tag != "Response" || root.NamespaceURI() != nsProtocol {
		return nil, errors.New("no samlp:Response")
	}
	c.trace.Pass("saml.document", "%d bytes, well-formed, within limits", len(raw))
	return root, nil
}

// envelope checks what stands on the Response itself (SAML core 3.2.2). Most of
// it may be unsigned, so it can refuse but never vouch.
func (c *check) envelope(root *etree.Element) error {
	if v := root.SelectAttrValue("Version", ""); v != "2.0" {
		return fmt.Errorf("version %.20q", v)
	}
	if got := root.SelectAttrValue("InResponseTo", ""); got != c.request.ID {
		return fmt.Errorf("the response answers %.60q and not our request %q", got, c.request.ID)
	}
	if d := root.SelectAttr("Destination"); d != nil && d.Value != c.sp.acs {
		return fmt.Errorf("the response is meant for %.200q and not for %q", d.Value, c.sp.acs)
	}
	if is := child(root, nsAssertion, "Issuer"); is != nil {
		if err := c.issuer(is); err != nil {
			return err
		}
	}
	issued, err := time.Parse(time.RFC3339, root.SelectAttrValue("IssueInstant", ""))
	if err != nil {
		return errors.New("the response has no IssueInstant")
	}
	c.skew = issued.Sub(c.now).Round(time.Millisecond)
	c.trace.Pass("saml.clock", "the identity provider's clock is %s from ours, %s are allowed", c.skew, c.sp.c.ClockSkew)
	if c.skew > c.sp.c.ClockSkew || c.now.Sub(issued) > broker.SignInTTL {
		return fmt.Errorf("the response was issued at %s, it is %s", issued, c.now)
	}
	return c.status(root)
}

func (c *check) issuer(el *etree.Element) error {
	got, err := leaf(el)
	if err != nil {
		return err
	}
	if f := el.SelectAttrValue("Format", ""); f != "" && f != "urn:oasis:names:tc:SAML:2.0:nameid-format:entity" {
		return fmt.Errorf("issuer of the format %.80q", f)
	}
	if got != c.idp.entityID {
		return fmt.Errorf("issued by %.200q and not by %q", got, c.idp.entityID)
	}
	return nil
}

const statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

// status turns a refusal by the identity provider into its own sentence
// (SAML core 3.2.2.2).
func (c *check) status(root *etree.Element) error {
	first := child(child(root, nsProtocol, "Status"), nsProtocol, "StatusCode")
	if first == nil {
		return errors.New("the response has no status")
	}
	code := first.SelectAttrValue("Value", "")
	if code == statusPrefix+"Success" {
		return nil
	}
	second := ""
	if s := child(first, nsProtocol, "StatusCode"); s != nil {
		second = s.SelectAttrValue("Value", "")
	}
	cause := fmt.Errorf("saml: status %.100q %.100q", code, second)
	switch strings.TrimPrefix(second, statusPrefix) {
	case "NoAuthnContext":
		return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider could not do the second factor that was asked for.").
			Fix("Set up a second factor at your identity provider, then sign in again.").Because(cause)
	case "AuthnFailed", "RequestDenied":
		return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider did not sign you in.").
			Fix("Try again; it knows why it refused.").Because(cause)
	}
	return broker.Errorf(broker.CodeUnauthenticated, "Your identity provider answered with an error.").
		Fix("Try again. If it happens again, tell your administrator the code below.").Because(cause)
}

// verified returns the assertion out of signed bytes, by the provider's policy.
func (c *check) verified(root *etree.Element) (*etree.Element, error) {
	policy := c.sp.c.Signature
	source := root
	responseSigned := false
	if policy != SignedAssertion || hasSignature(root) {
		good, err := verifyElement(root, c.idp.certificates, c.now)
		switch {
		case err == nil:
			source, responseSigned = good, true
			c.trace.Pass("saml.signature.response", "verified")
		case errors.Is(err, errUnsigned) && (policy == SignedAssertion || policy == SignedEither):
		default:
			return nil, fmt.Errorf("signature of the response: %w", err)
		}
	}
	assertion, encrypted, err := c.locate(source)
	if err != nil {
		return nil, err
	}
	needed := encrypted || policy == SignedAssertion || policy == SignedBoth || !responseSigned
	if !needed && !hasSignature(assertion) {
		return assertion, nil
	}
	good, err := verifyElement(assertion, c.idp.certificates, c.now)
	if err != nil {
		return nil, fmt.Errorf("signature of the assertion: %w", err)
	}
	c.trace.Pass("saml.signature.assertion", "verified")
	return good, nil
}

func hasSignature(el *etree.Element) bool { return child(el, nsDSig, "Signature") != nil }

// locate finds the one assertion, decrypted if it has to be.
func (c *check) locate(response *etree.Element) (el *etree.Element, encrypted bool, err error) {
	if el = child(response, nsAssertion, "Assertion"); el != nil {
		if c.sp.c.WantEncrypted {
			return nil, false, errors.New("a plain assertion: an encrypted one is needed")
		}
		return el, false, nil
	}
	el = child(response, nsAssertion, "EncryptedAssertion")
	if el == nil {
		return nil, false, errors.New("the response has no assertion of its own")
	}
	if el, err = c.sp.decrypt(el); err != nil {
		return nil, false, err
	}
	c.trace.Pass("saml.decrypt", "decrypted")
	return el, true, nil
}

// leaf returns the whole text of an element that may hold text only.
func leaf(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, t := range el.Child {
		d, ok := t.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		b.WriteString(d.Data)
	}
	s := strings.TrimSpace(b.String())
	if len(s) > 4096 || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return "", fmt.Errorf("%s is too long or holds control characters", el.Tag)
	}
	return s, nil
}
