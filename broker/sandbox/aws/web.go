package aws

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// keysFor is how long an issuer's keys are kept.
const keysFor = time.Minute

type cachedKeys struct {
	at   time.Time
	keys map[string]crypto.PublicKey
}

type tokenClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience json.RawMessage `json:"aud"`
	Party    string          `json:"azp"`
	Expires  json.RawMessage `json:"exp"`
	IssuedAt json.RawMessage `json:"iat"`
	AMR      []string        `json:"amr"`
	ID       string          `json:"jti"`
	Tags     *struct {
		Principal  map[string]json.RawMessage `json:"principal_tags"`
		Transitive []string                   `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	SourceIdentity string `json:"https://aws.amazon.com/source_identity"`
}

// webIdentity verifies AssumeRoleWithWebIdentity up to the trust policy. It
// reads and verifies the JWT with the standard library alone.
func (c *assume) webIdentity(ctx context.Context) error {
	raw := c.form.Get("WebIdentityToken")
	c.sessionName = c.form.Get("RoleSessionName")
	parts := strings.Split(raw, ".")
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var claims tokenClaims
	formed := len(parts) == 3 && decodePart(parts[0], &header) == nil && decodePart(parts[1], &claims) == nil
	bad := invalidToken("The ID Token provided is not a valid JWT.")
	err := first(
		c.a.need("web.length", len(raw) >= 4 && len(raw) <= 20000, refuse("ValidationError", "WebIdentityToken has 4 to 20000 characters")),
		c.a.need("web.provider_id", !c.form.Has("ProviderId"), refuse("ValidationError", "ProviderId is for OAuth 2.0 access tokens")),
		c.a.need("web.session_name", namePattern.MatchString(c.sessionName), refuse("ValidationError", "RoleSessionName")),
		c.a.need("web.format", formed, bad),
	)
	if err != nil || !formed {
		return first(err, errUnreadable)
	}
	_, known := hashes[header.Algorithm]
	if err := c.a.need("web.algorithm", known, invalidToken("Unsupported algorithm")); err != nil || !known {
		return first(err, errUnreadable)
	}
	provider, ok := c.oidcProvider(claims.Issuer)
	if err := c.a.need("web.provider", ok, invalidToken("No OpenIDConnect provider found in your account for %s", claims.Issuer)); err != nil {
		return err
	}
	if err := c.verifyToken(ctx, claims.Issuer, header.KeyID, header.Algorithm, parts); err != nil {
		return err
	}
	if err := c.tokenTimes(claims); err != nil {
		return err
	}
	return c.tokenClaims(claims, provider)
}

// errUnreadable ends a call that cannot go on because a test switched the check
// off that would have refused it.
var errUnreadable = refuse("InternalFailure", "cannot go on")

var hashes = map[string]crypto.Hash{
	"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512, "ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512,
}

func decodePart(s string, into any) error {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, into)
}

func (c *assume) oidcProvider(issuer string) (OIDCProvider, bool) {
	if c.acc == nil {
		return OIDCProvider{}, false
	}
	for _, p := range c.acc.OIDCProviders {
		if p.URL == issuer {
			return p, true
		}
	}
	return OIDCProvider{URL: issuer}, false
}

func (c *assume) verifyToken(ctx context.Context, issuer, kid, alg string, parts []string) error {
	keys, err := c.a.issuerKeys(ctx, issuer)
	if no, ok := errors.AsType[*refusal](err); ok {
		return no
	}
	if err != nil {
		return refuse("IDPCommunicationError", "Couldn't retrieve verification key from your identity provider")
	}
	key, ok := keys[kid]
	if err := c.a.need("web.key", ok, invalidToken("Couldn't retrieve verification key from your identity provider")); err != nil {
		return err
	}
	if !ok {
		for _, k := range keys {
			key = k
		}
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	hash := hashes[alg]
	h := hash.New()
	h.Write([]byte(parts[0] + "." + parts[1]))
	good := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		good = strings.HasPrefix(alg, "RS") && rsa.VerifyPKCS1v15(k, hash, h.Sum(nil), sig) == nil
	case *ecdsa.PublicKey:
		half := (k.Curve.Params().BitSize + 7) / 8
		good = strings.HasPrefix(alg, "ES") && len(sig) == 2*half && ecdsa.Verify(k, h.Sum(nil), new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:]))
	}
	return c.a.need("web.signature", err == nil && good, invalidToken("Signature verification failed"))
}

func (c *assume) tokenTimes(t tokenClaims) error {
	var exp, iat int64
	integers := json.Unmarshal(t.Expires, &exp) == nil && (t.IssuedAt == nil || json.Unmarshal(t.IssuedAt, &iat) == nil)
	if !integers {
		var f float64
		_ = json.Unmarshal(t.Expires, &f)
		exp = int64(f)
	}
	return first(
		c.a.need("web.timestamps", integers, invalidToken("Timestamps must be formatted as integers")),
		c.a.need("web.expiry", c.now.Before(time.Unix(exp, 0)), refuse("ExpiredTokenException", "Token expired")),
		c.a.need("web.issued_at", t.IssuedAt != nil && !time.Unix(iat, 0).After(c.now.Add(time.Minute)), invalidToken("iat is missing or to come")),
	)
}

func (c *assume) tokenClaims(t tokenClaims, p OIDCProvider) error {
	var audience string
	single := json.Unmarshal(t.Audience, &audience) == nil
	if !single {
		var list []string
		if json.Unmarshal(t.Audience, &list) == nil && len(list) > 0 {
			audience, single = list[0], len(list) == 1
		}
	}
	err := first(
		c.a.need("web.subject", len(t.Subject) >= 6 && len(t.Subject) <= 255, invalidToken("sub has 6 to 255 characters")),
		c.a.need("web.single_audience", single, invalidToken("Incorrect token audience")),
		c.a.need("web.audience", slices.Contains(p.ClientIDs, audience), invalidToken("Incorrect token audience")),
		c.a.need("web.authorized_party", t.Party == "" || t.Party == audience, invalidToken("Incorrect token audience")),
	)
	if err != nil {
		return err
	}
	values := map[string][]string{}
	shaped := true
	var transitive []string
	if t.Tags != nil {
		transitive = t.Tags.Transitive
		for k, raw := range t.Tags.Principal {
			var list []string
			var one string
			if json.Unmarshal(raw, &list) != nil {
				shaped = false
				_ = json.Unmarshal(raw, &one)
				list = []string{one}
			}
			values[k] = list
		}
	}
	if err := c.a.need("web.tags", shaped, invalidToken("principal_tags holds lists of one string")); err != nil {
		return err
	}
	if err := c.checkTags(values, transitive); err != nil {
		return err
	}
	host := strings.TrimPrefix(p.URL, "https://")
	c.principal = fmt.Sprintf("arn:%s:iam::%s:oidc-provider/%s", c.role.partition, c.role.account, host)
	c.sourceIdentity = t.SourceIdentity
	c.issuer, c.subject, c.audience, c.tokenID = t.Issuer, t.Subject, audience, t.ID
	key := strings.ToLower(host)
	c.facts = facts{key + ":aud": {audience}, key + ":sub": {t.Subject}}
	if t.Party != "" {
		c.facts[key+":azp"] = []string{t.Party}
	}
	if len(t.AMR) > 0 {
		c.facts[key+":amr"] = t.AMR
	}
	return c.a.need("saml.source_identity", t.SourceIdentity == "" || namePattern.MatchString(t.SourceIdentity), invalidToken("Source Identity"))
}

// issuerKeys fetches discovery and JWKS over HTTPS, as IAM does.
func (a *AWS) issuerKeys(ctx context.Context, issuer string) (map[string]crypto.PublicKey, error) {
	a.mu.Lock()
	cached, ok := a.keys[issuer]
	a.mu.Unlock()
	if ok && a.o.Now().Sub(cached.at) < keysFor {
		return cached.keys, nil
	}
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := a.fetch(ctx, issuer+"/.well-known/openid-configuration", &discovery); err != nil {
		return nil, err
	}
	if err := a.need("web.discovery", discovery.Issuer == issuer && strings.HasPrefix(discovery.Keys, "https://"), invalidToken("discovery of another issuer, or keys without TLS")); err != nil {
		return nil, err
	}
	var set struct {
		Keys []struct{ Kty, Kid, Crv, N, E, X, Y string }
	}
	if err := a.fetch(ctx, discovery.Keys, &set); err != nil {
		return nil, err
	}
	kinds := map[string]int{}
	for _, k := range set.Keys {
		kinds[k.Kty]++
	}
	if err := a.need("web.key_count", kinds["RSA"] <= 100 && kinds["EC"] <= 100, invalidToken("%d RSA and %d EC keys", kinds["RSA"], kinds["EC"])); err != nil {
		return nil, err
	}
	keys := map[string]crypto.PublicKey{}
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	for _, k := range set.Keys {
		switch {
		case k.Kty == "RSA":
			keys[k.Kid] = &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		case k.Kty == "EC" && k.Crv == "P-256":
			x, y := make([]byte, 32), make([]byte, 32)
			point := append(append([]byte{4}, number(k.X).FillBytes(x)...), number(k.Y).FillBytes(y)...)
			if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
				keys[k.Kid] = key
			}
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no keys")
	}
	a.mu.Lock()
	a.keys[issuer] = cachedKeys{at: a.o.Now(), keys: keys}
	a.mu.Unlock()
	return keys, nil
}

func (a *AWS) fetch(ctx context.Context, address string, into any) error {
	if a.o.HTTP == nil {
		return fmt.Errorf("no HTTP client")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := a.o.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(into)
}
