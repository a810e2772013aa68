package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

const assertionLife = 5 * time.Minute

// response is SAML profiles 4.1.4.2, or core 3.2.2 for a refusal.
func (s *SAML) response(req samlRequest, cur *session, context string) ([]byte, error) {
	doc := etree.NewDocument()
	r := doc.CreateElement("samlp:Response")
	set(r, "xmlns:samlp", nsProtocol, "xmlns:saml", nsAssertion, "ID", newID(), "Version", "2.0",
		"IssueInstant", instant(s.o.Now()), "Destination", req.acs, "InResponseTo", req.id)
	r.CreateElement("saml:Issuer").SetText(s.o.EntityID)
	code := r.CreateElement("samlp:Status").CreateElement("samlp:StatusCode")
	if req.status != "" {
		top := saml.StatusResponder
		if req.status == statusNameIDPolicy {
			top = saml.StatusRequester
		}
		set(code, "Value", top)
		set(code.CreateElement("samlp:StatusCode"), "Value", req.status)
		if err := s.sign(r); err != nil {
			return nil, err
		}
		return doc.WriteToBytes()
	}
	set(code, "Value", saml.StatusSuccess)
	a := s.assertion(req, cur, context)
	r.AddChild(a)
	s.mu.Lock()
	tamper := s.tamper
	s.mu.Unlock()
	if tamper != nil {
		tamper(r, func(el *etree.Element) { _ = s.sign(el) }) // the test sees an unsigned element
		return doc.WriteToBytes()
	}
	if s.o.Sign != SignResponse {
		if err := s.sign(a); err != nil {
			return nil, err
		}
	}
	if s.o.Encrypt != "" {
		if err := s.o.Encrypt.replace(a, req.sp.encryption); err != nil {
			return nil, err
		}
	}
	if s.o.Sign != SignAssertion {
		if err := s.sign(r); err != nil {
			return nil, err
		}
	}
	return doc.WriteToBytes()
}

func (s *SAML) assertion(req samlRequest, cur *session, context string) *etree.Element {
	now := s.o.Now()
	end := instant(now.Add(assertionLife))
	a := etree.NewElement("saml:Assertion")
	set(a, "xmlns:saml", nsAssertion, "ID", newID(), "Version", "2.0", "IssueInstant", instant(now))
	a.CreateElement("saml:Issuer").SetText(s.o.EntityID)
	sub := a.CreateElement("saml:Subject")
	name := sub.CreateElement("saml:NameID")
	set(name, "Format", string(saml.PersistentNameIDFormat), "NameQualifier", s.o.EntityID, "SPNameQualifier", req.sp.entityID)
	name.SetText(pairwise(cur.person, req.sp.entityID))
	conf := sub.CreateElement("saml:SubjectConfirmation")
	set(conf, "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	set(conf.CreateElement("saml:SubjectConfirmationData"), "InResponseTo", req.id, "NotOnOrAfter", end, "Recipient", req.acs)
	cond := a.CreateElement("saml:Conditions")
	set(cond, "NotBefore", instant(now.Add(-time.Minute)), "NotOnOrAfter", end)
	cond.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText(req.sp.entityID)
	st := a.CreateElement("saml:AuthnStatement")
	set(st, "AuthnInstant", instant(cur.at), "SessionIndex", "s-"+cur.id)
	st.CreateElement("saml:AuthnContext").CreateElement("saml:AuthnContextClassRef").SetText(context)
	as := a.CreateElement("saml:AttributeStatement")
	attribute(as, "username", cur.person.Username)
	attribute(as, "email", cur.person.Email)
	attribute(as, "name", cur.person.Name)
	attribute(as, "groups", cur.person.Groups...)
	for _, k := range slices.Sorted(maps.Keys(cur.person.Attributes)) {
		attribute(as, k, cur.person.Attributes[k]...)
	}
	return a
}

// pairwise is the person's lasting identifier for one service, which says
// nothing to another (SAML core 8.3.7).
func pairwise(p Person, entityID string) string {
	sum := sha256.Sum256([]byte(p.subject() + "\x00" + entityID))
	return hex.EncodeToString(sum[:12])
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func set(el *etree.Element, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		el.CreateAttr(pairs[i], pairs[i+1])
	}
}

func attribute(st *etree.Element, name string, values ...string) {
	at := st.CreateElement("saml:Attribute")
	set(at, "Name", name, "NameFormat", "urn:oasis:names:tc:SAML:2.0:attrname-format:basic")
	for _, v := range values {
		at.CreateElement("saml:AttributeValue").SetText(v)
	}
}

func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // crypto/rand does not fail (Go 1.24)
	return "_" + hex.EncodeToString(b)
}

// sign puts an enveloped RSA-SHA256 signature behind the element's Issuer.
func (s *SAML) sign(el *etree.Element) error {
	ctx, err := dsig.NewSigningContext(s.key, [][]byte{s.cert.Raw})
	if err != nil {
		return fmt.Errorf("idp: sign: %w", err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	sig, err := ctx.ConstructSignature(el.Copy(), true)
	if err != nil {
		return fmt.Errorf("idp: sign: %w", err)
	}
	issuer := el.FindElement("./Issuer")
	if issuer == nil {
		return errors.New("idp: sign: no Issuer")
	}
	el.InsertChildAt(issuer.Index()+1, sig)
	return nil
}
