package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Binding is how an AuthnRequest travels.
type Binding string

// The bindings (SAML bindings 3.4 and 3.5).
const (
	BindingRedirect Binding = "redirect"
	BindingPOST     Binding = "post"
)

// SignaturePolicy says which element of a response must be signed.
type SignaturePolicy string

// The policies. There is none that takes an unsigned response.
const (
	SignedAssertion SignaturePolicy = "assertion"
	SignedResponse  SignaturePolicy = "response"
	SignedBoth      SignaturePolicy = "both"
	SignedEither    SignaturePolicy = "either"
)

// KeyPair is a key of ours with its certificate.
type KeyPair struct {
	Certificate *x509.Certificate
	Key         crypto.Signer // an *rsa.PrivateKey where decryption is meant
}

// Config of a [ServiceProvider]. Zero values mean the defaults named.
type Config struct {
	ID                  broker.ProviderID
	PublicURL           string
	MetadataURL         string // or MetadataFile: exactly one
	MetadataFile        string
	IDPEntityID         string            // picks one out of an EntitiesDescriptor
	MetadataCertificate *x509.Certificate // if set, metadata must be signed by it
	SignRequests        bool
	WantEncrypted       bool // refuse plain assertions
	IDPInitiated        bool // also take answers to no request
	InsecureAllowCBC    bool // also decrypt AES-CBC, which is malleable
	Binding             Binding
	Signature           SignaturePolicy
	ClockSkew           time.Duration // default 60 s, at most 5 min
	NoLogout            bool          // leave the provider's session when a person signs out
	EmailDomains        []string      // domains for which an e-mail NameID is an authoritative subject
	MaxResponse         int           // bytes of base64, default 256 KiB
	MaxNodes            int           // XML elements and attributes of a response, default 30,000
	Signing             []KeyPair     // first signs, all are published
	Decryption          []KeyPair     // all decrypt, all are published
	HTTP                *http.Client
	Now                 func() time.Time
}

const (
	defaultSkew        = time.Minute
	maxSkew            = 5 * time.Minute
	defaultMaxResponse = 256 << 10
	defaultNodes       = 30000
	minRSABits         = 2048
)

// usable reports whether the pair is an RSA key, strong enough, that belongs to
// its certificate.
func (k KeyPair) usable() bool {
	if k.Key == nil || k.Certificate == nil {
		return false
	}
	key, ok := k.Key.Public().(*rsa.PublicKey)
	return ok && key.N.BitLen() >= minRSABits && key.Equal(k.Certificate.PublicKey)
}

// secure reports whether u is https, or http on this machine.
func secure(u *url.URL) bool {
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && local)
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Validate lists what is wrong.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("saml: "+format, args...)) }
	if !idPattern.MatchString(string(c.ID)) {
		bad("id %q: lower-case letters, digits and hyphens are needed", c.ID)
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Path != "" {
		bad("public URL %q is not scheme://host", c.PublicURL)
	}
	if (c.MetadataURL == "") == (c.MetadataFile == "") {
		bad("%s: one of metadata URL and metadata file is needed", c.ID)
	}
	if c.MetadataURL != "" {
		if c.HTTP == nil {
			bad("%s: an HTTP client is needed", c.ID)
		}
		// Who can change unsigned metadata on its way can sign in as anybody.
		if u, err := url.Parse(c.MetadataURL); err != nil || u.Host == "" || !secure(u) && (u.Scheme != "http" || c.MetadataCertificate == nil) {
			bad("%s: the metadata URL %q is not https, and no metadata certificate is set", c.ID, c.MetadataURL)
		}
	}
	if c.MaxResponse < 0 || c.MaxNodes < 0 {
		bad("%s: a negative limit", c.ID)
	}
	if !slices.Contains([]Binding{"", BindingRedirect, BindingPOST}, c.Binding) {
		bad("%s: binding %q is not redirect or post", c.ID, c.Binding)
	}
	if !slices.Contains([]SignaturePolicy{"", SignedAssertion, SignedResponse, SignedBoth, SignedEither}, c.Signature) {
		bad("%s: signature %q is not assertion, response, both or either", c.ID, c.Signature)
	}
	if c.ClockSkew < 0 || c.ClockSkew > maxSkew {
		bad("%s: clock skew %s is not between 0 and %s", c.ID, c.ClockSkew, maxSkew)
	}
	if c.SignRequests && len(c.Signing) == 0 {
		bad("%s: a signing key is needed to sign requests", c.ID)
	}
	if c.WantEncrypted && len(c.Decryption) == 0 {
		bad("%s: a decryption key is needed", c.ID)
	}
	for _, k := range c.Signing {
		if !k.usable() {
			bad("%s: a signing key is an RSA key of %d bits or more, with its certificate", c.ID, minRSABits)
		}
	}
	for _, k := range c.Decryption {
		if _, ok := k.Key.(*rsa.PrivateKey); !ok || !k.usable() {
			bad("%s: a decryption key is an RSA key of %d bits or more in memory, with its certificate", c.ID, minRSABits)
		}
	}
	if c.MetadataCertificate != nil && !strong(c.MetadataCertificate) {
		bad("%s: the key of the metadata certificate is too weak", c.ID)
	}
	return errors.Join(errs...)
}

// ServiceProvider is our side of one SAML identity provider. It implements
// [broker.IdentityProvider] and is safe for concurrent use.
type ServiceProvider struct {
	c        Config
	entityID string
	acs, slo string

	mu     sync.RWMutex
	idp    *idp // last good metadata, nil before the first
	status Status
}

// New returns a service provider, or what is wrong with the configuration. It
// does not fetch metadata: call Refresh or Run.
func New(c Config) (*ServiceProvider, error) {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Binding == "" {
		c.Binding = BindingRedirect
	}
	if c.Signature == "" {
		c.Signature = SignedAssertion
	}
	if c.ClockSkew == 0 {
		c.ClockSkew = defaultSkew
	}
	if c.MaxResponse == 0 {
		c.MaxResponse = defaultMaxResponse
	}
	if c.MaxNodes == 0 {
		c.MaxNodes = defaultNodes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	domains := make([]string, len(c.EmailDomains))
	for i, d := range c.EmailDomains {
		domains[i] = strings.ToLower(d)
	}
	c.EmailDomains = domains
	base := c.PublicURL + "/saml/" + string(c.ID)
	return &ServiceProvider{c: c, entityID: base + "/metadata", acs: base + "/acs", slo: base + "/slo"}, nil
}

// Status is what an admin wants to know about an identity provider.
type Status struct {
	EntityID     string
	Certificates []*x509.Certificate
	Refreshed    time.Time     // of the metadata in use; zero if there is none
	Err          error         // of the last refresh
	Skew         time.Duration // their clock minus ours at the last sign-in
	SkewKnown    bool
}

// Status returns the present state.
func (sp *ServiceProvider) Status() Status {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	return sp.status
}

func (sp *ServiceProvider) current() (*idp, error) {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	if sp.idp == nil {
		return nil, broker.Errorf(broker.CodeUnavailable, "The metadata of %s could not be read.", sp.c.ID).
			Fix("Try again in a minute, or choose another identity provider.").Because(sp.status.Err)
	}
	if until := sp.idp.validUntil; !until.IsZero() && !sp.c.Now().Before(until) {
		return nil, broker.Errorf(broker.CodeUnavailable, "The metadata of %s has run out.", sp.c.ID).
			Fix("Tell your administrator: the identity provider's metadata must be renewed.").
			Because(fmt.Errorf("saml: validUntil %s", until))
	}
	return sp.idp, nil
}
