package aws

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crewjam/saml"
	"go.yaml.in/yaml/v4"
)

// Sandbox is the default world: five accounts with real IAM trust policies.
//
//go:embed sandbox.yaml
var Sandbox []byte

// World is the AWS that the double plays, as one readable YAML file.
type World struct {
	Accounts []Account `yaml:"accounts"`
}

// Account is an AWS account.
type Account struct {
	ID              string         `yaml:"id"`
	Partition       string         `yaml:"partition,omitempty"` // default aws
	SAMLProviders   []SAMLProvider `yaml:"saml_providers,omitempty"`
	OIDCProviders   []OIDCProvider `yaml:"oidc_providers,omitempty"`
	Roles           []Role         `yaml:"roles"`
	DisabledRegions []string       `yaml:"disabled_regions,omitempty"`
}

// SAMLProvider is an IAM SAML provider; its metadata may be put later.
type SAMLProvider struct {
	Name     string `yaml:"name"`
	Metadata string `yaml:"metadata,omitempty"`
	// Encryption is IAM's AssertionEncryptionMode: "", Allowed or Required.
	Encryption string `yaml:"encryption,omitempty"`

	entityID     string
	certificates []*x509.Certificate
	privateKeys  int // how many were added
}

// OIDCProvider is an IAM OIDC provider.
type OIDCProvider struct {
	URL       string   `yaml:"url"`
	ClientIDs []string `yaml:"client_ids"`
	// Thumbprints are counted and not used: the double's issuers have
	// certificates that its HTTP client trusts.
	Thumbprints []string `yaml:"thumbprints,omitempty"`
}

// Role is an IAM role.
type Role struct {
	Name               string `yaml:"name"`
	Path               string `yaml:"path,omitempty"` // default /
	MaxSessionDuration int    `yaml:"max_session_duration,omitempty"`
	TrustPolicy        string `yaml:"trust_policy"` // IAM JSON

	id     string
	policy policy
	inline map[string]policy // by name
}

// Options of a double.
type Options struct {
	World      []byte           // YAML; nil: [Sandbox]
	Now        func() time.Time // nil: time.Now
	HTTP       *http.Client     // for discovery and JWKS of OIDC issuers
	Trail      io.Writer        // CloudTrail-like JSON lines; nil: none
	SignInURL  string           // own address of the sign-in handler
	ConsoleURL string           // own address of the console handler
	Region     string           // of the STS endpoint; default us-east-1

	// SwitchOff names checks that are not made. Only tests of the double
	// itself use it.
	SwitchOff []string
}

// AWS is the double. It is safe for concurrent use.
type AWS struct {
	o   Options
	off map[string]bool
	mac []byte // signs session tokens

	mu       sync.Mutex
	world    World
	sessions map[string]*session // by access key
	signIns  map[string]*signIn  // by token
	keys     map[string]cachedKeys
}

// New returns a double, or what is wrong with its world.
func New(o Options) (*AWS, error) {
	if o.World == nil {
		o.World = Sandbox
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	a := &AWS{o: o, off: map[string]bool{}, mac: make([]byte, 32), sessions: map[string]*session{}, signIns: map[string]*signIn{}, keys: map[string]cachedKeys{}}
	if _, err := rand.Read(a.mac); err != nil {
		return nil, fmt.Errorf("aws: random: %w", err)
	}
	for _, id := range o.SwitchOff {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.ID == id }) {
			return nil, fmt.Errorf("aws: there is no check %q", id)
		}
		a.off[id] = true
	}
	if err := yaml.Load(o.World, &a.world, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("aws: world: %w", err)
	}
	var errs []error
	for i := range a.world.Accounts {
		errs = append(errs, a.setUp(&a.world.Accounts[i]))
	}
	return a, errors.Join(errs...)
}

var (
	accountPattern    = regexp.MustCompile(`^[0-9]{12}$`)
	providerPattern   = regexp.MustCompile(`^[\w._-]{1,128}$`)
	thumbprintPattern = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)
	rolePattern       = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
)

