package aws

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // G505: AWS's formula for the name qualifier, no secret
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// assume is one assume-role call as it is verified, step by step.
type assume struct {
	a        *AWS
	form     url.Values
	action   string
	role     arn
	duration int // DurationSeconds or 3600
	acc      *Account
	found    *Role
	now      time.Time

	principal      string // Federated principal of the trust policy
	sessionName    string
	sourceIdentity string
	tags           map[string]string
	transitive     []string
	until          time.Time // SessionNotOnOrAfter; zero if none
	shorten        int       // SessionDuration; 0 if none
	facts          facts

	issuer, subject, subjectType, audience, nameQualifier, tokenID string
}

const samlAttributes = "https://aws.amazon.com/SAML/Attributes/"

// audiences and recipients of the partitions.
var audiences = map[string]string{
	"aws": "urn:amazon:webservices", "aws-us-gov": "urn:amazon:webservices:govcloud",
	"aws-cn": "urn:amazon:webservices:cn-north-1", "aws-eusc": "urn:amazon:webservices",
}

var recipients = map[string]*regexp.Regexp{
	"aws":        regexp.MustCompile(`^https://([a-z]{2}(-[a-z]+)+-[0-9]\.)?signin\.aws\.amazon\.com/saml$`),
	"aws-us-gov": regexp.MustCompile(`^https://(us-gov-[a-z]+-[0-9]\.)?signin\.amazonaws-us-gov\.com/saml$`),
	"aws-cn":     regexp.MustCompile(`^https://(cn-[a-z]+-[0-9]\.)?signin\.amazonaws\.cn/saml$`),
	"aws-eusc":   regexp.MustCompile(`^https://eusc-[a-z]+-[a-z]+-[0-9]\.signin\.amazonaws-eusc\.eu/saml$`),
}

var (
	namePattern    = regexp.MustCompile(`^[a-zA-Z_0-9+=,.@-]{2,64}$`)
	subjectPattern = regexp.MustCompile(`^u-[a-z2-7]{26}$`)
)

// saml verifies AssumeRoleWithSAML up to the trust policy.
func (c *assume) saml() error {
	raw := c.form.Get("SAMLAssertion")
	principal, ok := parseARN(c.form.Get("PrincipalArn"))
	err := first(
		c.a.need("sts.parameters", len(raw) >= 4 && len(raw) <= 100000, refuse("ValidationError", "SAMLAssertion has 4 to 100000 characters")),
		c.a.need("sts.arns", ok && principal.kind == "saml-provider" && principal.account == c.role.account && principal.partition == c.role.partition,
			refuse("ValidationError", "Request ARN is invalid")),
	)
	if err != nil {
		return err
	}
	var provider SAMLProvider
	found := false
	if c.acc != nil {
		for _, p := range c.acc.SAMLProviders {
			if p.Name == principal.name && p.entityID != "" {
				provider, found = p, true
			}
		}
	}
	if err := c.a.need("saml.provider", found, invalidToken("Specified provider doesn't exist")); err != nil {
		return err
	}
	c.principal = c.form.Get("PrincipalArn")
	response, err := c.parseResponse(raw, provider)
	if err != nil {
		return err
	}
	return c.assertion(response, provider)
}

// parseResponse checks document, signature and the response around the
// assertion, and returns the verified assertion.
func (c *assume) parseResponse(raw string, provider SAMLProvider) (*saml.Assertion, error) {
	bad := invalidToken("Invalid SAML response")
	doc, err := base64.StdEncoding.DecodeString(raw)
	if err != nil {
		return nil, bad
	}
	if err := c.a.need("saml.document", err == nil && sane(doc), bad); err != nil {
		return nil, err
	}
	var response saml.Response
	if err := xml.Unmarshal(doc, &response); err != nil {
		return nil, bad
	}
	if err := c.a.need("saml.status", response.Status.StatusCode.Value == saml.StatusSuccess, invalidToken("Response status is not Success")); err != nil {
		return nil, err
	}
	tree := etree.NewDocument()
	if err := tree.ReadFromBytes(doc); err != nil || tree.Root() == nil {
		return nil, bad
	}
	err = first(
		c.a.need("saml.encrypted", len(tree.FindElements("//EncryptedAssertion")) == 0, invalidToken("Encrypted assertions cannot be decrypted")),
		c.a.need("saml.encryption_required", provider.Encryption != "Required", invalidToken("The provider requires encrypted assertions")),
	)
	if err != nil {
		return nil, err
	}
	found := tree.FindElements("//Assertion")
	if err := c.a.need("saml.one_assertion", len(found) == 1 && found[0].Parent() == tree.Root(), invalidToken("one assertion is needed")); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, bad
	}
	// Which assertion is used does not depend on what a test switched off.
	el := found[0]
	var asserted saml.Assertion
	if err := unmarshal(el, &asserted); err != nil {
		return nil, bad
	}
	err = first(
		c.a.need("saml.issuer", asserted.Issuer.Value == provider.entityID && (response.Issuer == nil || response.Issuer.Value == provider.entityID),
			invalidToken("Issuer not present in specified provider")),
		c.a.need("saml.algorithm", algorithms(el), invalidToken("Response signature invalid")),
	)
	if err != nil {
		return nil, err
	}
	verified, err := verify(el, provider.certificates, c.now)
	if err != nil {
		return &asserted, c.a.need("saml.signature", false, invalidToken("Response signature invalid"))
	}
	var out saml.Assertion
	if err := unmarshal(verified, &out); err != nil {
		return nil, bad
	}
	return &out, nil
}

