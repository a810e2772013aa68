package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
)

// assertionLife is how long a minted assertion or token is valid. STS wants a
// SAML response within five minutes of its issue; the call follows at once.
const assertionLife = 5 * time.Minute

// notBeforeMargin covers a clock at AWS that is a little behind ours.
const notBeforeMargin = 30 * time.Second

// Audience holds what AWS of one partition expects in an assertion.
type Audience struct {
	Audience  string // AudienceRestriction: AWS's entity ID
	Recipient string // the sign-in URL; trust policies compare SAML:aud with it
}

// defaultAudiences are AWS's values by partition. The recipient of aws is in
// the IAM User Guide and its audience is known from assertions that STS took;
// the other audiences and recipients are not documented by AWS, so the
// configuration can set each.
func defaultAudiences() map[broker.Partition]Audience {
	return map[broker.Partition]Audience{
		broker.PartitionAWS:      {"urn:amazon:webservices", "https://signin.aws.amazon.com/saml"},
		broker.PartitionGovCloud: {"urn:amazon:webservices:govcloud", "https://signin.amazonaws-us-gov.com/saml"},
		broker.PartitionChina:    {"urn:amazon:webservices:cn-north-1", "https://signin.amazonaws.cn/saml"},
		broker.PartitionEUSC:     {"urn:amazon:webservices", "https://eusc-de-east-1.signin.amazonaws-eusc.eu/saml"},
	}
}

// Config of an [Issuer]. Zero values mean the defaults named.
type Config struct {
	PublicURL      string                        // scheme://host[:port] of the portal
	EntityID       string                        // default PublicURL/aws/saml/metadata
	OIDCIssuer     string                        // https without port; default PublicURL
	OIDCAudience   string                        // default sts.amazonaws.com
	Audiences      map[broker.Partition]Audience // empty fields: see [defaultAudiences]
	SourceIdentity bool                          // also put the source identity into ID tokens; AWS's claim name is unverified
	Tokens         bool                          // ID tokens are needed, so that the issuer has to be one that IAM takes
	Keys           *Keys
	Now            func() time.Time
	Rand           io.Reader // for ids
}

// withDefaults returns c completed.
func (c Config) withDefaults() Config {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if c.EntityID == "" {
		c.EntityID = c.PublicURL + "/aws/saml/metadata"
	}
	if c.OIDCIssuer == "" {
		c.OIDCIssuer = c.PublicURL
	}
	if c.OIDCAudience == "" {
		c.OIDCAudience = "sts.amazonaws.com"
	}
	audiences := defaultAudiences()
	for p, a := range c.Audiences {
		d := audiences[p]
		if a.Audience != "" {
			d.Audience = a.Audience
		}
		if a.Recipient != "" {
			d.Recipient = a.Recipient
		}
		audiences[p] = d
	}
	c.Audiences = audiences
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return c
}

// Validate lists what is wrong with the settings, as [broker.Problems]. An OIDC
// issuer that IAM would not take is a problem only if it was set or is needed
// for Tokens: else, ID tokens are refused when they are asked for. The keys are
// looked at by [New].
func (c Config) Validate() error { return c.settings().Err() }

func (c Config) settings() broker.Problems {
	var ps broker.Problems
	d := c.withDefaults()
	if _, err := broker.ParsePublicURL(d.PublicURL); err != nil {
		ps.Add("PublicURL", "%v", err)
	}
	if c.OIDCIssuer != "" || c.Tokens {
		if err := issuerURL(d.OIDCIssuer); err != nil {
			ps.Add("OIDCIssuer", "%v", err)
		}
	}
	if !plainText(d.EntityID, 1024) {
		ps.Add("EntityID", "%q: 1 to 1024 characters without spaces are needed (SAML core 8.3.6)", broker.RedactURL(d.EntityID))
	}
	if !plainText(d.OIDCAudience, 255) {
		ps.Add("OIDCAudience", "%q: 1 to 255 characters without spaces are needed", broker.RedactURL(d.OIDCAudience))
	}
	for _, p := range slices.Sorted(maps.Keys(d.Audiences)) {
		if err := p.Check(); err != nil {
			ps.Add(fmt.Sprintf("Audiences[%s]", p), "%v", err)
			continue
		}
		a := d.Audiences[p]
		if u, err := url.Parse(a.Recipient); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !plainText(a.Recipient, 1024) {
			ps.Add(fmt.Sprintf("Audiences[%s].Recipient", p), "%q is not the https address of a sign-in page of AWS", broker.RedactURL(a.Recipient))
		}
		if !plainText(a.Audience, 1024) {
			ps.Add(fmt.Sprintf("Audiences[%s].Audience", p), "%q: 1 to 1024 characters without spaces are needed", broker.RedactURL(a.Audience))
		}
	}
	return ps
}

