package config

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
	"github.com/rolegate/rolegate/broker/web/portal"
)

func (c *Config) defaults() {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	for p, d := range map[*string]string{
		&c.Listen: "127.0.0.1:8080", &c.Store: "sqlite:rolegate.db", &c.Keys.Dir: "certs", &c.AWS.OIDC.Issuer: c.PublicURL,
	} {
		if *p == "" {
			*p = d
		}
	}
	if c.Session.Idle == 0 {
		c.Session.Idle = Duration(broker.DefaultSessionLimits.Idle)
	}
	if c.Session.Absolute == 0 {
		c.Session.Absolute = Duration(broker.DefaultSessionLimits.Absolute)
	}
	for i := range c.IdentityProviders {
		if p := &c.IdentityProviders[i]; p.Name == "" {
			p.Name = p.ID
		}
	}
	for i := range c.Accounts {
		if a := &c.Accounts[i]; a.Partition == "" {
			a.Partition = string(broker.PartitionAWS)
		}
	}
}

// checker gathers what is wrong.
type checker struct {
	*Config
	problems, warnings Problems
}

func (c *checker) bad(path, format string, args ...any) {
	c.problems = append(c.problems, c.problem(path, format, args...))
}

func (c *checker) warn(path, format string, args ...any) {
	c.warnings = append(c.warnings, c.problem(path, format, args...))
}

// adapter takes what an adapter says of its settings.
func (c *checker) adapter(err error, below string, places map[string]string) {
	c.problems = append(c.problems, c.problemsOf(err, below, places)...)
}

// check holds everything that the types do not: the rules of the adapters, which
// each of them has, and those of the file.
func (c *Config) check(ctx context.Context) (problems, warnings Problems) {
	x := &checker{Config: c}
	x.server()
	x.store()
	x.session()
	x.limitations()
	x.providers()
	x.accounts()
	x.adapter(c.IssuerConfig().Validate(), "", issuerPlaces())
	x.adapter(c.FederationConfig().Validate(), "", federationPlaces())
	x.adapter(c.PasskeysConfig().Validate(), "", passkeysPlaces())
	if err := c.FederationConfig().Validate(); err == nil { // or it would say the same of the endpoints
		pages := c.WebConfig()
		pages.IdPOrigins = nil // judged with their providers, more strictly
		x.adapter(pages.Validate(), "", webPlaces())
	}
	e, err := mapping.NewContext(ctx, c.mapping())
	x.adapter(err, "", nil)
	if err == nil {
		c.engine = e
		x.warnings = append(x.warnings, c.problemsOf(e.Warnings().Err(), "", nil)...)
	}
	x.tls()
	x.keys()
	return x.problems, x.warnings
}

type badFunc func(path, format string, args ...any)

func (c *checker) server() {
	for _, l := range []struct{ key, address string }{{"listen", c.Listen}, {"metrics.listen", c.Metrics.Listen}} {
		_, port, err := net.SplitHostPort(l.address)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil && l.address != "" {
			c.bad(l.key, "%q is not ADDRESS:PORT", broker.RedactURL(l.address))
		}
	}
	if c.Metrics.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		c.bad("metrics.listen", "%s is where people are served: metrics need a listener of their own", c.Listen)
	}
	if _, err := c.Proxies(); err != nil {
		c.bad("trusted_proxies", "%v", err)
	}
	if c.file("outbound.ca_file", c.Outbound.CAFile, public) {
		if _, err := c.Certificates(); err != nil {
			c.bad("outbound.ca_file", "%v", err)
		}
	}
	if keep := time.Duration(c.Events.Keep); keep != 0 && keep < 24*time.Hour {
		c.bad("events.keep", "%s is less than a day; leave it out to keep events for ever", keep)
	}
}

func (c *checker) limitations() {
	for _, l := range c.limits() {
		if l.set != nil && (l.set.Address < 0 || l.set.Account < 0) {
			c.bad("limits."+l.key, "a limit is not negative; insecure_no_rate_limits switches all off")
		}
		if per := time.Duration(0); l.set != nil && l.set.Per != 0 {
			if per = time.Duration(l.set.Per); per < 10*time.Second || per > time.Hour {
				c.bad("limits."+l.key+".per", "%s is not between 10s and 1h", per)
			}
		}
	}
}

