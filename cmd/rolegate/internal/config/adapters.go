package config

import (
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/mfa"
	"github.com/rolegate/rolegate/broker/oidc"
	"github.com/rolegate/rolegate/broker/saml"
	"github.com/rolegate/rolegate/broker/web"
)

// What the adapters are made from, as far as it is in the file. Whoever makes
// one adds keys, clients and the clock.

// SAMLConfig returns the settings of a SAML identity provider. It reads the
// certificate of its metadata.
func (c *Config) SAMLConfig(p IdentityProvider) (saml.Config, error) {
	s := p.SAML
	out := saml.Config{
		ID: broker.ProviderID(p.ID), PublicURL: c.PublicURL, MetadataURL: s.MetadataURL, MetadataFile: c.Path(s.MetadataFile),
		IDPEntityID: s.EntityID, SignRequests: s.SignRequests == nil || *s.SignRequests, WantEncrypted: s.WantEncrypted,
		IDPInitiated: s.IDPInitiated, TrustInstant: s.TrustAuthnInstant, InsecureAllowCBC: s.InsecureAllowCBC, InsecureExpired: s.InsecureExpired,
		Binding:   saml.Binding(s.Binding),
		Signature: saml.SignaturePolicy(s.Signature), ClockSkew: time.Duration(s.ClockSkew), MaxResponse: s.MaxResponse,
		NoLogout: s.Logout != nil && !*s.Logout,
	}
	if p.EmailAuthoritative {
		for _, d := range p.EmailDomains {
			out.EmailDomains = append(out.EmailDomains, strings.ToLower(d))
		}
	}
	if s.MetadataCertificateFile == "" || c.detached {
		return out, nil
	}
	b, err := os.ReadFile(c.Path(s.MetadataCertificateFile))
	if err != nil {
		return out, err
	}
	out.MetadataCertificate, err = Certificate(b)
	return out, err
}

// OIDCConfig returns the settings of an OpenID provider, without the secret.
func (c *Config) OIDCConfig(p IdentityProvider) oidc.Config {
	o := p.OIDC
	return oidc.Config{
		ID: broker.ProviderID(p.ID), PublicURL: c.PublicURL, Issuer: o.Issuer, DiscoveryURL: o.DiscoveryURL, ClientID: o.ClientID,
		ClientAuth: oidc.ClientAuth(o.ClientAuth), AudienceTokenEndpoint: o.AssertionFor == "token_endpoint",
		Scopes: o.Scopes, Authorize: o.Authorize, UserInfo: o.UserInfo,
		Offline: c.UsesIDPToken(), Algorithms: o.Algorithms, ClockSkew: time.Duration(o.ClockSkew), InsecureHTTP: o.InsecureHTTP,
		NoLogout: o.Logout != nil && !*o.Logout,
	}
}

// IssuerConfig returns how we appear to AWS.
func (c *Config) IssuerConfig() issuer.Config {
	out := issuer.Config{
		PublicURL: c.PublicURL, EntityID: c.AWS.SAML.EntityID, OIDCIssuer: c.AWS.OIDC.Issuer, OIDCAudience: c.AWS.OIDC.Audience,
		Audiences: map[broker.Partition]issuer.Audience{}, SourceIdentity: c.AWS.OIDC.UnverifiedSourceIdentity,
	}
	// An issuer that is the public URL by default may be none that IAM takes:
	// that matters only where a role is used via oidc.
	if out.OIDCIssuer == c.PublicURL {
		out.OIDCIssuer = ""
	}
	for _, r := range c.Roles {
		out.Tokens = out.Tokens || r.Via == string(broker.ViaOIDC)
	}
	for name, p := range c.AWS.Partitions {
		out.Audiences[broker.Partition(name)] = issuer.Audience{Audience: p.Audience, Recipient: p.Recipient}
	}
	return out
}

// FederationConfig returns which endpoints of AWS are used.
func (c *Config) FederationConfig() federation.Config {
	out := federation.Config{Partitions: map[broker.Partition]federation.PartitionConfig{}}
	for name, p := range c.AWS.Partitions {
		out.Partitions[broker.Partition(name)] = federation.PartitionConfig{STSRegions: p.STSRegions, SignInRegions: p.SignInRegions}
	}
	if e := c.InsecureAWSEndpoints; e != nil {
		out.Insecure = federation.InsecureEndpoints{STS: e.STS, SignIn: e.SignIn, Console: e.Console}
	}
	return out
}

// PasskeysConfig returns what passkeys are bound to.
func (c *Config) PasskeysConfig() mfa.Config { return mfa.Config{PublicURL: c.PublicURL} }

