package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/broker"
)

// Config is the whole file.
type Config struct {
	PublicURL         string             `yaml:"public_url" jsonschema:"required" jsonschema_description:"Where people reach rolegate: https://host without a path; plain http on localhost and loopback addresses only."`
	Listen            string             `yaml:"listen,omitempty" jsonschema_description:"Address to listen on, default 127.0.0.1:8080."`
	Store             string             `yaml:"store,omitempty" jsonschema_description:"sqlite:FILE, default sqlite:rolegate.db, or postgres://USER@HOST/DATABASE without the password, where several nodes share it."`
	StorePasswordFile string             `yaml:"store_password_file,omitempty" jsonschema_description:"File with the password of PostgreSQL."`
	StorePassword     string             `yaml:"store_password,omitempty" jsonschema:"pattern=^env:" jsonschema_description:"env:NAME of an environment variable with it; never the password itself."`
	StoreConnections  int                `yaml:"store_connections,omitempty" jsonschema:"minimum=0,maximum=1000" jsonschema_description:"Most connections of this node to PostgreSQL, default 20."`
	StorePooler       string             `yaml:"store_pooler,omitempty" jsonschema:"enum=none,enum=transaction" jsonschema_description:"transaction: a pooler such as pgbouncer in transaction mode is in between; default none."`
	Keys              Keys               `yaml:"keys,omitempty"`
	TLS               *TLS               `yaml:"tls,omitempty" jsonschema_description:"Serve HTTPS here; without it a proxy must."`
	TrustedProxies    []string           `yaml:"trusted_proxies,omitempty" jsonschema_description:"Networks of the proxies whose X-Forwarded-For, or else Forwarded, is believed."`
	Session           Session            `yaml:"session,omitempty"`
	IdentityProviders []IdentityProvider `yaml:"identity_providers" jsonschema:"required"`
	Accounts          []Account          `yaml:"accounts" jsonschema:"required"`
	Roles             []Role             `yaml:"roles" jsonschema:"required"`
	Rules             []Rule             `yaml:"rules" jsonschema:"required"`
	RoleSession       RoleSession        `yaml:"role_session,omitempty"`
	AWS               AWS                `yaml:"aws,omitempty"`
	Outbound          Outbound           `yaml:"outbound,omitempty"`
	Metrics           Metrics            `yaml:"metrics,omitempty"`
	Admins            Admins             `yaml:"admins,omitempty" jsonschema_description:"Who is an administrator of rolegate; without it nobody is."`
	Events            Events             `yaml:"events,omitempty"`
	Limits            Limits             `yaml:"limits,omitempty" jsonschema_description:"How often, before somebody is slowed down."`

	InsecureNoRateLimits bool `yaml:"insecure_no_rate_limits,omitempty" jsonschema_description:"Switch all limits off; for load tests only."`

	InsecureStoreTLS bool `yaml:"insecure_store_tls,omitempty" jsonschema_description:"Take a PostgreSQL elsewhere that does not prove its name."`

	InsecureAWSEndpoints *AWSEndpoints `yaml:"insecure_aws_endpoints,omitempty" jsonschema_description:"Replace AWS's hosts; for a sandbox only."`

	file string
	dir  string
	// detached is set for text that is not on this machine: files and
	// environment variables that it names are not looked at.
	detached bool
	env      func(string) string
	digest   string // of the file's bytes
	root     *yaml.Node
	engine   engine
	warnings Problems
}

// Keys says where the keys are.
type Keys struct {
	Dir string `yaml:"dir,omitempty" jsonschema_description:"Folder of the keys, default certs."`
}

// TLS names the server's certificate; the files are read again when they change.
type TLS struct {
	CertFile string `yaml:"cert_file" jsonschema:"required"`
	KeyFile  string `yaml:"key_file" jsonschema:"required"`
}

// Session limits browser sessions.
type Session struct {
	Idle     Duration `yaml:"idle,omitempty" jsonschema_description:"Ends a session after this long without use, default 1h."`
	Absolute Duration `yaml:"absolute,omitempty" jsonschema_description:"Ends a session this long after sign-in, default 10h."`
	DayEnd   string   `yaml:"day_end,omitempty" jsonschema:"pattern=^([01][0-9]|2[0-3]):[0-5][0-9]$" jsonschema_description:"Time of day at which every session ends, like 19:00; needs time_zone."`
	TimeZone string   `yaml:"time_zone,omitempty" jsonschema_description:"Zone of day_end, like Europe/Berlin."`
}

