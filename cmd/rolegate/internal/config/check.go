package config

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
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

// check holds everything that the types do not.
func (c *Config) check() Problems {
	var ps Problems
	bad := func(path, format string, args ...any) { ps = append(ps, c.problem(path, format, args...)) }
	c.checkServer(bad)
	c.checkProviders(bad)
	c.checkAWS(bad)
	e, err := mapping.New(c.Mapping())
	c.engine = e
	return append(ps, c.mappingProblems(err)...)
}

type badFunc func(path, format string, args ...any)

func (c *Config) checkServer(bad badFunc) {
	u, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		bad("public_url", "it is missing: write the address people use, like https://sso.example.com")
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		bad("public_url", "%q is not https://host, without a path", c.PublicURL)
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		bad("public_url", "%q must be https; plain http is for loopback names only", c.PublicURL)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen", "%q is not ADDRESS:PORT", c.Listen)
	}
	if c.Metrics.Listen != "" {
		if _, _, err := net.SplitHostPort(c.Metrics.Listen); err != nil {
			bad("metrics.listen", "%q is not ADDRESS:PORT", c.Metrics.Listen)
		}
		if c.Metrics.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
			bad("metrics.listen", "%s is where people are served: metrics need a listener of their own", c.Listen)
		}
	}
	c.checkStore(bad)
	if c.TLS != nil && (c.TLS.CertFile == "" || c.TLS.KeyFile == "") {
		bad("tls", "cert_file and key_file are both needed")
	}
	if _, err := c.Proxies(); err != nil {
		bad("trusted_proxies", "%v", err)
	}
	if c.Session.Idle > c.Session.Absolute {
		bad("session.idle", "idle is longer than absolute")
	}
	if time.Duration(c.Session.Idle) < time.Minute {
		bad("session.idle", "a session lasts a minute at least")
	}
	c.checkSession(bad)
	for _, l := range c.limits() {
		if l.set != nil && (l.set.Address < 0 || l.set.Account < 0) {
			bad("limits."+l.key, "a limit is not negative; insecure_no_rate_limits switches all off")
		}
		if per := time.Duration(0); l.set != nil && l.set.Per != 0 {
			if per = time.Duration(l.set.Per); per < 10*time.Second || per > time.Hour {
				bad("limits."+l.key+".per", "%s is not between 10s and 1h", per)
			}
		}
	}
	if c.Outbound.CAFile != "" && !c.detached {
		if _, err := os.Stat(c.Path(c.Outbound.CAFile)); err != nil {
			bad("outbound.ca_file", "%v", err)
		}
	}
}

func (c *Config) checkStore(bad badFunc) {
	if !c.SharedStore() {
		if path, ok := strings.CutPrefix(c.Store, "sqlite:"); !ok || path == "" {
			shown := c.Store
			if strings.Contains(shown, "@") { // there may be a password in it
				shown = "the value"
			}
			bad("store", "%q is not sqlite:FILE or postgres://USER@HOST/DATABASE", shown)
		}
		if c.StorePassword != "" || c.StorePasswordFile != "" || c.StoreConnections != 0 || c.StorePooler != "" || c.InsecureStoreTLS {
			bad("store", "the other store settings are for postgres:// only")
		}
		return
	}
	oneOf(bad, "store_pooler", c.StorePooler, "", "none", "transaction")
	if c.StoreConnections < 0 || c.StoreConnections > 1000 {
		bad("store_connections", "%d is not between 1 and 1000", c.StoreConnections)
	}
	if c.StorePassword != "" && !strings.HasPrefix(c.StorePassword, "env:") {
		bad("store_password", "a password does not belong in this file: write env:NAME, or use store_password_file")
		return
	}
	if c.StorePassword != "" && c.StorePasswordFile != "" {
		bad("store_password", "one of store_password_file and store_password (env:NAME) is enough")
		return
	}
	if c.detached {
		return // its password would be read
	}
	sc, err := c.StoreConfig()
	if err != nil {
		bad("store", "%v", err)
		return
	}
	if err := sc.Validate(); err != nil {
		bad("store", "%s %s", broker.Message(err), broker.Remedy(err))
	}
}

