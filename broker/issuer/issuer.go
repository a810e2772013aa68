package issuer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

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

// DefaultAudiences are AWS's values by partition. Those of aws come from the
// IAM User Guide; the audience of the other partitions is not documented and
// can be set in the configuration.
func DefaultAudiences() map[broker.Partition]Audience {
	return map[broker.Partition]Audience{
		broker.PartitionAWS:      {"urn:amazon:webservices", "https://signin.aws.amazon.com/saml"},
		broker.PartitionGovCloud: {"urn:amazon:webservices:govcloud", "https://signin.amazonaws-us-gov.com/saml"},
		broker.PartitionChina:    {"urn:amazon:webservices:cn-north-1", "https://signin.amazonaws.cn/saml"},
		broker.PartitionEUSC:     {"urn:amazon:webservices", "https://eusc-de-east-1.signin.amazonaws-eusc.eu/saml"},
	}
}

// Config of an [Issuer]. Zero values mean the defaults named.
type Config struct {
	PublicURL      string
	EntityID       string // default PublicURL/aws/saml/metadata
	OIDCIssuer     string // default PublicURL
	OIDCAudience   string // default sts.amazonaws.com
	Audiences      map[broker.Partition]Audience
	SourceIdentity bool // also put the source identity into ID tokens; AWS's claim name is unverified
	Keys           *Keys
	Now            func() time.Time
	Rand           io.Reader
}

// Issuer mints and publishes. It is safe for concurrent use.
type Issuer struct {
	c       Config
	saml    samlSigner
	oidc    jose.Signer
	oidcKID string
}

// New returns an issuer, or what is wrong with the configuration.
func New(c Config) (*Issuer, error) {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Path != "" {
		return nil, fmt.Errorf("issuer: public URL %q is not scheme://host", c.PublicURL)
	}
	if c.Keys == nil {
		return nil, errors.New("issuer: keys are needed")
	}
	if c.EntityID == "" {
		c.EntityID = c.PublicURL + "/aws/saml/metadata"
	}
	if c.OIDCIssuer == "" {
		c.OIDCIssuer = c.PublicURL
	}
	if c.OIDCAudience == "" {
		c.OIDCAudience = "sts.amazonaws.com"
	}
	audiences := DefaultAudiences()
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
	i := &Issuer{c: c}
	key := c.Keys.Active(AWSSAML)
	if key.RSA() == nil {
		return nil, errors.New("issuer: no RSA key for assertions")
	}
	i.saml = samlSigner{key: key.Signer(), certificate: base64.StdEncoding.EncodeToString(key.Certificate.Raw)}
	var err error
	if i.oidc, i.oidcKID, err = newTokenSigner(c.Keys.Active(AWSOIDC)); err != nil {
		return nil, err
	}
	return i, nil
}

// Assert mints one assertion for one STS call: [broker.ViaSAML] a signed
// response, [broker.ViaOIDC] an ID token. Anything AWS would not take is an
// error of ours: nothing is minted that would only fail later.
func (i *Issuer) Assert(_ context.Context, r broker.AssertionRequest) (broker.Assertion, error) {
	if err := check(r); err != nil {
		return broker.Assertion{}, fmt.Errorf("issuer: refuse to mint for %s: %w", r.RoleARN, err)
	}
	switch r.Via {
	case broker.ViaSAML:
		return i.mintSAML(r)
	case broker.ViaOIDC:
		return i.mintToken(r)
	default:
		return broker.Assertion{}, fmt.Errorf("issuer: cannot mint for via %q", r.Via)
	}
}

// check holds AWS's rules for what goes into an assertion: names and source
// identity [A-Za-z0-9_+=,.@-]{2,64}, role and provider in one partition and
// account, tags as in "Passing session tags in STS". It parses by hand: it is
// on the path of every mint.
func check(r broker.AssertionRequest) error {
	switch {
	case !ownedBy(string(r.RoleARN), r.Account, "role/"):
		return fmt.Errorf("%q is no role of account %s in partition %s", r.RoleARN, r.Account.ID, r.Account.Partition)
	case r.Via == broker.ViaSAML && !ownedBy(string(r.ProviderARN), r.Account, "saml-provider/"):
		return fmt.Errorf("%q is no SAML provider of the role's account", r.ProviderARN)
	case !sessionName(r.SessionName):
		return fmt.Errorf("session name %q", r.SessionName)
	case !sessionName(r.SourceIdentity):
		return fmt.Errorf("source identity %q", r.SourceIdentity)
	case r.Subject.IsZero():
		return errors.New("no subject")
	}
	if err := broker.ValidDuration(r.Duration); err != nil {
		return err
	}
	return checkTags(r.SessionTags, r.TransitiveTagKeys)
}

// ownedBy reports whether arn is arn:PARTITION:iam::ACCOUNT:KIND… of the
// account, with a name in IAM's characters.
func ownedBy(arn string, a broker.Account, kind string) bool {
	rest, ok := strings.CutPrefix(arn, "arn:")
	if ok {
		rest, ok = strings.CutPrefix(rest, string(a.Partition))
	}
	if ok {
		rest, ok = strings.CutPrefix(rest, ":iam::")
	}
	if ok {
		rest, ok = strings.CutPrefix(rest, string(a.ID)+":")
	}
	if ok {
		rest, ok = strings.CutPrefix(rest, kind)
	}
	return ok && a.Partition != "" && len(a.ID) == 12 && rest != "" && len(arn) <= 2048 && onlyNameText(rest, "/")
}

func sessionName(s string) bool { return len(s) >= 2 && len(s) <= 64 && onlyNameText(s, "") }

func onlyNameText(s, more string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_+=,.@-", c) >= 0:
		case more != "" && strings.IndexByte(more, c) >= 0:
		default:
			return false
		}
	}
	return true
}

func checkTags(tags map[string]string, transitive []string) error {
	if len(tags) > 50 {
		return fmt.Errorf("%d session tags, 50 are allowed", len(tags))
	}
	folded := make(map[string]bool, len(tags))
	for k, v := range tags {
		lower := strings.ToLower(k)
		switch {
		case k == "" || utf8.RuneCountInString(k) > 128 || !tagText(k) || strings.HasPrefix(lower, "aws:"):
			return fmt.Errorf("session tag key %q", k)
		case utf8.RuneCountInString(v) > 256 || !tagText(v):
			return fmt.Errorf("value of session tag %q", k)
		case folded[lower]:
			return fmt.Errorf("session tag key %q twice: keys are compared without regard to case", k)
		}
		folded[lower] = true
	}
	for _, k := range transitive {
		if _, ok := tags[k]; !ok {
			return fmt.Errorf("transitive tag key %q is no session tag", k)
		}
	}
	return nil
}

// tagText reports whether s is in AWS's set [\p{L}\p{Z}\p{N}_.:/=+\-@].
func tagText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == unicode.ReplacementChar || !unicode.In(r, unicode.L, unicode.Z, unicode.N) && !strings.ContainsRune("_.:/=+-@", r)
	})
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (i *Issuer) randomID() (string, error) {
	var b [20]byte
	if _, err := io.ReadFull(i.c.Rand, b[:]); err != nil {
		return "", fmt.Errorf("issuer: random: %w", err)
	}
	return "_" + hex.EncodeToString(b[:]), nil
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