// Admins is the rule that names administrators: who is in any of the groups and
// for whom the condition is true. They need a second factor besides.
type Admins struct {
	Groups   []string `yaml:"groups,omitempty"`
	When     string   `yaml:"when,omitempty" jsonschema_description:"CEL over identity and now, as in a rule."`
	TimeZone string   `yaml:"time_zone,omitempty"`
}

// Events says how long the record of what happened is kept.
type Events struct {
	Keep Duration `yaml:"keep,omitempty" jsonschema_description:"Delete events that are older, like 400d; 1d at least. Default: they are kept for ever."`
}

// Limits slows down who does too much, by client address and by account and
// client address together.
type Limits struct {
	SignIn       *Limit `yaml:"sign_in,omitempty" jsonschema_description:"Starts of a sign-in."`
	SignInFinish *Limit `yaml:"sign_in_finish,omitempty" jsonschema_description:"Answers of identity providers."`
	Credentials  *Limit `yaml:"credentials,omitempty" jsonschema_description:"Role sessions, for the console or as keys."`
	Device       *Limit `yaml:"device,omitempty" jsonschema_description:"Device codes."`
	Requests     *Limit `yaml:"requests,omitempty" jsonschema_description:"Whatever a person who is signed in, or a program for them, asks for."`
}

// Limit is how often in a window; what is left out keeps its default.
type Limit struct {
	Address int      `yaml:"address,omitempty" jsonschema_description:"Per client address."`
	Account int      `yaml:"account,omitempty" jsonschema_description:"Per account and client address."`
	Per     Duration `yaml:"per,omitempty" jsonschema_description:"The window, 10s to 1h."`
}

// IdentityProvider is one upstream, SAML or OpenID Connect.
type IdentityProvider struct {
	ID           string   `yaml:"id" jsonschema:"required" jsonschema_description:"Part of the routes: lower-case letters, digits, hyphens. Never change it."`
	Name         string   `yaml:"name,omitempty" jsonschema_description:"On the sign-in button, default the id."`
	EmailDomains []string `yaml:"email_domains,omitempty" jsonschema_description:"Choose this provider by e-mail address."`
	SAML         *SAML    `yaml:"saml,omitempty"`
	OIDC         *OIDC    `yaml:"oidc,omitempty"`
	Identity     Identity `yaml:"identity,omitempty"`
	GroupsAbsent string   `yaml:"groups_absent,omitempty" jsonschema:"enum=refuse,enum=none" jsonschema_description:"What a missing groups claim means, default refuse."`
	MFA          MFA      `yaml:"mfa,omitempty"`
	// EmailAuthoritative makes an e-mail address the lasting key of a person.
	EmailAuthoritative bool `yaml:"email_authoritative,omitempty" jsonschema_description:"This provider alone gives out the addresses in email_domains: they count as verified unless it says no, and an e-mail NameID may be the subject."`

	InsecureUnverifiedEmail bool `yaml:"insecure_unverified_email,omitempty" jsonschema_description:"Take e-mail addresses as they come, also those that the provider says are not verified."`
}

