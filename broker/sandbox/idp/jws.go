package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	assertionType  = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	assertionBytes = 8 << 10
	assertionLimit = 10 * time.Minute // exp is no further away
	assertionSkew  = time.Minute
)

// sign makes a compact JWS with RS256 (RFC 7515, RFC 7518 section 3.3).
func (p *OIDC) sign(claims map[string]any) (string, error) {
	header, err1 := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": p.kid})
	payload, err2 := json.Marshal(claims)
	if err := errors.Join(err1, err2); err != nil {
		return "", fmt.Errorf("idp: sign: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, p.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("idp: sign: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// authenticate tells the client of a token request: by secret in the header, or
// by an assertion of its own (RFC 7523 section 2.2), and by one way only.
func (p *OIDC) authenticate(r *http.Request) (Client, bool) {
	id := r.PostForm.Get("client_id")
	if r.PostForm.Has("client_secret") {
		return Client{}, false
	}
	if r.Header.Get("Authorization") != "" {
		user, pass, _ := r.BasicAuth()
		name, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(pass)
		c, ok := p.client(name)
		good := subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 1
		return c, ok && good && c.Secret != "" && err1 == nil && err2 == nil && (id == "" || id == name) && !r.PostForm.Has("client_assertion")
	}
	if r.PostForm.Get("client_assertion_type") != assertionType {
		return Client{}, false
	}
	return p.assertedClient(r.PostForm.Get("client_assertion"), id)
}

// assertion is the payload of a client assertion (RFC 7523 section 3).
type assertion struct {
	Iss, Sub, Jti string
	Aud           audience
	Exp           int64
	Nbf           int64
}

// audience is one string or several (RFC 7519 section 4.1.3).
type audience []string

// UnmarshalJSON takes both forms.
func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if err := json.Unmarshal(b, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var several []string
	if err := json.Unmarshal(b, &several); err != nil {
		return err
	}
	*a = several
	return nil
}

func (p *OIDC) assertedClient(token, id string) (Client, bool) {
	var header struct{ Alg string }
	var claims assertion
	text, sig, ok := splitJWS(token, &header, &claims)
	if !ok || id != "" && id != claims.Iss {
		return Client{}, false
	}
	c, ok := p.client(claims.Iss)
	if !ok || !slices.ContainsFunc(c.Keys, func(k crypto.PublicKey) bool { return verifyJWS(k, header.Alg, text, sig) }) {
		return Client{}, false
	}
	now := p.o.Now()
	end, start := time.Unix(claims.Exp, 0), time.Unix(claims.Nbf, 0)
	if claims.Sub != claims.Iss || claims.Jti == "" || !slices.ContainsFunc(claims.Aud, p.addressed) ||
		!now.Before(end.Add(assertionSkew)) || end.After(now.Add(assertionLimit)) || start.After(now.Add(assertionSkew)) {
		return Client{}, false
	}
	return c, p.seen.putNew(c.ID+"\x00"+claims.Jti, true)
}

func (p *OIDC) addressed(aud string) bool { return aud == p.o.Issuer || aud == p.o.Issuer+"/token" }

// splitJWS reads a compact JWS without judging it.
func splitJWS(token string, header, claims any) (text string, sig []byte, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(token) > assertionBytes {
		return "", nil, false
	}
	h, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	c, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	sig, err3 := base64.RawURLEncoding.DecodeString(parts[2])
	if err := errors.Join(err1, err2, err3); err != nil || json.Unmarshal(h, header) != nil || json.Unmarshal(c, claims) != nil {
		return "", nil, false
	}
	return parts[0] + "." + parts[1], sig, true
}

// keyAlgorithm is the one algorithm that a key is used with, "" for keys that
// are not taken: what a token says of its algorithm decides nothing.
func keyAlgorithm(k crypto.PublicKey) string {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return "RS256"
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return "ES256"
		}
	case ed25519.PublicKey:
		return "EdDSA"
	}
	return ""
}

func verifyJWS(key crypto.PublicKey, alg, text string, sig []byte) bool {
	if alg != keyAlgorithm(key) {
		return false
	}
	sum := sha256.Sum256([]byte(text))
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
	case *ecdsa.PublicKey:
		return len(sig) == 64 && ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize && ed25519.Verify(k, []byte(text), sig)
	}
	return false
}