func (c *checker) store() {
	if !c.SharedStore() && (c.StorePassword != "" || c.StorePasswordFile != "" || c.StoreConnections != 0 || c.StorePooler != "" || c.InsecureStoreTLS) {
		c.bad("store", "the other store settings are for postgres:// only")
		return
	}
	oneOf(c.bad, "store_pooler", c.StorePooler, "none", "transaction")
	if c.StoreConnections < 0 || c.StoreConnections > 1000 {
		c.bad("store_connections", "%d is not between 1 and 1000", c.StoreConnections)
	}
	c.storePassword()
	if c.detached && c.SharedStore() {
		return // files that it names would be read
	}
	if err := c.storeAddress().Validate(); err != nil {
		c.bad("store", "%s", plain(err))
		return
	}
	c.storeFile()
}

func (c *checker) storePassword() {
	switch {
	case c.StorePassword != "" && !strings.HasPrefix(c.StorePassword, "env:"):
		c.bad("store_password", "a password does not belong in this file: write env:NAME, or use store_password_file")
	case c.StorePassword != "" && c.StorePasswordFile != "":
		c.bad("store_password", "one of store_password_file and store_password (env:NAME) is enough")
	case c.StorePasswordFile != "":
		c.secretFile("store_password_file", c.StorePasswordFile)
	case c.StorePassword != "" && !c.detached:
		if _, err := c.secret(c.StorePassword, "", ""); err != nil {
			c.bad("store_password", "%v", err)
		}
	}
}

func (c *checker) session() {
	if c.Session.Idle > c.Session.Absolute {
		c.bad("session.idle", "idle is longer than absolute")
	}
	if time.Duration(c.Session.Idle) < time.Minute {
		c.bad("session.idle", "a session lasts a minute at least")
	}
	if _, err := time.Parse("15:04", c.Session.DayEnd); c.Session.DayEnd != "" && (err != nil || len(c.Session.DayEnd) != 5) {
		c.bad("session.day_end", "%q is no time of day: write it like 19:00", c.Session.DayEnd)
	}
	switch zone, err := time.LoadLocation(c.Session.TimeZone); {
	case c.Session.DayEnd == "" && c.Session.TimeZone != "":
		c.bad("session.time_zone", "it says nothing without day_end")
	case c.Session.DayEnd != "" && c.Session.TimeZone == "":
		c.bad("session.day_end", "time_zone must say by which clocks, like Europe/Berlin")
	case err != nil || zone == time.Local:
		c.bad("session.time_zone", "%q is not the name of a time zone, as in Europe/Berlin", c.Session.TimeZone)
	}
}

// Proxies returns the networks of trusted_proxies.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return nil, fmt.Errorf("%q is neither a network, like 10.0.0.0/8, nor an address", broker.RedactURL(s))
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