// SAML is our service-provider side.
type SAML struct {
	MetadataURL             string   `yaml:"metadata_url,omitempty"`
	MetadataFile            string   `yaml:"metadata_file,omitempty"`
	MetadataCertificateFile string   `yaml:"metadata_certificate_file,omitempty" jsonschema_description:"Metadata must be signed with this certificate."`
	EntityID                string   `yaml:"entity_id,omitempty" jsonschema_description:"Picks one provider out of a federation's metadata."`
	SignRequests            *bool    `yaml:"sign_requests,omitempty" jsonschema_description:"Default true."`
	WantEncrypted           bool     `yaml:"want_encrypted,omitempty"`
	Binding                 string   `yaml:"binding,omitempty" jsonschema:"enum=redirect,enum=post"`
	FormOrigins             []string `yaml:"form_origins,omitempty" jsonschema_description:"Origins that the provider's POST endpoint redirects to, like https://login.example.com; the browser is told that forms may go there."`
	Signature               string   `yaml:"signature,omitempty" jsonschema:"enum=assertion,enum=response,enum=both,enum=either" jsonschema_description:"What must be signed, default assertion."`
	ClockSkew               Duration `yaml:"clock_skew,omitempty" jsonschema_description:"Default 60s, at most 5m."`
	MaxResponse             int      `yaml:"max_response,omitempty" jsonschema_description:"Largest SAMLResponse in bytes of base64, default 262144."`
	IDPInitiated            bool     `yaml:"idp_initiated,omitempty" jsonschema_description:"Also take answers that were not asked for, after one click of the person. Default false."`
	Logout                  *bool    `yaml:"logout,omitempty" jsonschema_description:"Sign out at the provider too when a person signs out here, where its metadata offers single logout. Default true."`
	TrustAuthnInstant       bool     `yaml:"trust_authn_instant,omitempty" jsonschema_description:"The provider's AuthnInstant is when the person really signed in, also on single sign-on. Default false: it counts only where a fresh sign-in was asked for."`
	InsecureExpired         bool     `yaml:"insecure_expired_certificates,omitempty" jsonschema_description:"Take signatures by certificates of the metadata that have ended. For the day on which that happened."`
	InsecureAllowCBC        bool     `yaml:"insecure_allow_cbc,omitempty" jsonschema_description:"Decrypt AES-CBC, which can be tampered with."`
}

// OIDC is our relying-party side.
type OIDC struct {
	Issuer           string   `yaml:"issuer" jsonschema:"required"`
	DiscoveryURL     string   `yaml:"discovery_url,omitempty" jsonschema_description:"Where the discovery document is, if not at ISSUER/.well-known/openid-configuration. Default there."`
	ClientID         string   `yaml:"client_id" jsonschema:"required"`
	ClientSecretFile string   `yaml:"client_secret_file,omitempty"`
	ClientSecret     string   `yaml:"client_secret,omitempty" jsonschema:"pattern=^env:" jsonschema_description:"env:NAME of an environment variable; never the secret itself."`
	PrivateKeyJWT    bool     `yaml:"private_key_jwt,omitempty" jsonschema_description:"Authenticate with the sp-signing key instead of a secret; its public half is at /oidc/ID/jwks.json."`
	ClientAuth       string   `yaml:"client_auth,omitempty" jsonschema:"enum=client_secret_basic,enum=client_secret_post,enum=client_secret_jwt,enum=private_key_jwt,enum=none" jsonschema_description:"How rolegate proves who it is. Default: by the key with private_key_jwt, else what the provider offers for a secret. none: a public client, by PKCE alone."`
	AssertionFor     string   `yaml:"assertion_audience,omitempty" jsonschema:"enum=issuer,enum=token_endpoint" jsonschema_description:"Whom signed proofs of rolegate are made out to, default issuer."`
	Scopes           []string `yaml:"scopes,omitempty" jsonschema_description:"Default openid, profile and email. offline_access is asked for only if it is in the list."`

	Authorize map[string]string `yaml:"authorize,omitempty" jsonschema_description:"Further parameters of the authentication request, like access_type: offline or prompt: consent."`

	UserInfo     bool     `yaml:"userinfo,omitempty"`
	Algorithms   []string `yaml:"algorithms,omitempty"`
	ClockSkew    Duration `yaml:"clock_skew,omitempty"`
	Logout       *bool    `yaml:"logout,omitempty" jsonschema_description:"Sign out at the provider too when a person signs out here, where discovery names an end_session_endpoint. Default true."`
	InsecureHTTP bool     `yaml:"insecure_http,omitempty" jsonschema_description:"Take an issuer over plain http."`
}

// Identity holds CEL expressions over claims and subject.
type Identity struct {
	Subject  string `yaml:"subject,omitempty"`
	Username string `yaml:"username,omitempty"`
	Email    string `yaml:"email,omitempty"`
	Groups   string `yaml:"groups,omitempty"`
}

