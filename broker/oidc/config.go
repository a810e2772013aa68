package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
)

// Config of a [RelyingParty]. Zero values mean the defaults named.
type Config struct {
	ID           broker.ProviderID
	PublicURL    string        // scheme://host; the callback is PublicURL/oidc/ID/callback
	Issuer       string        // exactly as in the provider's discovery document and its tokens
	DiscoveryURL string        // default: Issuer/.well-known/openid-configuration
	ClientID     string        // what the provider knows us by, and the audience of its ID tokens
	ClientAuth   ClientAuth    // default: private_key_jwt with a ClientKey, else what discovery offers for a secret
	ClientSecret broker.Secret // or ClientKey, or neither with AuthNone
	ClientKey    crypto.Signer // RSA, ECDSA or Ed25519 key for private_key_jwt (RFC 7523)
	ClientKeyID  string        // default: the RFC 7638 thumbprint of ClientKey
	ClientKeys   []PublicKey   // further keys that are published beside ClientKey, for its rotation
	// AudienceTokenEndpoint makes client assertions out to the token endpoint, as
	// some providers want it, and not to the issuer.
	AudienceTokenEndpoint bool
	Scopes                []string          // default openid profile email
	Authorize             map[string]string // further parameters of the authentication request; see CheckAuthorize
	UserInfo              bool              // also ask the userinfo endpoint
	Offline               bool              // keep the ID token, and the refresh token if there is one, for via: idp_token
	Algorithms            []string          // of ID tokens; default RS256 and ES256 families and PS256
	ClockSkew             time.Duration     // default 60 s, at most 5 min
	InsecureHTTP          bool              // take a provider over plain http, on loopback only
	NoLogout              bool              // leave the provider's session when a person signs out
	HTTP                  *http.Client      // its transport decides which addresses may be reached
	Now                   func() time.Time
	Changed               func(broker.ProviderStatus) // told when it is up or down since the last refresh; may be nil
}

const (
	defaultSkew = time.Minute
	maxSkew     = 5 * time.Minute
	maxToken    = 256 << 10 // bytes of an ID token; 3,000 groups take about 80 KiB
	maxAnswer   = 512 << 10 // bytes of any answer of a provider
	callTime    = 20 * time.Second
)

// asymmetric are the algorithms that may be configured: no "none", no HMAC.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Validate lists what is wrong with the settings, as [broker.Problems]. What the
// program adds to them (secret, key, HTTP client) is looked at by [New].
func (c Config) Validate() error { return c.settings().Err() }

func (c Config) settings() broker.Problems {
	var ps broker.Problems
	if err := c.ID.Check(); err != nil {
		ps.Add("ID", "%v", err)
	}
	if _, err := broker.ParsePublicURL(c.PublicURL); err != nil {
		ps.Add("PublicURL", "%v", err)
	}
	if c.Issuer == "" {
		ps.Add("Issuer", "it is missing: write it as in the provider's discovery document")
	} else if err := c.checkURL(c.Issuer); err != nil {
		ps.Add("Issuer", "%v", err)
	} else if strings.Contains(c.Issuer, "?") {
		ps.Add("Issuer", "%q has a query, which an issuer has not (OpenID Connect Discovery 3)", broker.RedactURL(c.Issuer))
	}
	if c.ClientID == "" {
		ps.Add("ClientID", "it is missing: write what the provider calls this application")
	}
	if c.ClientAuth != "" {
		ps.OneOf("ClientAuth", string(c.ClientAuth), string(AuthBasic), string(AuthPost), string(AuthSecretJWT), string(AuthPrivateKeyJWT), string(AuthNone))
	}
	if c.DiscoveryURL != "" {
		if err := c.checkURL(c.DiscoveryURL); err != nil {
			ps.Add("DiscoveryURL", "%v", err)
		}
	}
	if err := CheckAuthorize(c.Authorize); err != nil {
		ps.Add("Authorize", "%v", err)
	}
	for i, a := range c.Algorithms {
		ps.OneOf(fmt.Sprintf("Algorithms[%d]", i), a, asymmetric...)
	}
	if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, "openid") {
		ps.Add("Scopes", "openid is missing")
	}
	if c.ClockSkew < 0 || c.ClockSkew > maxSkew {
		ps.Add("ClockSkew", "%s is too long: 5m at most; mend the clocks", c.ClockSkew)
	}
	return ps
}