// issuerURL holds IAM's rules for the URL of an OIDC provider
// (CreateOpenIDConnectProvider): https, no query, no port, 255 characters. The
// port rule is a "should" of IAM; STS derives condition keys from the URL.
func issuerURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Port() != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.HasSuffix(s, "/") || !plainText(s, 255) {
		return fmt.Errorf("%q is no OIDC issuer that IAM takes: https without port, query and trailing slash is needed", broker.RedactURL(s))
	}
	return nil
}

func plainText(s string, most int) bool {
	return s != "" && len(s) <= most && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
}

// Issuer mints and publishes, with the keys as they were when it was made. It
// is safe for concurrent use.
type Issuer struct {
	c        Config
	saml     samlSigner
	oidc     jose.Signer
	samlKeys []Key
	oidcKeys []Key
	noTokens error // why no ID token can be minted
}

// New returns an issuer, or what is wrong with the configuration.
func New(c Config) (*Issuer, error) {
	ps := c.settings()
	if c.Keys == nil {
		ps.Add("Keys", "keys are needed")
	}
	if err := ps.Err(); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	c = c.withDefaults()
	i := &Issuer{c: c, samlKeys: c.Keys.Published(AWSSAML), oidcKeys: c.Keys.Published(AWSOIDC), noTokens: issuerURL(c.OIDCIssuer)}
	key := i.samlKeys[0]
	i.saml = samlSigner{key: key.Signer(), size: key.RSA().Size(), certificate: base64.StdEncoding.EncodeToString(key.Certificate.Raw)}
	var err error
	i.oidc, err = newTokenSigner(i.oidcKeys[0])
	return i, err
}

// Assert mints one assertion for one STS call: [broker.ViaSAML] a signed
// response, [broker.ViaOIDC] an ID token. Anything AWS would not take is
// refused with CodeDenied: nothing is minted that would only fail later.
func (i *Issuer) Assert(_ context.Context, r broker.AssertionRequest) (broker.Assertion, error) {
	tagKeys := sortedKeys(r.SessionTags)
	if err := check(r, tagKeys); err != nil {
		return broker.Assertion{}, broker.Errorf(broker.CodeDenied, "AWS would not accept this role session, so rolegate did not ask for it.").
			Fix("Your administrator can mend the session name, source identity, tags or role in rolegate's configuration; the trace names the one at fault.").
			Because(fmt.Errorf("issuer: refuse to mint for %q: %w", r.RoleARN, err))
	}
	switch r.Via {
	case broker.ViaSAML:
		return i.mintSAML(r, tagKeys)
	case broker.ViaOIDC:
		return i.mintToken(r)
	default:
		return broker.Assertion{}, fmt.Errorf("issuer: cannot mint for via %q", r.Via)
	}
}

// tooLarge refuses what STS would not read.
func tooLarge(size, limit int) error {
	return broker.Errorf(broker.CodeDenied, "This role has more session tags than AWS reads.").
		Fix("Your administrator can send fewer or shorter session_tags with the role.").
		Because(fmt.Errorf("issuer: %d bytes, STS reads %d", size, limit))
}

// idSize is the length of an id: "_", as an xs:ID may not begin with a digit,
// and 160 random bits in hex.
const idSize = 1 + 2*20

// randomIDs returns n ids in one string.
func (i *Issuer) randomIDs(n int) (string, error) {
	b := make([]byte, n*20)
	if _, err := io.ReadFull(i.c.Rand, b); err != nil {
		return "", fmt.Errorf("issuer: random: %w", err)
	}
	out := make([]byte, 0, n*idSize)
	for k := range n {
		out = hex.AppendEncode(append(out, '_'), b[k*20:(k+1)*20])
	}
	return string(out), nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