// MFA says what proves a second factor.
type MFA struct {
	Preset       string            `yaml:"preset,omitempty" jsonschema:"enum=okta,enum=entra,enum=google,enum=adfs,enum=keycloak" jsonschema_description:"What is documented of this product; own lists add to it."`
	AMR          Proofs            `yaml:"amr,omitempty"`
	ACR          Proofs            `yaml:"acr,omitempty"`
	AuthnContext Proofs            `yaml:"authn_context,omitempty"`
	Claims       map[string]Proofs `yaml:"claims,omitempty" jsonschema_description:"Claim or SAML attribute to the values that prove."`
	Required     bool              `yaml:"required,omitempty" jsonschema_description:"Refuse every sign-in without proof."`
	Programs     bool              `yaml:"programs,omitempty" jsonschema_description:"Let programs (command line, AWS clients) in only from a sign-in with proof."`
	OwnFactor    string            `yaml:"own_factor,omitempty" jsonschema:"enum=off,enum=allowed,enum=required" jsonschema_description:"Whether rolegate's own second factor (passkeys, one-time codes) counts, default off."`
	EnrolUntil   string            `yaml:"enrol_until,omitempty" jsonschema:"pattern=^[0-9]{4}-[0-9]{2}-[0-9]{2}$" jsonschema_description:"With own_factor required: the last day (UTC) on which roles are given without proof."`
}

// Account is an AWS account.
type Account struct {
	ID        string            `yaml:"id" jsonschema:"required,pattern=^[0-9]{12}$"`
	Name      string            `yaml:"name" jsonschema:"required"`
	Partition string            `yaml:"partition,omitempty" jsonschema:"enum=aws,enum=aws-us-gov,enum=aws-cn,enum=aws-eusc"`
	Labels    map[string]string `yaml:"labels,omitempty"`
	Color     string            `yaml:"color,omitempty" jsonschema:"enum=red,enum=orange,enum=green,enum=blue,enum=purple" jsonschema_description:"Marks the account on every page."`
	Warning   string            `yaml:"warning,omitempty"`
	Providers *ProviderNames    `yaml:"providers,omitempty" jsonschema_description:"Names of rolegate's providers in this account's IAM, where they differ."`
}

// ProviderNames are the names of our providers in IAM.
type ProviderNames struct {
	SAML string `yaml:"saml,omitempty"`
	OIDC string `yaml:"oidc,omitempty"`
}

// Role is an IAM role under rolegate's name for it.
type Role struct {
	Name              string            `yaml:"name" jsonschema:"required" jsonschema_description:"What people and programs call it: up to 64 letters, digits or _+=,.@-, the first a letter, digit or _."`
	IAMRole           string            `yaml:"iam_role" jsonschema:"required" jsonschema_description:"Name in IAM, with its path if it has one."`
	Via               string            `yaml:"via,omitempty" jsonschema:"enum=saml,enum=oidc,enum=idp_token"`
	MaxDuration       Duration          `yaml:"max_duration,omitempty" jsonschema_description:"Longest role session, 15m to 12h, default 1h."`
	Require           Require           `yaml:"require,omitempty"`
	SessionTags       map[string]string `yaml:"session_tags,omitempty" jsonschema_description:"CEL over identity, each a string."`
	TransitiveTagKeys []string          `yaml:"transitive_tag_keys,omitempty"`
	ProofTags         bool              `yaml:"proof_tags,omitempty" jsonschema_description:"Adds the session tags mfa, acr and auth_time."`
	Description       string            `yaml:"description,omitempty"`
}

// Require is what a role asks of the sign-in.
type Require struct {
	MFA        bool     `yaml:"mfa,omitempty"`
	MaxAuthAge Duration `yaml:"max_auth_age,omitempty"`
}

// Rule gives people roles in accounts.
type Rule struct {
	Name     string   `yaml:"name" jsonschema:"required"`
	Groups   []string `yaml:"groups,omitempty"`
	Pattern  string   `yaml:"pattern,omitempty"`
	When     string   `yaml:"when,omitempty"`
	Accounts []string `yaml:"accounts,omitempty"`
	Roles    []string `yaml:"roles,omitempty"`
	TimeZone string   `yaml:"time_zone,omitempty"`
}