func (a *AWS) setUp(acc *Account) error {
	if !accountPattern.MatchString(acc.ID) {
		return fmt.Errorf("aws: account %q", acc.ID)
	}
	if acc.Partition == "" {
		acc.Partition = "aws"
	}
	var errs []error
	for i := range acc.SAMLProviders {
		p := &acc.SAMLProviders[i]
		if !slices.Contains([]string{"", "Allowed", "Required"}, p.Encryption) {
			errs = append(errs, fmt.Errorf("aws: encryption mode %q of %s", p.Encryption, p.Name))
		}
		errs = append(errs, a.need("setup.provider_name", providerPattern.MatchString(p.Name), refuse("InvalidInput", "provider name %q", p.Name)))
		if p.Metadata != "" {
			errs = append(errs, a.put(p, []byte(p.Metadata)))
		}
	}
	for _, p := range acc.OIDCProviders {
		errs = append(errs, a.checkOIDCProvider(p))
	}
	for i := range acc.Roles {
		r := &acc.Roles[i]
		if r.Path == "" {
			r.Path = "/"
		}
		if r.MaxSessionDuration == 0 {
			r.MaxSessionDuration = 3600
		}
		sum := sha256.Sum256([]byte(acc.ID + r.Path + r.Name))
		r.id = "AROA" + strings.ToUpper(hex.EncodeToString(sum[:]))[:17]
		p, err := parseTrustPolicy(r.TrustPolicy)
		if err != nil || !rolePattern.MatchString(r.Name) || r.MaxSessionDuration < 3600 || r.MaxSessionDuration > 43200 {
			errs = append(errs, fmt.Errorf("aws: role %s in %s: bad name, duration or trust policy: %w", r.Name, acc.ID, err))
		}
		r.policy = p
	}
	return errors.Join(errs...)
}

func (a *AWS) checkOIDCProvider(p OIDCProvider) error {
	u, err := url.Parse(p.URL)
	ok := err == nil && u.Scheme == "https" && u.Host != "" && u.RawQuery == "" && u.Port() == "" && len(p.URL) <= 255
	ids := len(p.ClientIDs) >= 1 && len(p.ClientIDs) <= 100 && !slices.ContainsFunc(p.ClientIDs, func(s string) bool { return s == "" || len(s) > 255 })
	prints := len(p.Thumbprints) <= 5 && !slices.ContainsFunc(p.Thumbprints, func(s string) bool { return !thumbprintPattern.MatchString(s) })
	return first(
		a.need("setup.thumbprints", prints, refuse("InvalidInput", "thumbprints of %q", p.URL)),
		a.need("setup.oidc_url", ok, refuse("InvalidInput", "OIDC provider URL %q", p.URL)),
		a.need("setup.client_ids", ids, refuse("InvalidInput", "client ids of %q", p.URL)),
	)
}

// PutSAMLProvider is CreateSAMLProvider and UpdateSAMLProvider: it registers
// metadata under the name in the account.
func (a *AWS) PutSAMLProvider(account, name string, metadata []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.need("setup.provider_name", providerPattern.MatchString(name), refuse("InvalidInput", "provider name %q", name)); err != nil {
		return err
	}
	acc := a.account(account)
	if acc == nil {
		return fmt.Errorf("aws: no account %s", account)
	}
	i := slices.IndexFunc(acc.SAMLProviders, func(p SAMLProvider) bool { return p.Name == name })
	if i < 0 {
		acc.SAMLProviders = append(acc.SAMLProviders, SAMLProvider{Name: name})
		i = len(acc.SAMLProviders) - 1
	}
	return a.put(&acc.SAMLProviders[i], metadata)
}