func unmarshal(el *etree.Element, into any) error {
	d := etree.NewDocumentWithRoot(el.Copy())
	b, err := d.WriteToBytes()
	if err != nil {
		return err
	}
	return xml.Unmarshal(b, into)
}

// sane refuses DTDs, comments and repeated IDs.
func sane(doc []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(doc))
	ids := map[string]bool{}
	depth := 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return depth == 0
		}
		if err != nil {
			return false
		}
		switch t := t.(type) {
		case xml.Directive, xml.Comment:
			return false
		case xml.EndElement:
			depth--
		case xml.StartElement:
			if depth++; depth > 32 {
				return false
			}
			for _, at := range t.Attr {
				if at.Name.Local == "ID" && at.Name.Space == "" {
					if ids[at.Value] {
						return false
					}
					ids[at.Value] = true
				}
			}
		}
	}
}

// algorithms holds the one form of signature that rolegate makes.
func algorithms(el *etree.Element) bool {
	at := func(path, want string) bool {
		found := el.FindElements(path)
		return len(found) == 1 && found[0].SelectAttrValue("Algorithm", "") == want
	}
	const sig = "./Signature/SignedInfo"
	return len(el.FindElements("./Signature")) == 1 && len(el.FindElements(sig+"/Reference")) == 1 &&
		at(sig+"/SignatureMethod", dsig.RSASHA256SignatureMethod) &&
		at(sig+"/CanonicalizationMethod", "http://www.w3.org/2001/10/xml-exc-c14n#") &&
		at(sig+"/Reference/DigestMethod", "http://www.w3.org/2001/04/xmlenc#sha256") &&
		len(el.FindElements(sig+"/Reference/Transforms/Transform")) == 2
}

func verify(el *etree.Element, certs []*x509.Certificate, now time.Time) (out *etree.Element, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("verifier panicked")
		}
	}()
	alone := el.Copy()
	for up := el.Parent(); up != nil; up = up.Parent() {
		for _, at := range up.Attr {
			if at.Space == "xmlns" && alone.SelectAttr(at.FullKey()) == nil {
				alone.CreateAttr(at.FullKey(), at.Value)
			}
		}
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: certs})
	ctx.Clock = dsig.NewFakeClockAt(now)
	return ctx.Validate(alone)
}

func keyBits(c *x509.Certificate) int {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return k.N.BitLen()
	}
	return 0
}

// assertion checks what a verified assertion says, in AWS's order.
func (c *assume) assertion(as *saml.Assertion, provider SAMLProvider) error {
	conf, confirmed := confirmation(as)
	cond := as.Conditions
	if cond == nil {
		cond = &saml.Conditions{}
	}
	var audience []string
	for _, r := range cond.AudienceRestrictions {
		audience = append(audience, r.Audience.Value)
	}
	expired := refuse("ExpiredTokenException", "Response has expired")
	name, hasName := saml.NameID{}, as.Subject != nil && as.Subject.NameID != nil && as.Subject.NameID.Value != ""
	if hasName {
		name = *as.Subject.NameID
	}
	err := first(
		c.a.need("saml.not_before", !c.now.Before(cond.NotBefore), invalidToken("Response is not yet valid")),
		c.a.need("saml.not_on_or_after", c.now.Before(cond.NotOnOrAfter), expired),
		c.a.need("saml.confirmation", confirmed, invalidToken("One bearer SubjectConfirmation is required")),
		c.a.need("saml.confirmation_expiry", c.now.Before(conf.NotOnOrAfter), expired),
		c.a.need("saml.freshness", c.now.Sub(as.IssueInstant) <= 5*time.Minute && as.IssueInstant.Sub(c.now) <= 5*time.Minute,
			refuse("ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance")),
		c.a.need("saml.audience", slices.Equal(audience, []string{audiences[c.role.partition]}), invalidToken("Response does not contain the required audience.")),
		c.a.need("saml.recipient", recipients[c.role.partition] != nil && recipients[c.role.partition].MatchString(conf.Recipient), invalidToken("Recipient is not an AWS sign-in URL")),
		c.a.need("saml.name_id", hasName, refuse("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")),
		c.a.need("saml.name_id_form", !hasName || name.Format == string(saml.PersistentNameIDFormat) && subjectPattern.MatchString(name.Value), invalidToken("NameID is not of the form taken here")),
	)
	if err != nil {
		return err
	}
	if err := c.attributes(as); err != nil {
		return err
	}
	for _, st := range as.AuthnStatements {
		if st.SessionNotOnOrAfter != nil {
			c.until = *st.SessionNotOnOrAfter
		}
	}
	c.issuer, c.subject, c.subjectType = as.Issuer.Value, name.Value, strings.TrimPrefix(name.Format, "urn:oasis:names:tc:SAML:2.0:nameid-format:")
	c.audience, c.tokenID = conf.Recipient, as.ID
	c.nameQualifier = NameQualifier(as.Issuer.Value, c.role.account, provider.Name)
	c.facts = facts{
		"saml:aud": {conf.Recipient}, "saml:iss": {c.issuer}, "saml:sub": {c.subject}, "saml:sub_type": {c.subjectType},
		"saml:doc": {c.role.account + "/" + provider.Name}, "saml:namequalifier": {c.nameQualifier},
	}
	return nil
}