// Partitions lists the partitions of the accounts.
func (c *Config) Partitions() []broker.Partition {
	var out []broker.Partition
	for _, a := range c.Accounts {
		if p := broker.Partition(a.Partition); !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (c *checker) providers() {
	if len(c.IdentityProviders) == 0 {
		c.bad("identity_providers", "at least one is needed")
	}
	domains := map[string]string{}
	for i, p := range c.IdentityProviders {
		at := index("identity_providers", i)
		for j, d := range p.EmailDomains {
			if other, taken := domains[strings.ToLower(d)]; taken {
				c.bad(index(at+".email_domains", j), "%s already leads to %s", d, other)
			}
			domains[strings.ToLower(d)] = p.ID
		}
		if p.EmailAuthoritative && len(p.EmailDomains) == 0 {
			c.bad(at+".email_authoritative", "email_domains must say for which domains")
		}
		switch {
		case (p.SAML == nil) == (p.OIDC == nil):
			c.bad(at, "one of saml and oidc is needed")
		case p.SAML != nil:
			c.saml(at, p)
		default:
			c.oidc(at, p)
		}
		checkMFA(c.bad, at+".mfa", p)
	}
}

func index(path string, i int) string { return path + "[" + itoa(i) + "]" }

// maxResponse is the largest form that the pages read.
const maxResponse = 1 << 20

func (c *checker) saml(at string, p IdentityProvider) {
	c.file(at+".saml.metadata_file", p.SAML.MetadataFile, public)
	certificate := at + ".saml.metadata_certificate_file"
	there := c.file(certificate, p.SAML.MetadataCertificateFile, public)
	settings, err := c.SAMLConfig(p)
	if err != nil && there {
		c.bad(certificate, "%v", err)
	}
	if p.SAML.MetadataCertificateFile != "" && settings.MetadataCertificate == nil {
		// Whether the way may be open depends on a certificate that is not known.
		settings.MetadataURL = strings.Replace(settings.MetadataURL, "http://", "https://", 1)
	}
	c.adapter(settings.Validate(), at, samlPlaces())
	for i, o := range p.SAML.FormOrigins {
		c.origin(index(at+".saml.form_origins", i), o)
	}
	if p.SAML.MaxResponse > maxResponse {
		c.bad(at+".saml.max_response", "%d is more than %d", p.SAML.MaxResponse, maxResponse)
	}
}

func (c *checker) oidc(at string, p IdentityProvider) {
	c.adapter(c.OIDCConfig(p).Validate(), at, oidcPlaces())
	o, ways := p.OIDC, 0
	for _, set := range []bool{o.ClientSecret != "", o.ClientSecretFile != "", o.PrivateKeyJWT} {
		if set {
			ways++
		}
	}
	oneOf(c.bad, at+".oidc.assertion_audience", o.AssertionFor, "issuer", "token_endpoint")
	key := at + ".oidc.client_secret"
	switch {
	case o.ClientAuth == "none" && ways != 0:
		c.bad(at+".oidc", "client_auth none is for a client that has no secret and no key")
	case o.ClientAuth == "private_key_jwt" && !o.PrivateKeyJWT, o.PrivateKeyJWT && o.ClientAuth != "" && o.ClientAuth != "private_key_jwt":
		c.bad(at+".oidc", "client_auth private_key_jwt and private_key_jwt: true go together")
	case o.ClientAuth != "none" && ways != 1:
		c.bad(at+".oidc", "one of client_secret_file, client_secret (env:NAME) and private_key_jwt is needed")
	}
	switch {
	case o.ClientSecret != "" && !strings.HasPrefix(o.ClientSecret, "env:"):
		c.bad(key, "a secret does not belong in this file: write env:NAME, or use client_secret_file")
	case ways != 1: // it was said
	case o.ClientSecretFile != "":
		c.secretFile(key+"_file", o.ClientSecretFile)
	case o.ClientSecret != "" && !c.detached:
		if _, err := c.ClientSecret(o); err != nil {
			c.bad(key, "%v", err)
		}
	}
}

func (c *checker) accounts() {
	for i, a := range c.Accounts {
		oneOf(c.bad, index("accounts", i)+".color", a.Color, portal.Colors()...)
	}
}

// origin takes one origin, written as browsers write it, and no pattern: it goes
// into the policy of a page that carries the person's sign-in.
func (c *checker) origin(path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !broker.Loopback(u.Hostname())) || s != u.Scheme+"://"+u.Host || !originHost.MatchString(u.Host) {
		c.bad(path, "%q is no origin: write it like https://login.example.com, without a path or a wildcard", broker.RedactURL(s))
	}
}

var originHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

// oneOf takes "", which means the default, and what is allowed.
func oneOf(bad badFunc, path, v string, allowed ...string) {
	if v == "" {
		return
	}
	var ps broker.Problems
	ps.OneOf(path, v, allowed...)
	for _, p := range ps {
		bad(p.Field, "%s", p.Message)
	}
}

// Path returns p, relative to the file's folder.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}
