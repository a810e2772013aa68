package oidc

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

// ClientAuth is how we prove to the provider who we are (OpenID Connect core 9).
type ClientAuth string

// The methods. Those by TLS client certificates (RFC 8705) are not there.
const (
	AuthBasic         ClientAuth = "client_secret_basic"
	AuthPost          ClientAuth = "client_secret_post"
	AuthSecretJWT     ClientAuth = "client_secret_jwt"
	AuthPrivateKeyJWT ClientAuth = "private_key_jwt"
	AuthNone          ClientAuth = "none" // a public client: PKCE alone
)

// minMAC is the shortest secret for HS256 (RFC 7518 3.2), in bytes.
const minMAC = 32

// PublicKey is a key of ours that providers may know.
type PublicKey struct {
	ID  string
	Key crypto.PublicKey
}

func (c Config) checkClientAuth() error {
	secret, key := !c.ClientSecret.IsZero(), c.ClientKey != nil
	switch c.ClientAuth {
	case "":
		if secret == key {
			return errors.New("one of client secret and client key is needed")
		}
	case AuthBasic, AuthPost, AuthSecretJWT:
		if !secret || key {
			return fmt.Errorf("%s needs a client secret, and no key", c.ClientAuth)
		}
		if c.ClientAuth == AuthSecretJWT && len(c.ClientSecret.Reveal()) < minMAC {
			return fmt.Errorf("%s needs a client secret of %d bytes or more", c.ClientAuth, minMAC)
		}
	case AuthPrivateKeyJWT:
		if secret || !key {
			return fmt.Errorf("%s needs a client key, and no secret", c.ClientAuth)
		}
	case AuthNone:
		if secret || key {
			return errors.New("a client that proves nothing (none) has neither secret nor key")
		}
	default:
		return fmt.Errorf("client authentication %q is not known", c.ClientAuth)
	}
	return nil
}

// method is how we prove who we are to this provider. It is never probed: a
// probe burns the code.
func (rp *RelyingParty) method(op *provider) ClientAuth {
	offers := func(m ClientAuth) bool { return slices.Contains(op.Auth, string(m)) }
	switch {
	case rp.c.ClientAuth != "":
		return rp.c.ClientAuth
	case rp.c.ClientKey != nil:
		return AuthPrivateKeyJWT
	case len(op.Auth) == 0 || offers(AuthBasic): // the default of discovery
		return AuthBasic
	case offers(AuthPost):
		return AuthPost
	}
	return AuthSecretJWT
}

// offered reports whether there is a way to prove who we are; what is configured
// is one, whatever the document says.
func (rp *RelyingParty) offered(op *provider) error {
	if rp.c.ClientAuth != "" || len(op.Auth) == 0 {
		return nil
	}
	ways := []ClientAuth{AuthBasic, AuthPost}
	if rp.c.ClientKey != nil {
		ways = []ClientAuth{AuthPrivateKeyJWT}
	} else if len(rp.c.ClientSecret.Reveal()) >= minMAC {
		ways = append(ways, AuthSecretJWT)
	}
	if slices.ContainsFunc(ways, func(m ClientAuth) bool { return slices.Contains(op.Auth, string(m)) }) {
		return nil
	}
	return fmt.Errorf("it offers client authentication by %.200q, and not by any of %q", op.Auth, ways)
}

func (rp *RelyingParty) oauth(op *provider) *oauth2.Config {
	c := &oauth2.Config{
		ClientID: rp.c.ClientID, RedirectURL: rp.callback, Scopes: rp.scopes(op),
		Endpoint: oauth2.Endpoint{AuthURL: op.Authorize, TokenURL: op.Token, AuthStyle: oauth2.AuthStyleInParams},
	}
	switch rp.method(op) {
	case AuthBasic:
		c.ClientSecret, c.Endpoint.AuthStyle = rp.c.ClientSecret.Reveal(), oauth2.AuthStyleInHeader
	case AuthPost:
		c.ClientSecret = rp.c.ClientSecret.Reveal()
	case AuthSecretJWT, AuthPrivateKeyJWT, AuthNone: // see assertion
	}
	return c
}

// assertion is the client assertion of private_key_jwt or client_secret_jwt
// (RFC 7523 2.2), nil for other methods. Its audience is the issuer alone, unless
// configured: a token endpoint that a lying provider names would make it good
// elsewhere.
func (rp *RelyingParty) assertion(op *provider) (url.Values, error) {
	var key jose.SigningKey
	opts := (&jose.SignerOptions{}).WithType("JWT")
	switch rp.method(op) {
	case AuthPrivateKeyJWT:
		alg, err := keyAlgorithm(rp.c.ClientKey.Public())
		if err != nil {
			return nil, fmt.Errorf("oidc: client key of %s: %w", rp.c.ID, err)
		}
		key, opts = jose.SigningKey{Algorithm: alg, Key: cryptosigner.Opaque(rp.c.ClientKey)}, opts.WithHeader("kid", rp.c.ClientKeyID)
	case AuthSecretJWT:
		key = jose.SigningKey{Algorithm: jose.HS256, Key: []byte(rp.c.ClientSecret.Reveal())}
	default:
		return nil, nil
	}
	signer, err := jose.NewSigner(key, opts)
	if err != nil {
		return nil, fmt.Errorf("oidc: client assertion of %s: %w", rp.c.ID, err)
	}
	audience := op.Issuer
	if rp.c.AudienceTokenEndpoint {
		audience = op.Token
	}
	now := rp.c.Now()
	signed, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: rp.c.ClientID, Subject: rp.c.ClientID, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		return nil, fmt.Errorf("oidc: client assertion of %s: %w", rp.c.ID, err)
	}
	return url.Values{
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {signed},
	}, nil
}

// clientAuth is the assertion as the token endpoint's library takes it.
func (rp *RelyingParty) clientAuth(op *provider) ([]oauth2.AuthCodeOption, error) {
	form, err := rp.assertion(op)
	var out []oauth2.AuthCodeOption
	for name, v := range form {
		out = append(out, oauth2.SetAuthURLParam(name, v[0]))
	}
	return out, err
}

// post sends a form to an endpoint of the provider at which we prove who we are.
func (rp *RelyingParty) post(ctx context.Context, op *provider, address string, form url.Values) (status int, body []byte, err error) {
	proof, err := rp.assertion(op)
	if err != nil {
		return 0, nil, err
	}
	form.Set("client_id", rp.c.ClientID)
	for name, v := range proof {
		form[name] = v
	}
	method := rp.method(op)
	if method == AuthPost {
		form.Set("client_secret", rp.c.ClientSecret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if method == AuthBasic { // RFC 6749 2.3.1
		req.SetBasicAuth(url.QueryEscape(rp.c.ClientID), url.QueryEscape(rp.c.ClientSecret.Reveal()))
	}
	return rp.call(req)
}

// JWKS returns the document with the public client keys for private_key_jwt, an
// empty set without.
func (rp *RelyingParty) JWKS() ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if rp.c.ClientKey != nil {
		own := PublicKey{rp.c.ClientKeyID, rp.c.ClientKey.Public()}
		for _, k := range append([]PublicKey{own}, rp.c.ClientKeys...) {
			alg, err := keyAlgorithm(k.Key)
			if err != nil || slices.ContainsFunc(set.Keys, func(j jose.JSONWebKey) bool { return j.KeyID == k.ID }) {
				continue
			}
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: string(alg), Use: "sig"})
		}
	}
	b, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("oidc: encode JWKS: %w", err)
	}
	return b, nil
}