// AddPrivateKey is UpdateSAMLProvider with AddPrivateKey: it takes a PEM file
// for the decryption of assertions. The double counts keys and does not decrypt.
func (a *AWS) AddPrivateKey(account, name string, key []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.account(account)
	if acc == nil {
		return fmt.Errorf("aws: no account %s", account)
	}
	i := slices.IndexFunc(acc.SAMLProviders, func(p SAMLProvider) bool { return p.Name == name })
	if i < 0 {
		return fmt.Errorf("aws: no SAML provider %s in %s", name, account)
	}
	p := &acc.SAMLProviders[i]
	block, _ := pem.Decode(key)
	if err := a.need("setup.private_keys", block != nil && len(key) <= 16384 && p.privateKeys < 2, refuse("InvalidInput", "private keys of %s", name)); err != nil {
		return err
	}
	p.privateKeys++
	return nil
}

// PutSAMLMetadata registers metadata in every SAML provider of the name.
func (a *AWS) PutSAMLMetadata(name string, metadata []byte) error {
	var errs []error
	for _, acc := range a.world.Accounts {
		if slices.ContainsFunc(acc.SAMLProviders, func(p SAMLProvider) bool { return p.Name == name }) {
			errs = append(errs, a.PutSAMLProvider(acc.ID, name, metadata))
		}
	}
	return errors.Join(errs...)
}

func (a *AWS) put(p *SAMLProvider, metadata []byte) error {
	err := first(
		a.need("setup.metadata_length", len(metadata) >= 1000 && len(metadata) <= 10000000, refuse("ValidationError", "metadata of %d characters", len(metadata))),
		a.need("setup.metadata_bom", !bytes.HasPrefix(metadata, []byte("\xef\xbb\xbf")), refuse("InvalidInput", "metadata with a byte order mark")),
	)
	if err != nil {
		return err
	}
	var d saml.EntityDescriptor
	err = xml.Unmarshal(bytes.TrimPrefix(metadata, []byte("\xef\xbb\xbf")), &d)
	if err := a.need("setup.metadata_xml", err == nil && d.EntityID != "" && len(d.IDPSSODescriptors) == 1, refuse("InvalidInput", "Unable to parse metadata")); err != nil {
		return err
	}
	var certs []*x509.Certificate
	good := true
	for _, idp := range d.IDPSSODescriptors {
		for _, k := range idp.KeyDescriptors {
			for _, c := range k.KeyInfo.X509Data.X509Certificates {
				cert, err := certificate(c.Data)
				if err != nil || keyBits(cert) < 1024 {
					good = false
					continue
				}
				certs = append(certs, cert)
			}
		}
	}
	if err := a.need("setup.metadata_key", good && len(certs) >= 1 && len(certs) <= 10, refuse("InvalidInput", "signing certificates in the metadata")); err != nil {
		return err
	}
	p.entityID, p.certificates, p.Metadata = d.EntityID, certs, string(metadata)
	return nil
}

func certificate(data string) (*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *AWS) account(id string) *Account {
	for i := range a.world.Accounts {
		if a.world.Accounts[i].ID == id {
			return &a.world.Accounts[i]
		}
	}
	return nil
}

// arn is a parsed ARN of an IAM object.
type arn struct{ partition, account, kind, path, name string }

var arnPattern = regexp.MustCompile(`^arn:([a-z-]+):iam::([0-9]{12}):(role|saml-provider|oidc-provider)/(.*)$`)

func parseARN(s string) (arn, bool) {
	m := arnPattern.FindStringSubmatch(s)
	if m == nil || m[4] == "" {
		return arn{}, false
	}
	i := strings.LastIndexByte(m[4], '/') + 1
	return arn{partition: m[1], account: m[2], kind: m[3], path: "/" + m[4][:i], name: m[4][i:]}, true
}

// role finds a role by exact path and name.
func (acc *Account) role(r arn) *Role {
	if acc == nil {
		return nil
	}
	for i := range acc.Roles {
		if acc.Roles[i].Name == r.name && acc.Roles[i].Path == r.path && acc.Partition == r.partition {
			return &acc.Roles[i]
		}
	}
	return nil
}