// parts lists what is wrong with what the program adds to the settings.
func (c Config) parts() broker.Problems {
	var ps broker.Problems
	if err := c.checkClientAuth(); err != nil {
		ps.Add("ClientSecret", "%v", err)
	}
	if c.ClientKey != nil {
		if _, err := keyAlgorithm(c.ClientKey.Public()); err != nil {
			ps.Add("ClientKey", "%v", err)
		}
	}
	if c.HTTP == nil {
		ps.Add("HTTP", "an HTTP client is needed")
	}
	return ps
}

// checkURL holds that an address is absolute https without fragment or user.
func (c Config) checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "":
		return fmt.Errorf("%.200q is no address", broker.RedactURL(s))
	case u.User != nil:
		return fmt.Errorf("%.200q has a user name or password in it", broker.RedactURL(s))
	case u.Scheme == "https" || u.Scheme == "http" && c.InsecureHTTP && broker.Loopback(u.Hostname()):
		return nil
	case u.Scheme == "http" && broker.Loopback(u.Hostname()):
		return fmt.Errorf("%.200q must be https, or insecure_http must be set", broker.RedactURL(s))
	}
	return fmt.Errorf("%.200q must be https", broker.RedactURL(s))
}

// keyAlgorithm is the signature algorithm of a client key, or why it cannot
// be used.
func keyAlgorithm(k crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	if !usable(jose.JSONWebKey{Key: k}) {
		return "", fmt.Errorf("a %T of this size cannot sign", k)
	}
	ec, ok := k.(*ecdsa.PublicKey)
	if !ok {
		if _, ed := k.(ed25519.PublicKey); ed {
			return jose.EdDSA, nil
		}
		return jose.RS256, nil
	}
	switch ec.Curve {
	case elliptic.P256():
		return jose.ES256, nil
	case elliptic.P384():
		return jose.ES384, nil
	}
	return jose.ES512, nil
}

// RelyingParty is our side of one OpenID provider. It implements
// [broker.IdentityProvider], [broker.TokenRefresher], [broker.LogoutInitiator]
// and [broker.LogoutReceiver] and is safe for concurrent use.
type RelyingParty struct {
	c        Config
	callback string
	gone     string // where the provider sends the browser after a sign-out
	http     *http.Client
	keys     *keySet
	gate     chan struct{} // held while discovery is under way

	mu     sync.Mutex
	op     *provider // last good discovery, nil before the first
	tried  time.Time
	status Status
}

// New returns a relying party, or what is wrong with the configuration. It does
// not use the network.
func New(c Config) (*RelyingParty, error) {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if err := append(c.settings(), c.parts()...).Err(); err != nil {
		return nil, fmt.Errorf("oidc: %s: %w", c.ID, err)
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"}
	}
	if c.ClockSkew == 0 {
		c.ClockSkew = defaultSkew
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ClientKey != nil && c.ClientKeyID == "" {
		sum, err := (&jose.JSONWebKey{Key: c.ClientKey.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("oidc: %s: client key: %w", c.ID, err)
		}
		c.ClientKeyID = base64.RawURLEncoding.EncodeToString(sum)
	}
	base := c.PublicURL + "/oidc/" + string(c.ID)
	rp := &RelyingParty{c: c, gate: make(chan struct{}, 1), callback: base + "/callback", gone: base + "/signed-out"}
	rp.http = &http.Client{
		Timeout: callTime, Transport: bounded{c.HTTP.Transport},
		// A back-channel endpoint that redirects would carry codes and secrets
		// to somewhere the discovery document did not name.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	rp.keys = &keySet{getJSON: rp.getJSON, now: c.Now, algorithms: algorithms(c.Algorithms), gate: make(chan struct{}, 1)}
	return rp, nil
}

func algorithms(names []string) []jose.SignatureAlgorithm {
	var out []jose.SignatureAlgorithm
	for _, n := range names {
		out = append(out, jose.SignatureAlgorithm(n))
	}
	return out
}

// Status is what an admin wants to know about a provider.
type Status struct {
	Issuer    string
	Refreshed time.Time
	LeftOut   []string // what of the discovery document and the keys cannot be used, and why
	broker.Standing
	Skew      time.Duration // their clock minus ours at the last sign-in
	SkewKnown bool
}

// Status returns the present state.
func (rp *RelyingParty) Status() Status {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.status
}

const (
	refreshEvery = time.Hour
	firstRetry   = 5 * time.Second
	lastRetry    = 5 * time.Minute
)

// Run refreshes discovery and keys every hour until ctx ends; while that
// fails, after 5 s, 10 s and so on up to 5 min.
func (rp *RelyingParty) Run(ctx context.Context) {
	retry := firstRetry
	for ctx.Err() == nil {
		wait := refreshEvery
		if rp.Refresh(ctx) != nil {
			wait, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
