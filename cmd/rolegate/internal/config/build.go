package config

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/mapping"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

func itoa(i int) string { return strconv.Itoa(i) }

// Engine returns the compiled rules.
func (c *Config) Engine() *mapping.Engine {
	e, _ := c.engine.(*mapping.Engine)
	return e
}

// File returns the path the configuration was read from.
func (c *Config) File() string { return c.file }

// mapping returns the rules as the mapping package wants them.
func (c *Config) mapping() mapping.Config {
	m := mapping.Config{
		SAMLProviderName: c.AWS.SAML.Provider, OIDCProvider: c.AWS.OIDC.Provider,
		RoleSession:   mapping.RoleSession(c.RoleSession),
		Admins:        mapping.Admins(c.Admins),
		ProviderNames: map[broker.AccountID]mapping.ProviderNames{},
	}
	if m.OIDCProvider == "" {
		m.OIDCProvider = hostAndPath(c.AWS.OIDC.Issuer)
	}
	for _, p := range c.IdentityProviders {
		m.Providers = append(m.Providers, c.mappingProvider(p))
	}
	for _, a := range c.Accounts {
		m.Accounts = append(m.Accounts, broker.Account{
			ID: broker.AccountID(a.ID), Name: a.Name, Partition: broker.Partition(a.Partition), Labels: a.Labels, Color: a.Color, Warning: a.Warning,
		})
		if a.Providers != nil {
			m.ProviderNames[broker.AccountID(a.ID)] = mapping.ProviderNames{SAML: a.Providers.SAML, OIDC: a.Providers.OIDC}
		}
	}
	for _, r := range c.Roles {
		m.Roles = append(m.Roles, mapping.Role{
			Name: r.Name, IAMRole: r.IAMRole, Via: broker.Via(r.Via), MaxDuration: time.Duration(r.MaxDuration),
			Require:     broker.Requirement{MFA: r.Require.MFA, MaxAuthAge: time.Duration(r.Require.MaxAuthAge)},
			SessionTags: r.SessionTags, TransitiveTagKeys: r.TransitiveTagKeys, ProofTags: r.ProofTags, Description: r.Description,
		})
	}
	for _, r := range c.Rules {
		m.Rules = append(m.Rules, mapping.Rule(r))
	}
	return m
}

func (c *Config) mappingProvider(p IdentityProvider) mapping.Provider {
	out := mapping.Provider{
		ID: broker.ProviderID(p.ID), Subject: p.Identity.Subject, Username: p.Identity.Username, Email: p.Identity.Email, Groups: p.Identity.Groups,
		GroupsAbsent: mapping.GroupsAbsent(p.GroupsAbsent), MFA: p.Policy(), InsecureUnverifiedEmail: p.InsecureUnverifiedEmail,
	}
	if p.OIDC != nil {
		out.IDPTokenProviderURL = hostAndPath(p.OIDC.Issuer)
	}
	if p.EmailAuthoritative {
		out.EmailAuthoritativeDomains = p.EmailDomains
	}
	return out
}

// hostAndPath is how IAM names an OIDC provider.
func hostAndPath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Host + strings.TrimSuffix(u.Path, "/")
}

// UsesIDPToken reports whether a role needs the corporate ID token.
func (c *Config) UsesIDPToken() bool {
	for _, r := range c.Roles {
		if r.Via == string(broker.ViaIDPToken) {
			return true
		}
	}
	return false
}

// ClientSecret returns the secret that an OIDC provider refers to.
func (c *Config) ClientSecret(o *OIDC) (broker.Secret, error) {
	return c.secret(o.ClientSecret, "client_secret_file", o.ClientSecretFile)
}

// secret follows a reference: env:NAME, or the file that key names.
func (c *Config) secret(reference, key, file string) (broker.Secret, error) {
	if name, ok := strings.CutPrefix(reference, "env:"); ok {
		v := c.env(name)
		if v == "" {
			return broker.Secret{}, fmt.Errorf("the environment variable %s is not set", name)
		}
		return broker.NewSecret(v), nil
	}
	b, err := os.ReadFile(c.Path(file))
	if err != nil {
		return broker.Secret{}, err
	}
	s := strings.TrimRight(string(b), "\r\n")
	if s == "" {
		return broker.Secret{}, errors.New(key + " is empty")
	}
	return broker.NewSecret(s), nil
}

