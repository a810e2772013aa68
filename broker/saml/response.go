package saml

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

// oldest is how long ago an answer may have been issued: as long as a sign-in
// may take.
const oldest = broker.SignInTTL

// Finish verifies the form that the browser posted to the ACS: the answer to r
// and to nothing else. CodeUnauthenticated for whatever does not verify,
// CodeUnavailable while the provider's metadata is not known.
func (sp *ServiceProvider) Finish(ctx context.Context, r broker.AuthRequest, form url.Values) (broker.Authentication, error) {
	if r.ID == "" {
		return broker.Authentication{}, fmt.Errorf("saml: %s: a request without an ID", sp.c.ID)
	}
	return sp.finish(ctx, &check{request: r}, form)
}

// AcceptsUnsolicited reports whether answers to no request are taken.
func (sp *ServiceProvider) AcceptsUnsolicited() bool { return sp.c.IDPInitiated }

// FinishUnsolicited is [ServiceProvider.Finish] for an answer to no request: it
// must not name one anywhere, so that an answer stolen from a sign-in in flight
// is none.
func (sp *ServiceProvider) FinishUnsolicited(ctx context.Context, form url.Values) (broker.Authentication, error) {
	if !sp.c.IDPInitiated {
		return broker.Authentication{}, broker.Errorf(broker.CodeUnauthenticated, "This sign-in did not begin here.").
			Fix("Start from the portal.").Because(fmt.Errorf("saml: %s: idp_initiated is off", sp.c.ID))
	}
	return sp.finish(ctx, &check{unsolicited: true}, form)
}

func (sp *ServiceProvider) finish(ctx context.Context, c *check, form url.Values) (broker.Authentication, error) {
	idp, err := sp.current()
	if err != nil {
		return broker.Authentication{}, err
	}
	c.sp, c.idp, c.now, c.trace = sp, idp, sp.c.Now(), broker.TraceFrom(ctx)
	if n := len(idp.leftOut); n > 0 {
		c.step = "saml.metadata"
		c.pass("%d left out: %.1000s", n, strings.Join(idp.leftOut, "; "))
	}
	var auth broker.Authentication
	err = c.retry(ctx, func() (err error) { auth, err = c.response(form); return err })
	if err != nil {
		c.trace.Fail(c.step, "%v", err)
		if e, ok := errors.AsType[*broker.Error](err); ok {
			return broker.Authentication{}, e
		}
		return broker.Authentication{}, broker.Errorf(broker.CodeUnauthenticated,
			"The answer of your identity provider could not be verified.").
			Fix("Start again from the portal. If it happens again, tell your administrator the trace id below.").
			Because(fmt.Errorf("saml: %s: %w", sp.c.ID, err))
	}
	sp.mu.Lock()
	sp.status.Skew, sp.status.SkewKnown = c.skew, true
	sp.mu.Unlock()
	return auth, nil
}

// check is the verification of one response. Each step notes in the trace that
// it passed; the one that refuses is noted by Finish.
type check struct {
	sp          *ServiceProvider
	idp         *idp
	request     broker.AuthRequest
	unsolicited bool // there is no request
	now         time.Time
	trace       *broker.Trace
	step        string // the check at work
	skew        time.Duration
}

// answers checks the InResponseTo of el: our request's ID, or none at all where
// there was no request (profiles 4.1.5).
func (c *check) answers(el *etree.Element, what string) error {
	got := attr(el, "InResponseTo")
	switch {
	case c.unsolicited && hasAttr(el, "InResponseTo"):
		return fmt.Errorf("the %s answers %.60q, so it is no unsolicited one", what, got)
	case !c.unsolicited && got != c.request.ID:
		return fmt.Errorf("the %s answers %.60q and not our request %q", what, got, c.request.ID)
	}
	return nil
}

func (c *check) pass(format string, args ...any) { c.trace.Pass(c.step, format, args...) }

// retry runs the check again with metadata that was fetched anew, where a
// signature is by a key that the provider may have changed to.
func (c *check) retry(ctx context.Context, run func() error) error {
	err := run()
	if _, unknown := errors.AsType[unknownKey](err); !unknown {
		return err
	}
	if next := c.sp.rekeyed(ctx, c.idp); next != nil {
		c.trace.Pass("saml.metadata", "fetched again, as it held no certificate that the message was signed with")
		c.idp = next
		err = run()
	}
	if _, unknown := errors.AsType[unknownKey](err); unknown && len(c.idp.leftOut) > 0 {
		err = fmt.Errorf("%w (left out of the metadata: %.1000s)", err, strings.Join(c.idp.leftOut, "; "))
	}
	return err
}