func (c *Config) checkSession(bad badFunc) {
	if _, err := time.Parse("15:04", c.Session.DayEnd); c.Session.DayEnd != "" && (err != nil || len(c.Session.DayEnd) != 5) {
		bad("session.day_end", "%q is no time of day: write it like 19:00", c.Session.DayEnd)
	}
	switch zone, err := time.LoadLocation(c.Session.TimeZone); {
	case c.Session.DayEnd == "" && c.Session.TimeZone != "":
		bad("session.time_zone", "it says nothing without day_end")
	case c.Session.DayEnd != "" && c.Session.TimeZone == "":
		bad("session.day_end", "time_zone must say by which clocks, like Europe/Berlin")
	case err != nil || zone == time.Local:
		bad("session.time_zone", "%q is not the name of a time zone, as in Europe/Berlin", c.Session.TimeZone)
	}
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// Proxies returns the networks of trusted_proxies.
func (c *Config) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

func (c *Config) checkProviders(bad badFunc) {
	if len(c.IdentityProviders) == 0 {
		bad("identity_providers", "at least one is needed")
	}
	domains := map[string]string{}
	for i, p := range c.IdentityProviders {
		at := index("identity_providers", i)
		if !idPattern.MatchString(p.ID) {
			bad(at+".id", "%q: lower-case letters, digits and hyphens are needed", p.ID)
		}
		for j, d := range p.EmailDomains {
			if other, taken := domains[strings.ToLower(d)]; taken {
				bad(index(at+".email_domains", j), "%s already leads to %s", d, other)
			}
			domains[strings.ToLower(d)] = p.ID
		}
		if p.EmailAuthoritative && len(p.EmailDomains) == 0 {
			bad(at+".email_authoritative", "email_domains must say for which domains")
		}
		switch {
		case (p.SAML == nil) == (p.OIDC == nil):
			bad(at, "one of saml and oidc is needed")
		case p.SAML != nil:
			c.checkSAML(bad, at+".saml", p.SAML)
		default:
			c.checkOIDC(bad, at+".oidc", p.OIDC)
		}
		checkMFA(bad, at+".mfa", p)
	}
}

func index(path string, i int) string { return path + "[" + itoa(i) + "]" }

func (c *Config) checkSAML(bad badFunc, at string, s *SAML) {
	if (s.MetadataURL == "") == (s.MetadataFile == "") {
		bad(at, "one of metadata_url and metadata_file is needed")
	}
	if s.MetadataURL != "" {
		checkURL(bad, at+".metadata_url", s.MetadataURL, false)
	}
	for key, path := range map[string]string{"metadata_file": s.MetadataFile, "metadata_certificate_file": s.MetadataCertificateFile} {
		if path == "" || c.detached {
			continue
		}
		if _, err := os.Stat(c.Path(path)); err != nil {
			bad(at+"."+key, "%v", err)
		}
	}
	oneOf(bad, at+".binding", s.Binding, "", "redirect", "post")
	for i, o := range s.FormOrigins {
		checkOrigin(bad, index(at+".form_origins", i), o)
	}
	oneOf(bad, at+".signature", s.Signature, "", "assertion", "response", "both", "either")
	if s.ClockSkew > Duration(5*time.Minute) {
		bad(at+".clock_skew", "%s is too long: 5m at most; mend the clocks", time.Duration(s.ClockSkew))
	}
	if s.MaxResponse < 0 || s.MaxResponse > 1<<20 {
		bad(at+".max_response", "%d is not between 1 and %d", s.MaxResponse, 1<<20)
	}
}

func (c *Config) checkOIDC(bad badFunc, at string, o *OIDC) {
	if o.Issuer == "" || o.ClientID == "" {
		bad(at, "issuer and client_id are needed")
	}
	if o.Issuer != "" {
		checkURL(bad, at+".issuer", o.Issuer, o.InsecureHTTP)
	}
	ways := 0
	for _, set := range []bool{o.ClientSecret != "", o.ClientSecretFile != "", o.PrivateKeyJWT} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		bad(at, "one of client_secret_file, client_secret (env:NAME) and private_key_jwt is needed")
	}
	if o.ClientSecret != "" && !strings.HasPrefix(o.ClientSecret, "env:") {
		bad(at+".client_secret", "a secret does not belong in this file: write env:NAME, or use client_secret_file")
		return
	}
	if ways == 1 && !o.PrivateKeyJWT && !c.detached {
		if _, err := c.ClientSecret(o); err != nil {
			bad(at, "%v", err)
		}
	}
	if len(o.Scopes) > 0 && !slices.Contains(o.Scopes, "openid") {
		bad(at+".scopes", "openid is missing")
	}
}

func (c *Config) checkAWS(bad badFunc) {
	if u, err := url.Parse(c.AWS.OIDC.Issuer); c.usesOIDC() && (err != nil || u.Scheme != "https" || u.Port() != "" || u.RawQuery != "" || u.Fragment != "" || u.Host == "") {
		bad("aws.oidc.issuer", "%q is not https without a port: IAM takes nothing else", c.AWS.OIDC.Issuer)
	}
	for name := range c.AWS.Partitions {
		if !slices.Contains(broker.Partitions(), broker.Partition(name)) {
			bad("aws.partitions."+name, "no such partition: aws, aws-us-gov, aws-cn or aws-eusc")
		}
	}
	if e := c.InsecureAWSEndpoints; e != nil {
		for key, s := range map[string]string{"sts": e.STS, "signin": e.SignIn, "console": e.Console} {
			if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || u.Path != "") {
				bad("insecure_aws_endpoints."+key, "%q is not scheme://host:port", s)
			}
		}
	}
}

func (c *Config) usesOIDC() bool {
	return slices.ContainsFunc(c.Roles, func(r Role) bool { return r.Via == string(broker.ViaOIDC) })
}

func checkURL(bad badFunc, path, s string, http bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		bad(path, "%q is no address", s)
		return
	}
	if u.Scheme == "http" && !http && !loopback(u.Hostname()) {
		bad(path, "%q must be https", s)
	}
}

// checkOrigin takes one origin, written as browsers write it, and no pattern: it
// goes into the policy of a page that carries the person's sign-in.
func checkOrigin(bad badFunc, path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) || s != u.Scheme+"://"+u.Host || !originHost.MatchString(u.Host) {
		bad(path, "%q is no origin: write it like https://login.example.com, without a path or a wildcard", s)
	}
}

var originHost = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(:[0-9]{1,5})?$`)

func oneOf(bad badFunc, path, v string, allowed ...string) {
	if slices.Contains(allowed, v) {
		return
	}
	text := strings.Join(slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" }), ", ")
	if near := broker.Nearest(v, allowed); near != "" {
		bad(path, "%q is not one of %s (did you mean %q?)", v, text, near)
		return
	}
	bad(path, "%q is not one of %s", v, text)
}

// Path returns p, relative to the file's folder.
func (c *Config) Path(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}