// SharedStore reports whether the store is one that several nodes may share.
func (c *Config) SharedStore() bool { return strings.HasPrefix(c.Store, "postgres://") }

// StoreFile returns the path of the SQLite file, "" if there is none.
func (c *Config) StoreFile() string {
	path, ok := strings.CutPrefix(c.Store, "sqlite:")
	if !ok {
		return ""
	}
	return c.Path(path)
}

// storeAddress returns how to open the store, without the password.
func (c *Config) storeAddress() sqlstore.Config {
	if path := c.StoreFile(); path != "" {
		return sqlstore.Config{DSN: "sqlite:" + path}
	}
	return sqlstore.Config{
		DSN: c.Store, Connections: c.StoreConnections, TransactionPooling: c.StorePooler == "transaction", InsecureTLS: c.InsecureStoreTLS,
	}
}

// StoreConfig returns how to open the store. It reads the password.
func (c *Config) StoreConfig() (sqlstore.Config, error) {
	sc := c.storeAddress()
	if c.StorePassword == "" && c.StorePasswordFile == "" {
		return sc, nil
	}
	password, err := c.secret(c.StorePassword, "store_password_file", c.StorePasswordFile)
	if err != nil {
		return sc, fmt.Errorf("the store's password: %w", err)
	}
	sc.Password = password
	return sc, nil
}

// Relaxations lists every insecure_… setting that is on, to be shouted at
// start-up.
func (c *Config) Relaxations() []string {
	var out []string
	for _, p := range c.IdentityProviders {
		if p.InsecureUnverifiedEmail {
			out = append(out, "identity provider "+p.ID+": insecure_unverified_email")
		}
		if p.SAML != nil && p.SAML.InsecureExpired {
			out = append(out, "identity provider "+p.ID+": insecure_expired_certificates")
		}
		if p.SAML != nil && p.SAML.InsecureAllowCBC {
			out = append(out, "identity provider "+p.ID+": insecure_allow_cbc")
		}
		if p.OIDC != nil && p.OIDC.InsecureHTTP {
			out = append(out, "identity provider "+p.ID+": insecure_http")
		}
	}
	if c.InsecureStoreTLS {
		out = append(out, "insecure_store_tls: another server may answer for the database")
	}
	if c.InsecureNoRateLimits {
		out = append(out, "insecure_no_rate_limits: nobody is slowed down")
	}
	if c.InsecureAWSEndpoints != nil {
		out = append(out, "insecure_aws_endpoints: this is not AWS")
	}
	return out
}

// SessionLimits returns how long sessions last.
func (c *Config) SessionLimits() broker.SessionLimits {
	l := broker.SessionLimits{Idle: time.Duration(c.Session.Idle), Absolute: time.Duration(c.Session.Absolute)}
	if at, err := time.Parse("15:04", c.Session.DayEnd); err == nil {
		if l.Zone, err = time.LoadLocation(c.Session.TimeZone); err == nil {
			l.DayEnd = time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
		}
	}
	return l
}

// limits returns each configured limit with its key and kind.
func (c *Config) limits() []struct {
	key  string
	kind limit.Kind
	set  *Limit
} {
	return []struct {
		key  string
		kind limit.Kind
		set  *Limit
	}{
		{"sign_in", limit.SignIn, c.Limits.SignIn}, {"sign_in_finish", limit.SignInFinish, c.Limits.SignInFinish},
		{"credentials", limit.Credentials, c.Limits.Credentials}, {"device", limit.Device, c.Limits.Device},
		{"requests", limit.Requests, c.Limits.Requests},
	}
}

// RateLimits returns the defaults with what is configured over them, nil when
// they are switched off.
func (c *Config) RateLimits() map[limit.Kind]limit.Rate {
	if c.InsecureNoRateLimits {
		return nil
	}
	out := limit.Defaults()
	for _, l := range c.limits() {
		if l.set == nil {
			continue
		}
		x := out[l.kind]
		x.Address, x.Account, x.Per = cmp.Or(l.set.Address, x.Address), cmp.Or(l.set.Account, x.Account), cmp.Or(time.Duration(l.set.Per), x.Per)
		out[l.kind] = x
	}
	return out
}

// Certificate reads the one certificate of a PEM file.
func Certificate(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it holds no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// HasProvider reports whether there is an identity provider of this id.
func (c *Config) HasProvider(id string) bool {
	return slices.ContainsFunc(c.IdentityProviders, func(p IdentityProvider) bool { return p.ID == id })
}