// WebConfig returns where pages are served and lead to.
func (c *Config) WebConfig() web.Config {
	proxies, _ := c.Proxies() // checked by itself
	return web.Config{
		PublicURL: c.PublicURL, AWSOrigins: c.FederationConfig().Origins(c.Partitions()), IdPOrigins: c.formOrigins(), TrustedProxies: proxies,
	}
}

// formOrigins is where identity providers lead the forms that are posted to them.
func (c *Config) formOrigins() map[broker.ProviderID][]string {
	out := map[broker.ProviderID][]string{}
	for _, p := range c.IdentityProviders {
		if p.SAML != nil && len(p.SAML.FormOrigins) > 0 {
			out[broker.ProviderID(p.ID)] = p.SAML.FormOrigins
		}
	}
	return out
}

// Certificates returns the roots for outgoing TLS: the system's and those of
// outbound.ca_file, nil if it names none.
func (c *Config) Certificates() (*x509.CertPool, error) {
	if c.Outbound.CAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(c.Path(c.Outbound.CAFile))
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(b) {
		return nil, errors.New("it holds no certificate")
	}
	return pool, nil
}

// The places in the file of the adapters' settings. A place that begins with a
// slash is from the top, others are below the identity provider. [*] stands for
// an index or a key, which may occur in the place as * too.
func samlPlaces() map[string]string {
	return map[string]string{
		"": "saml", "ID": "id", "PublicURL": "/public_url", "MetadataURL": "saml.metadata_url", "MetadataFile": "saml.metadata_file",
		"IDPEntityID": "saml.entity_id", "MetadataCertificate": "saml.metadata_certificate_file", "SignRequests": "saml.sign_requests",
		"WantEncrypted": "saml.want_encrypted", "IDPInitiated": "saml.idp_initiated", "TrustInstant": "saml.trust_authn_instant",
		"InsecureAllowCBC": "saml.insecure_allow_cbc", "InsecureExpired": "saml.insecure_expired_certificates",
		"Binding": "saml.binding", "Signature": "saml.signature", "ClockSkew": "saml.clock_skew", "NoLogout": "saml.logout",
		"EmailDomains": "email_domains", "MaxResponse": "saml.max_response",
	}
}

func oidcPlaces() map[string]string {
	return map[string]string{
		"ID": "id", "PublicURL": "/public_url", "Issuer": "oidc.issuer", "DiscoveryURL": "oidc.discovery_url", "ClientID": "oidc.client_id",
		"ClientAuth": "oidc.client_auth", "AudienceTokenEndpoint": "oidc.assertion_audience", "Authorize": "oidc.authorize", "Scopes": "oidc.scopes",
		"UserInfo": "oidc.userinfo", "Offline": "/roles", "Algorithms": "oidc.algorithms", "Algorithms[*]": "oidc.algorithms[*]",
		"ClockSkew": "oidc.clock_skew", "InsecureHTTP": "oidc.insecure_http", "NoLogout": "oidc.logout",
	}
}

func issuerPlaces() map[string]string {
	return map[string]string{
		"PublicURL": "/public_url", "EntityID": "/aws.saml.entity_id", "OIDCIssuer": "/aws.oidc.issuer", "OIDCAudience": "/aws.oidc.audience",
		"Audiences": "/aws.partitions", "Audiences[*]": "/aws.partitions.*", "Audiences[*].Recipient": "/aws.partitions.*.recipient",
		"Audiences[*].Audience": "/aws.partitions.*.audience", "SourceIdentity": "/aws.oidc.unverified_source_identity", "Tokens": "/roles",
	}
}

func federationPlaces() map[string]string {
	return map[string]string{
		"Partitions": "/aws.partitions", "Partitions[*]": "/aws.partitions.*", "Partitions[*].STSRegions[*]": "/aws.partitions.*.sts_regions[*]",
		"Partitions[*].SignInRegions[*]": "/aws.partitions.*.signin_regions[*]", "Insecure": "/insecure_aws_endpoints",
		"Insecure.STS": "/insecure_aws_endpoints.sts", "Insecure.SignIn": "/insecure_aws_endpoints.signin",
		"Insecure.Console": "/insecure_aws_endpoints.console",
	}
}

func passkeysPlaces() map[string]string { return map[string]string{"PublicURL": "/public_url"} }

func webPlaces() map[string]string {
	return map[string]string{
		"PublicURL": "/public_url", "AWSOrigins": "/insecure_aws_endpoints", "AWSOrigins[*]": "/insecure_aws_endpoints",
		"IdPOrigins":     "/identity_providers",
		"TrustedProxies": "/trusted_proxies",
	}
}
