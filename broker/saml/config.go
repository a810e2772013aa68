package saml

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
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
	IDPEntityID         string            // picks one out of an EntitiesDescriptor, and refuses metadata of another
	MetadataCertificate *x509.Certificate // if set, metadata must be signed by it
	SignRequests        bool
	WantEncrypted       bool    // refuse plain assertions
	IDPInitiated        bool    // also take answers to no request
	InsecureExpired     bool    // take signatures by certificates that have ended, or not begun
	InsecureAllowCBC    bool    // also decrypt AES-CBC, which is malleable
	TrustInstant        bool    // AuthnInstant is when the person signed in, also where that was not asked for
	Binding             Binding // default: what the metadata offers, redirect first
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
	Changed             func(broker.ProviderStatus) // told when it is up or down since the last refresh; may be nil
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
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && broker.Loopback(u.Hostname()))
}

// Validate lists what is wrong with the settings, as [broker.Problems]. What the
// program adds to them (keys, the HTTP client) is looked at by [New].
func (c Config) Validate() error { return c.settings().Err() }

func (c Config) settings() broker.Problems {
	var ps broker.Problems
	if err := c.ID.Check(); err != nil {
		ps.Add("ID", "%v", err)
	}
	if _, err := broker.ParsePublicURL(c.PublicURL); err != nil {
		ps.Add("PublicURL", "%v", err)
	}
	if (c.MetadataURL == "") == (c.MetadataFile == "") {
		ps.Add("", "one of metadata_url and metadata_file is needed")
	}
	if c.MetadataURL != "" {
		c.metadataURL(&ps)
	}
	if c.MetadataCertificate != nil && !strong(c.MetadataCertificate) {
		ps.Add("MetadataCertificate", "the key of this certificate is too weak")
	}
	if c.Binding != "" {
		ps.OneOf("Binding", string(c.Binding), string(BindingRedirect), string(BindingPOST))
	}
	if c.Signature != "" {
		ps.OneOf("Signature", string(c.Signature), string(SignedAssertion), string(SignedResponse), string(SignedBoth), string(SignedEither))
	}
	if c.ClockSkew < 0 || c.ClockSkew > maxSkew {
		ps.Add("ClockSkew", "%s is too long: 5m at most; mend the clocks", c.ClockSkew)
	}
	if c.MaxResponse < 0 {
		ps.Add("MaxResponse", "%d is negative", c.MaxResponse)
	}
	return ps
}

// metadataURL holds that nobody on the way can change metadata: who could would
// sign in as anybody. Signed metadata may come over plain http.
func (c Config) metadataURL(ps *broker.Problems) {
	u, err := url.Parse(c.MetadataURL)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		ps.Add("MetadataURL", "%q is no address", broker.RedactURL(c.MetadataURL))
	case u.User != nil:
		ps.Add("MetadataURL", "%q has a user name or password in it: metadata is public, so fetch it without", broker.RedactURL(c.MetadataURL))
	case !secure(u) && c.MetadataCertificate == nil:
		ps.Add("MetadataURL", "%q must be https, or metadata_certificate_file must say which certificate signs the metadata", broker.RedactURL(c.MetadataURL))
	}
}

// parts lists what is wrong with what the program adds to the settings.
func (c Config) parts() broker.Problems {
	var ps broker.Problems
	if c.MetadataURL != "" && c.HTTP == nil {
		ps.Add("HTTP", "an HTTP client is needed")
	}
	if c.MaxNodes < 0 {
		ps.Add("MaxNodes", "%d is negative", c.MaxNodes)
	}
	if c.SignRequests && len(c.Signing) == 0 {
		ps.Add("Signing", "a signing key is needed to sign requests")
	}
	if c.WantEncrypted && len(c.Decryption) == 0 {
		ps.Add("Decryption", "a decryption key is needed")
	}
	for _, k := range c.Signing {
		if !k.usable() {
			ps.Add("Signing", "a signing key is an RSA key of %d bits or more, with its certificate", minRSABits)
		}
	}
	for _, k := range c.Decryption {
		if _, ok := k.Key.(*rsa.PrivateKey); !ok || !k.usable() {
			ps.Add("Decryption", "a decryption key is an RSA key of %d bits or more in memory, with its certificate", minRSABits)
		}
	}
	return ps
}

// ServiceProvider is our side of one SAML identity provider. It implements
// [broker.IdentityProvider] and is safe for concurrent use.
type ServiceProvider struct {
	c        Config
	entityID string
	acs, slo string

	gate          chan struct{} // held while metadata is fetched
	tag, modified string        // ETag and Last-Modified of the last good copy; with the gate

	mu     sync.RWMutex
	idp    *idp          // last good metadata, nil before the first
	tried  time.Time     // the last fetch, good or not
	took   time.Duration // how long it took
	status Status
}

// New returns a service provider, or what is wrong with the configuration. It
// does not fetch metadata: call Refresh or Run.
func New(c Config) (*ServiceProvider, error) {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if err := append(c.settings(), c.parts()...).Err(); err != nil {
		return nil, fmt.Errorf("saml: %s: %w", c.ID, err)
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
	return &ServiceProvider{c: c, entityID: base + "/metadata", acs: base + "/acs", slo: base + "/slo", gate: make(chan struct{}, 1)}, nil
}

// Status is what an admin wants to know about an identity provider.
type Status struct {
	EntityID     string
	Certificates []*x509.Certificate
	LeftOut      []string  // what of the metadata cannot be used, and why
	Refreshed    time.Time // of the metadata in use; zero if there is none
	broker.Standing
	Skew      time.Duration // their clock minus ours at the last sign-in
	SkewKnown bool
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
