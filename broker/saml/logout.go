package saml

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxLogoutQuery   = 16 << 10 // bytes of a Redirect binding's query
	maxLogoutMessage = 64 << 10 // bytes of XML, inflated
	maxLogoutNodes   = 500
	maxSessionIndex  = 100
	maxRelayState    = 1 << 10 // bytes: bindings 3.4.3 says 80, and providers put addresses into it
)

// nameForm is how the provider named the person, kept with the session: a
// logout request must name them in exactly that form (SAML core 3.7.1).
type nameForm struct {
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"name_qualifier,omitempty"`
	SPNameQualifier string `json:"sp_name_qualifier,omitempty"`
}

// hint encodes the form of a NameID element.
func hint(name *etree.Element) (broker.Secret, error) {
	f := nameForm{attr(name, "Format"), attr(name, "NameQualifier"), attr(name, "SPNameQualifier")}
	for _, v := range []string{f.Format, f.NameQualifier, f.SPNameQualifier} {
		if _, err := checkText("NameID", v); err != nil {
			return broker.Secret{}, err
		}
	}
	b, err := json.Marshal(f)
	if err != nil {
		return broker.Secret{}, fmt.Errorf("saml: encode NameID: %w", err)
	}
	return broker.NewSecret(string(b)), nil
}

// BeginLogout makes a signed LogoutRequest (SAML core 3.7.1). It returns nil
// when the provider offers no single logout, we have no key, or the session
// does not know how it was named.
func (sp *ServiceProvider) BeginLogout(_ context.Context, r broker.LogoutRequest) (*broker.Challenge, error) {
	idp, err := sp.current()
	if err != nil {
		return nil, err
	}
	if !sp.offersLogout(idp) || r.NameID == "" || r.Hint.IsZero() {
		return nil, nil
	}
	var form nameForm
	if err := json.Unmarshal([]byte(r.Hint.Reveal()), &form); err != nil {
		return nil, fmt.Errorf("saml: logout hint: %w", err)
	}
	destination := idp.logout.address()
	el := sp.message("LogoutRequest", r.ID, destination)
	name := el.CreateElement("saml:NameID")
	name.CreateAttr("xmlns:saml", nsAssertion)
	for _, a := range [][2]string{{"NameQualifier", form.NameQualifier}, {"SPNameQualifier", form.SPNameQualifier}, {"Format", form.Format}} {
		if a[1] != "" {
			name.CreateAttr(a[0], a[1])
		}
	}
	name.SetText(r.NameID)
	if r.SessionIndex != "" {
		el.CreateElement("samlp:SessionIndex").SetText(r.SessionIndex)
	}
	return sp.sendLogout(el, idp.logout, destination, "SAMLRequest", r.State)
}

func (sp *ServiceProvider) offersLogout(idp *idp) bool {
	return len(sp.c.Signing) > 0 && !sp.c.NoLogout && idp.logout != (endpoint{})
}

// message begins a protocol message of ours.
func (sp *ServiceProvider) message(tag, id, destination string) *etree.Element {
	el := etree.NewElement("samlp:" + tag)
	el.CreateAttr("xmlns:samlp", nsProtocol)
	el.CreateAttr("ID", id)
	el.CreateAttr("Version", "2.0")
	el.CreateAttr("IssueInstant", stamp(sp.c.Now()))
	el.CreateAttr("Destination", destination)
	issuer := el.CreateElement("saml:Issuer")
	issuer.CreateAttr("xmlns:saml", nsAssertion)
	issuer.SetText(sp.entityID)
	return el
}

// sendLogout signs the message for the binding that the provider offers.
func (sp *ServiceProvider) sendLogout(el *etree.Element, to endpoint, destination, field, relay string) (*broker.Challenge, error) {
	var c broker.Challenge
	var err error
	if to.redirect != "" {
		c, err = sp.redirect(el, field, relay, destination, true)
	} else {
		c, err = sp.post(el, field, relay, destination, true)
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// FinishLogout verifies the LogoutResponse to r: signed, ours, fresh, and
// saying that the session there has ended.
func (sp *ServiceProvider) FinishLogout(ctx context.Context, r broker.LogoutRequest, m broker.LogoutMessage) error {
	idp, err := sp.current()
	if err != nil {
		return err
	}
	c := &check{sp: sp, idp: idp, now: sp.c.Now(), trace: broker.TraceFrom(ctx), step: "saml.logout_response"}
	var root *etree.Element
	err = c.retry(ctx, func() (err error) { root, _, err = c.logout(m, "SAMLResponse", nameLogoutResponse); return err })
	if err == nil && attr(root, "InResponseTo") != r.ID {
		err = errors.New("it does not answer our request")
	}
	if err == nil {
		err = c.status(root)
	}
	if err != nil {
		c.trace.Fail(c.step, "%v", err)
		return broker.Errorf(broker.CodeUnauthenticated, "You are signed out here, but your identity provider did not confirm that you are signed out there.").
			Fix("Sign out at your identity provider as well.").Because(fmt.Errorf("saml: %s: %w", sp.c.ID, err))
	}
	c.pass("the provider ended its session")
	return nil
}

// ReceiveLogout verifies a LogoutRequest of the provider and says which sessions
// it ends. CodeUnauthenticated for whatever does not verify.
func (sp *ServiceProvider) ReceiveLogout(ctx context.Context, m broker.LogoutMessage) (broker.LogoutNotice, error) {
	idp, err := sp.current()
	if err != nil {
		return broker.LogoutNotice{}, err
	}
	c := &check{sp: sp, idp: idp, now: sp.c.Now(), trace: broker.TraceFrom(ctx), step: "saml.logout_request"}
	var root *etree.Element
	var relay string
	err = c.retry(ctx, func() (err error) { root, relay, err = c.logout(m, "SAMLRequest", nameLogoutRequest); return err })
	var out broker.LogoutNotice
	if err == nil {
		out, err = c.notice(root, relay)
	}
	if err != nil {
		c.trace.Fail(c.step, "%v", err)
		return broker.LogoutNotice{}, broker.Errorf(broker.CodeUnauthenticated, "A sign-out from your identity provider could not be verified, so it was not carried out.").
			Fix("Sign out in the portal. If it happens again, tell your administrator the trace id below.").
			Because(fmt.Errorf("saml: %s: %w", sp.c.ID, err))
	}
	c.pass("%d sessions are named", len(out.Sessions))
	return out, nil
}

// notice reads a verified LogoutRequest.
func (c *check) notice(root *etree.Element, relay string) (broker.LogoutNotice, error) {
	n := broker.LogoutNotice{RequestID: attr(root, "ID"), RelayState: relay, ReplayExpires: c.now.Add(oldest + 2*c.sp.c.ClockSkew)}
	n.ReplayID = "logout:" + n.RequestID
	if hasAttr(root, "NotOnOrAfter") {
		end, err := instant(root, "NotOnOrAfter")
		if err != nil {
			return n, err
		}
		if !c.now.Before(end.Add(c.sp.c.ClockSkew)) {
			return n, fmt.Errorf("it ended at %s", stamp(end))
		}
	}
	name := c.decryptedID(root)
	if name == nil {
		var err error
		if name, err = one(root, "NameID"); err != nil {
			return n, err
		}
	}
	id, err := leaf(name)
	if err != nil || id == "" {
		return n, fmt.Errorf("the NameID is empty or not a text: %w", err)
	}
	for _, el := range root.ChildElements() {
		if el.Tag != "SessionIndex" || el.NamespaceURI() != nsProtocol {
			continue
		}
		index, err := leaf(el)
		if err != nil {
			return n, err
		}
		if index != "" {
			n.Sessions = append(n.Sessions, broker.SessionFilter{Provider: c.sp.c.ID, NameID: id, SessionIndex: index})
		}
		if len(n.Sessions) > maxSessionIndex {
			return n, fmt.Errorf("more than %d sessions", maxSessionIndex)
		}
	}
	if len(n.Sessions) == 0 { // all of the person's (SAML core 3.7.3.2)
		n.Sessions = []broker.SessionFilter{{Provider: c.sp.c.ID, NameID: id}}
	}
	return n, nil
}

// AnswerLogout makes the signed LogoutResponse to a verified request: Success,
// or, when the sessions could not be ended, Responder. Nil when the provider
// names no place to answer to.
func (sp *ServiceProvider) AnswerLogout(_ context.Context, n broker.LogoutNotice, failed error) (*broker.Challenge, error) {
	idp, err := sp.current()
	if err != nil {
		return nil, err
	}
	if len(sp.c.Signing) == 0 || idp.logout == (endpoint{}) {
		return nil, nil
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand does not fail (Go 1.24)
	to := idp.logout
	destination := to.address()
	if to.response != "" {
		destination = to.response
	}
	el := sp.message("LogoutResponse", "id-"+hex.EncodeToString(b[:]), destination)
	el.CreateAttr("InResponseTo", n.RequestID)
	code := "Success"
	if failed != nil {
		code = "Responder"
	}
	el.CreateElement("samlp:Status").CreateElement("samlp:StatusCode").CreateAttr("Value", statusPrefix+code)
	return sp.sendLogout(el, to, destination, "SAMLResponse", n.RelayState)
}

// logout verifies a message of single logout as it came by either binding and
// returns what was signed. Everything in it is held: signature, issuer,
// destination and time.
func (c *check) logout(m broker.LogoutMessage, field string, root xml.Name) (*etree.Element, string, error) {
	var el *etree.Element
	var relay string
	var err error
	if m.Form == nil {
		el, relay, err = c.fromRedirect(m.Query, field, root)
	} else {
		el, relay, err = c.fromPost(m.Form, field, root)
	}
	if err != nil {
		return nil, "", err
	}
	if len(relay) > maxRelayState {
		return nil, "", fmt.Errorf("a RelayState of %d bytes", len(relay))
	}
	if v := attr(el, "Version"); v != "2.0" {
		return nil, "", fmt.Errorf("version %.20q", v)
	}
	if !idValue.MatchString(attr(el, "ID")) {
		return nil, "", fmt.Errorf("the ID %.80q", attr(el, "ID"))
	}
	if d := collapse(attr(el, "Destination")); d != c.sp.slo {
		return nil, "", fmt.Errorf("it is meant for %.200q and not for %q", d, c.sp.slo)
	}
	if err := c.issuer(child(el, nsAssertion, "Issuer")); err != nil {
		return nil, "", err
	}
	issued, err := instant(el, "IssueInstant")
	if err != nil {
		return nil, "", err
	}
	return el, relay, c.recent(issued)
}

// otherField is the field that must not come beside the one that is read.
var otherField = map[string]string{"SAMLRequest": "SAMLResponse", "SAMLResponse": "SAMLRequest"}

// fromPost verifies the enveloped signature (SAML bindings 3.5).
func (c *check) fromPost(form url.Values, field string, root xml.Name) (*etree.Element, string, error) {
	if form.Has(otherField[field]) {
		return nil, "", errors.New("a request and a response at once")
	}
	if len(form[field]) != 1 || len(form["RelayState"]) > 1 {
		return nil, "", fmt.Errorf("%d %s fields, one is needed", len(form[field]), field)
	}
	if len(form[field][0]) > 2*maxLogoutMessage {
		return nil, "", fmt.Errorf("a message of %d bytes", len(form[field][0]))
	}
	raw, err := unfold(form[field][0])
	if err != nil {
		return nil, "", errors.New("the message is not base64")
	}
	el, err := parseLogout(raw, root)
	if err != nil {
		return nil, "", err
	}
	good, err := verifyElement(el, c.idp.keys, c.now)
	return good, form.Get("RelayState"), err
}

// fromRedirect verifies the signature of the query, over the very bytes that
// came (SAML bindings 3.4.4.1), before it inflates anything.
func (c *check) fromRedirect(query, field string, root xml.Name) (*etree.Element, string, error) {
	if len(query) > maxLogoutQuery {
		return nil, "", fmt.Errorf("a query of %d bytes", len(query))
	}
	raw := map[string]string{}
	for part := range strings.SplitSeq(query, "&") {
		k, v, _ := strings.Cut(part, "=")
		if _, twice := raw[k]; twice {
			return nil, "", fmt.Errorf("parameter %.40q twice", k)
		}
		raw[k] = v
	}
	if _, both := raw[otherField[field]]; both {
		return nil, "", errors.New("a request and a response at once")
	}
	if enc, ok := raw["SAMLEncoding"]; ok && enc != url.QueryEscape("urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE") {
		return nil, "", errors.New("an encoding other than DEFLATE")
	}
	signed := field + "=" + raw[field]
	if r, ok := raw["RelayState"]; ok {
		signed += "&RelayState=" + r
	}
	signed += "&SigAlg=" + raw["SigAlg"]
	value := map[string]string{}
	for k, v := range raw {
		s, err := url.QueryUnescape(v)
		if err != nil {
			return nil, "", fmt.Errorf("parameter %.40q is not escaped", k)
		}
		value[k] = s
	}
	if value["Signature"] == "" {
		return nil, "", errUnsigned
	}
	if err := c.querySignature(signed, value["SigAlg"], value["Signature"]); err != nil {
		return nil, "", err
	}
	deflated, err := unfold(value[field])
	if err != nil {
		return nil, "", errors.New("the message is not base64")
	}
	// A few KiB of DEFLATE can hold many MiB: what is over the limit is not read.
	inflated, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxLogoutMessage+1))
	if err != nil {
		return nil, "", fmt.Errorf("the message is not DEFLATE: %w", err)
	}
	if len(inflated) > maxLogoutMessage {
		return nil, "", fmt.Errorf("a message of more than %d bytes", maxLogoutMessage)
	}
	el, err := parseLogout(inflated, root)
	return el, value["RelayState"], err
}

func (c *check) querySignature(signed, method, signature string) error {
	algorithm, ok := signatureMethods[method]
	if !ok {
		return fmt.Errorf("signature algorithm %.80q", method)
	}
	sig, err := unfold(signature)
	if err != nil {
		return errors.New("the signature is not base64")
	}
	for _, cert := range c.idp.keys {
		v := sig
		if key, ok := cert.PublicKey.(*ecdsa.PublicKey); ok {
			v = ecdsaASN1(key, sig)
		}
		if c.now.Before(cert.NotBefore) || c.now.After(cert.NotAfter) {
			continue
		}
		if cert.CheckSignature(algorithm, []byte(signed), v) == nil {
			return nil
		}
	}
	return noCertificate
}

func parseLogout(raw []byte, root xml.Name) (el *etree.Element, err error) {
	defer recovered(&err)
	if len(raw) > maxLogoutMessage {
		return nil, fmt.Errorf("a message of more than %d bytes", maxLogoutMessage)
	}
	if err := prepass(raw, messageLimits(root, maxLogoutNodes)); err != nil {
		return nil, fmt.Errorf("the document: %w", err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return nil, fmt.Errorf("not well-formed: %w", err)
	}
	return doc.Root(), nil
}

// endpoint is where a provider takes messages of single logout.
type endpoint struct {
	redirect, post string
	response       string // for answers, where it differs
}

func (e endpoint) address() string {
	if e.redirect != "" {
		return e.redirect
	}
	return e.post
}

var _ interface {
	broker.LogoutInitiator
	broker.LogoutReceiver
} = (*ServiceProvider)(nil)