// NameQualifier is BASE64(SHA1(issuer + account + "/" + provider)), as the API
// reference of AssumeRoleWithSAML says.
func NameQualifier(issuer, account, provider string) string {
	sum := sha1.Sum([]byte(issuer + account + "/" + provider)) //nolint:gosec // G401: AWS's formula, no secret
	return base64.StdEncoding.EncodeToString(sum[:])
}

func confirmation(as *saml.Assertion) (saml.SubjectConfirmationData, bool) {
	if as.Subject == nil || len(as.Subject.SubjectConfirmations) == 0 || as.Subject.SubjectConfirmations[0].SubjectConfirmationData == nil {
		return saml.SubjectConfirmationData{}, false
	}
	one := as.Subject.SubjectConfirmations[0]
	d := *one.SubjectConfirmationData
	return d, len(as.Subject.SubjectConfirmations) == 1 && one.Method == "urn:oasis:names:tc:SAML:2.0:cm:bearer" && d.Recipient != "" && !d.NotOnOrAfter.IsZero()
}

func (c *assume) attributes(as *saml.Assertion) error {
	got := map[string][]string{}
	for _, st := range as.AttributeStatements {
		for _, at := range st.Attributes {
			for _, v := range at.Values {
				got[at.Name] = append(got[at.Name], v.Value)
			}
		}
	}
	one := func(name string) string {
		if v := got[samlAttributes+name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	names, sources := got[samlAttributes+"RoleSessionName"], got[samlAttributes+"SourceIdentity"]
	c.sessionName, c.sourceIdentity = one("RoleSessionName"), one("SourceIdentity")
	pair := c.form.Get("RoleArn") + "," + c.form.Get("PrincipalArn")
	seconds, err := strconv.Atoi(one("SessionDuration"))
	hasDuration := len(got[samlAttributes+"SessionDuration"]) > 0
	err = first(
		c.a.need("saml.session_name", len(names) > 0, invalidToken("RoleSessionName is required in AuthnResponse")),
		c.a.need("saml.session_name_form", len(names) <= 1 && (len(names) == 0 || namePattern.MatchString(names[0])), invalidToken("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")),
		c.a.need("saml.source_identity", len(sources) == 0 || len(sources) == 1 && namePattern.MatchString(sources[0]), invalidToken(`Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with "aws:"`)),
		c.a.need("saml.role_pair", slices.Contains(got[samlAttributes+"Role"], pair), refuse("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")),
		c.a.need("saml.session_duration", !hasDuration || err == nil && seconds >= 900 && seconds <= 43200, invalidToken("SessionDuration must be between 900 and 43200")),
	)
	if err != nil {
		return err
	}
	if hasDuration {
		c.shorten = seconds
	}
	values := map[string][]string{}
	for name, v := range got {
		if key, ok := strings.CutPrefix(name, samlAttributes+"PrincipalTag:"); ok {
			values[key] = v
		}
	}
	return c.checkTags(values, got[samlAttributes+"TransitiveTagKeys"])
}

// checkTags holds the limits of session tags (IAM User Guide "Passing session
// tags in STS").
func (c *assume) checkTags(values map[string][]string, transitive []string) error {
	c.tags, c.transitive = map[string]string{}, transitive
	text, single, known, packed := true, true, true, 0
	for k, v := range values {
		single = single && len(v) == 1
		text = text && k != "" && utf8.RuneCountInString(k) <= 128 && tagText(k) && !strings.HasPrefix(strings.ToLower(k), "aws:")
		for _, x := range v {
			text = text && utf8.RuneCountInString(x) <= 256 && tagText(x)
			c.tags[k] = x
			packed += len(k) + len(x)
		}
	}
	for _, k := range transitive {
		_, ok := values[k]
		known = known && ok
	}
	return first(
		c.a.need("tags.count", len(values) <= 50, refuse("ValidationError", "at most 50 session tags")),
		c.a.need("tags.text", text, refuse("ValidationError", "a session tag's key or value")),
		c.a.need("tags.single", single, invalidToken("a session tag has one value")),
		c.a.need("tags.transitive", known, refuse("ValidationError", "a transitive tag key is no tag")),
		// AWS's packed form is not published; this is a stand-in that can be hit.
		c.a.need("tags.packed", packed <= 8192, refuse("PackedPolicyTooLarge", "packed size %d%%", packed*100/8192)),
	)
}

func tagText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}
