package oidc

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
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
	PublicURL    string
	Issuer       string
	ClientID     string
	ClientSecret broker.Secret // or ClientKey
	ClientKey    crypto.Signer // RSA key for private_key_jwt (RFC 7523)
	ClientKeyID  string
	Scopes       []string      // default openid profile email
	UserInfo     bool          // also ask the userinfo endpoint
	Offline      bool          // keep the ID token and a refresh token for via: idp_token
	Algorithms   []string      // of ID tokens; default RS256 and ES256 families and PS256
	ClockSkew    time.Duration // default 60 s, at most 5 min
	InsecureHTTP bool          // take an issuer over plain http
	HTTP         *http.Client
	Now          func() time.Time
}

const (
	defaultSkew = time.Minute
	maxSkew     = 5 * time.Minute
	maxToken    = 64 << 10
	maxAnswer   = 1 << 20
)

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// asymmetric are the algorithms that may be configured: no "none", no HMAC.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Validate lists what is wrong.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("oidc: "+format, args...)) }
	if !idPattern.MatchString(string(c.ID)) {
		bad("id %q: lower-case letters, digits and hyphens are needed", c.ID)
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Path != "" {
		bad("public URL %q is not scheme://host", c.PublicURL)
	}
	if err := c.checkURL(c.Issuer); err != nil {
		bad("%s: issuer: %w", c.ID, err)
	}
	if c.ClientID == "" {
		bad("%s: a client id is needed", c.ID)
	}
	if c.ClientSecret.IsZero() == (c.ClientKey == nil) {
		bad("%s: one of client secret and client key is needed", c.ID)
	}
	for _, a := range c.Algorithms {
		if !slices.Contains(asymmetric, a) {
			bad("%s: algorithm %q is not one of %s", c.ID, a, strings.Join(asymmetric, ", "))
		}
	}
	if len(c.Scopes) > 0 && !slices.Contains(c.Scopes, "openid") {
		bad("%s: scopes need openid", c.ID)
	}
	if c.ClockSkew < 0 || c.ClockSkew > maxSkew {
		bad("%s: clock skew %s is not between 0 and %s", c.ID, c.ClockSkew, maxSkew)
	}
	if c.HTTP == nil {
		bad("%s: an HTTP client is needed", c.ID)
	}
	return errors.Join(errs...)
}

// checkURL holds that an address is absolute https without fragment or user.
func (c Config) checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("%.200q is no address", s)
	case u.Scheme == "https" || u.Scheme == "http" && c.InsecureHTTP:
		return nil
	}
	return fmt.Errorf("%.200q is not https", s)
}

// RelyingParty is our side of one OpenID provider. It implements
// [broker.IdentityProvider] and [broker.TokenRefresher] and is safe for
// concurrent use.
type RelyingParty struct {
	c        Config
	callback string
	http     *http.Client
	keys     *keySet

	mu     sync.Mutex
	op     *provider // last good discovery, nil before the first
	tried  time.Time
	status Status
}

// New returns a relying party, or what is wrong with the configuration. It does
// not use the network.
func New(c Config) (*RelyingParty, error) {
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{"openid", "profile", "email"}
	}
	if c.Offline && !slices.Contains(c.Scopes, "offline_access") {
		c.Scopes = append(slices.Clone(c.Scopes), "offline_access")
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
	rp := &RelyingParty{c: c, callback: c.PublicURL + "/oidc/" + string(c.ID) + "/callback"}
	rp.http = &http.Client{
		Timeout: 20 * time.Second, Transport: bounded{c.HTTP.Transport},
		// A back-channel endpoint that redirects would carry codes and secrets
		// to somewhere the discovery document did not name.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	rp.keys = &keySet{http: rp.http, now: c.Now, algorithms: algorithms(c.Algorithms)}
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
	Err       error // of the last discovery
}

// Status returns the present state.
func (rp *RelyingParty) Status() Status {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.status
}

// JWKS returns the public client key for private_key_jwt, an empty set without.
func (rp *RelyingParty) JWKS() jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	if rp.c.ClientKey != nil {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: rp.c.ClientKey.Public(), KeyID: rp.c.ClientKeyID, Algorithm: "RS256", Use: "sig"})
	}
	return set
}

// Run refreshes discovery every hour, every minute while it fails, until ctx
// ends.
func (rp *RelyingParty) Run(ctx context.Context) {
	for {
		wait := time.Minute
		if rp.Refresh(ctx) == nil {
			wait = time.Hour
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