func (c *check) response(form url.Values) (broker.Authentication, error) {
	c.step = "saml.document"
	raw, err := c.decode(form)
	if err != nil {
		return broker.Authentication{}, err
	}
	root, err := c.parse(raw)
	if err != nil {
		return broker.Authentication{}, err
	}
	c.pass("%d bytes, well-formed, within limits", len(raw))
	c.step = "saml.response"
	if err := c.envelope(root, false); err != nil {
		return broker.Authentication{}, err
	}
	c.pass("unsolicited: %t; the identity provider's clock is %s from ours, %s are allowed", c.unsolicited, c.skew, c.sp.c.ClockSkew)
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
	raw, err := unfold(values[0])
	if err != nil {
		return nil, errors.New("the response is not base64")
	}
	return raw, nil
}

// unfold decodes the base64 of a message. White space is legal in it (bindings
// 3.4.4.1 and 3.5.4, RFC 2045 6.8), and nothing else besides base64.
func unfold(s string) ([]byte, error) {
	white := func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }
	return base64.StdEncoding.Strict().DecodeString(strings.Join(strings.FieldsFunc(s, white), ""))
}

func (c *check) parse(raw []byte) (root *etree.Element, err error) {
	defer recovered(&err)
	if err := prepass(raw, messageLimits(nameResponse, c.sp.c.MaxNodes)); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	return doc.Root(), nil
}

// envelope checks what stands on the Response itself (SAML core 3.2.2). Before
// a signature is verified it can refuse but never vouch; of a signed Response
// it is called again with the verified element, which must have a Destination
// (bindings 3.5.5.2) and an Issuer (profiles 4.1.4.2).
func (c *check) envelope(root *etree.Element, signed bool) error {
	if v := attr(root, "Version"); v != "2.0" {
		return fmt.Errorf("version %.20q", v)
	}
	if err := c.answers(root, "response"); err != nil {
		return err
	}
	if d := collapse(attr(root, "Destination")); d != c.sp.acs && (signed || hasAttr(root, "Destination")) {
		return fmt.Errorf("the response is meant for %.200q and not for %q", d, c.sp.acs)
	}
	if is := child(root, nsAssertion, "Issuer"); is != nil || signed {
		if err := c.issuer(is); err != nil {
			return err
		}
	}
	issued, err := instant(root, "IssueInstant")
	if err != nil {
		return err
	}
	c.skew = issued.Sub(c.now).Round(time.Millisecond)
	if err := c.recent(issued); err != nil {
		return fmt.Errorf("the response: %w", err)
	}
	return c.status(root)
}