// RoleSession holds CEL expressions over identity.
type RoleSession struct {
	Name           string `yaml:"name,omitempty"`
	SourceIdentity string `yaml:"source_identity,omitempty"`
}

// AWS is how we appear to AWS and which of its endpoints we use.
type AWS struct {
	SAML       AWSSAML              `yaml:"saml,omitempty"`
	OIDC       AWSOIDC              `yaml:"oidc,omitempty"`
	Partitions map[string]Partition `yaml:"partitions,omitempty"`
}

// AWSSAML is our SAML side towards IAM.
type AWSSAML struct {
	EntityID string `yaml:"entity_id,omitempty" jsonschema_description:"Default public_url/aws/saml/metadata."`
	Provider string `yaml:"provider,omitempty" jsonschema_description:"Name of the SAML provider in IAM, default rolegate."`
}

// AWSOIDC is our OIDC side towards IAM.
type AWSOIDC struct {
	Issuer                   string `yaml:"issuer,omitempty" jsonschema_description:"https without port, default public_url."`
	Audience                 string `yaml:"audience,omitempty" jsonschema_description:"Default sts.amazonaws.com."`
	Provider                 string `yaml:"provider,omitempty" jsonschema_description:"Host and path of the OIDC provider in IAM, default that of the issuer."`
	UnverifiedSourceIdentity bool   `yaml:"unverified_source_identity,omitempty" jsonschema_description:"Also put the source identity into ID tokens. AWS's claim name was not verified."`
}

// Partition sets endpoints and SAML values of one partition.
type Partition struct {
	STSRegions    []string `yaml:"sts_regions,omitempty"`
	SignInRegions []string `yaml:"signin_regions,omitempty"`
	Audience      string   `yaml:"audience,omitempty"`
	Recipient     string   `yaml:"recipient,omitempty"`
}

// AWSEndpoints are base URLs of a sandbox.
type AWSEndpoints struct {
	STS     string `yaml:"sts,omitempty"`
	SignIn  string `yaml:"signin,omitempty"`
	Console string `yaml:"console,omitempty"`
}

// Outbound says where rolegate may connect to.
type Outbound struct {
	Allow  []string `yaml:"allow,omitempty" jsonschema_description:"Further hosts that may be private and that documents may name."`
	CAFile string   `yaml:"ca_file,omitempty" jsonschema_description:"Further roots for outgoing TLS, PEM."`
}

// Metrics says where numbers for Prometheus are served.
type Metrics struct {
	Listen string `yaml:"listen,omitempty" jsonschema_description:"Address of a listener of its own for /metrics, like 127.0.0.1:9464. Default: none. It asks nobody for a password."`
}

// Duration is a time.Duration written like 90s or 8h.
type Duration time.Duration

// maxDays keeps a number of days in a Duration.
const maxDays = 100_000

// UnmarshalText reads Go's duration syntax, or a number of days of 24 hours.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if days, ok := strings.CutSuffix(string(b), "d"); ok {
		var n uint64
		if n, err = strconv.ParseUint(days, 10, 32); err == nil && n <= maxDays {
			*d = Duration(time.Duration(n) * 24 * time.Hour)
			return nil
		}
		v = -1
	}
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no duration: write it like 90s, 15m, 8h or 400d", b)
	}
	*d = Duration(v)
	return nil
}

// Proofs are alternatives; each is one value, or a list that must all be there.
type Proofs [][]string

// UnmarshalYAML reads a list of strings and lists of strings.
func (p *Proofs) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return fmt.Errorf("line %d: a list is needed, like [mfa, [pwd, otp]]", n.Line)
	}
	for _, x := range n.Content {
		var one string
		if x.Kind == yaml.ScalarNode && x.Decode(&one) == nil && one != "" {
			*p = append(*p, []string{one})
			continue
		}
		var all []string
		if x.Kind != yaml.SequenceNode || x.Decode(&all) != nil || len(all) == 0 {
			return fmt.Errorf("line %d: a value or a list of values is needed, like mfa or [pwd, otp]", x.Line)
		}
		*p = append(*p, all)
	}
	return nil
}

// engine is what Load compiles the rules into.
type engine interface {
	broker.RoleMapper
	broker.IdentityMapper
}