// recent holds an IssueInstant between one sign-in ago and now.
func (c *check) recent(issued time.Time) error {
	if issued.Sub(c.now) > c.sp.c.ClockSkew || c.now.Sub(issued) > oldest+c.sp.c.ClockSkew {
		return fmt.Errorf("issued at %s, and our clock says %s: one of the clocks is wrong, or it is not a fresh answer", stamp(issued), stamp(c.now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (c *check) issuer(el *etree.Element) error {
	if el == nil {
		return errors.New("no Issuer")
	}
	got, err := leaf(el)
	if err != nil {
		return err
	}
	if f := attr(el, "Format"); f != "" && f != "urn:oasis:names:tc:SAML:2.0:nameid-format:entity" {
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
	code := attr(first, "Value")
	if code == statusPrefix+"Success" {
		return nil
	}
	second := ""
	if s := child(first, nsProtocol, "StatusCode"); s != nil {
		second = attr(s, "Value")
	}
	message, remedy := "Your identity provider answered with an error.", "Try again. If it happens again, tell your administrator the trace id below."
	switch strings.TrimPrefix(second, statusPrefix) {
	case "NoAuthnContext":
		message, remedy = noContext, noContextRemedy
	case "AuthnFailed", "RequestDenied", "UnknownPrincipal":
		message = "Your identity provider did not sign you in."
		remedy = "Try again. If it refuses again, ask whoever runs it: only they know why."
	case "InvalidNameIDPolicy":
		message = "Your identity provider cannot name you in the way that was asked for."
		remedy = "Tell your administrator: the identity provider has to send a persistent NameID."
	}
	return broker.Errorf(broker.CodeUnauthenticated, "%s", message).Fix("%s", remedy).
		Because(fmt.Errorf("saml: status %.100q %.100q%s", code, second, statusMessage(child(root, nsProtocol, "Status"))))
}

// statusMessage returns what the provider says of its refusal (SAML core
// 3.2.2.3), for the trace: nobody may have signed it.
func statusMessage(status *etree.Element) string {
	m := child(status, nsProtocol, "StatusMessage")
	if m == nil {
		return ""
	}
	return fmt.Sprintf(", message %.200q", collapse(leafText(m)))
}

// verified returns the assertion out of signed bytes, by the provider's policy.
func (c *check) verified(root *etree.Element) (*etree.Element, error) {
	policy := c.sp.c.Signature
	source := root
	responseSigned := hasSignature(root)
	c.step = "saml.signature.response"
	switch {
	case responseSigned:
		good, err := verifyElement(root, c.idp.keys, c.now)
		if err != nil {
			return nil, fmt.Errorf("signature of the response: %w", err)
		}
		if err := c.envelope(good, true); err != nil {
			return nil, err
		}
		source = good
		c.pass("verified")
	case policy == SignedResponse || policy == SignedBoth:
		return nil, fmt.Errorf("signature of the response: %w", errUnsigned)
	}
	assertion, encrypted, err := c.locate(source)
	if err != nil {
		return nil, err
	}
	c.step = "saml.signature.assertion"
	needed := policy == SignedAssertion || policy == SignedBoth || !responseSigned
	if !needed && !hasSignature(assertion) {
		if encrypted && !sealedByGCM(child(source, nsAssertion, "EncryptedAssertion")) {
			return nil, fmt.Errorf("signature of the assertion: %w, and that of the response is enough for AES-GCM only", errUnsigned)
		}
		return assertion, nil // what the Response's signature is over, decrypted if need be
	}
	if !encrypted && responseSigned {
		// Verifying the Response has rewritten it in canonical form, which may
		// lack declarations that the inner signature is over (a PrefixList).
		assertion = child(root, nsAssertion, "Assertion")
	}
	good, err := verifyElement(assertion, c.idp.keys, c.now)
	if err != nil {
		return nil, fmt.Errorf("signature of the assertion: %w", err)
	}
	c.pass("verified")
	return good, nil
}

// sealedByGCM reports whether nobody can have changed the plaintext without the
// content key: then a signature over the ciphertext is one over the assertion.
func sealedByGCM(el *etree.Element) bool {
	return strings.HasSuffix(methodOf(child(el, nsEnc, "EncryptedData")), "-gcm")
}

func hasSignature(el *etree.Element) bool { return child(el, nsDSig, "Signature") != nil }

// locate finds the one assertion, decrypted if it has to be.
func (c *check) locate(response *etree.Element) (el *etree.Element, encrypted bool, err error) {
	c.step = "saml.assertion"
	if el = child(response, nsAssertion, "Assertion"); el != nil {
		if c.sp.c.WantEncrypted {
			return nil, false, errors.New("a plain assertion: an encrypted one is needed")
		}
		return el, false, nil
	}
	el = child(response, nsAssertion, "EncryptedAssertion")
	if el == nil {
		return nil, false, errors.New("the response has no assertion")
	}
	c.step = "saml.decrypt"
	if el, err = c.sp.decrypt(el, nameAssertion); err != nil {
		return nil, false, err
	}
	c.pass("decrypted")
	return el, true, nil
}

// leaf returns the text of an element that may hold text only, trimmed. Control
// characters are refused: no name or group has them, and what shows or logs a
// value must not meet them.
func leaf(el *etree.Element) (string, error) {
	s, err := text(el)
	if err != nil {
		return "", err
	}
	return checkText(el.Tag, s)
}

const maxText = 4096

// checkText trims s and holds it to what every value must be.
func checkText(name, s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxText || strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%s is longer than %d bytes or holds control characters", name, maxText)
	}
	return s, nil
}
