package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// fetchEvery is the least time between two fetches that an unknown key id sets
// off, so that forged tokens cannot make us storm the provider.
const fetchEvery = 15 * time.Second

// keySet is the provider's signing keys. It implements go-oidc's KeySet.
type keySet struct {
	http       *http.Client
	now        func() time.Time
	algorithms []jose.SignatureAlgorithm

	mu      sync.Mutex
	url     string
	keys    []jose.JSONWebKey
	fetched time.Time
}

func (k *keySet) setURL(u string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.url != u {
		k.url, k.keys, k.fetched = u, nil, time.Time{}
	}
}

// errUnknownKey means that no key of the set verifies the token.
var errUnknownKey = errors.New("oidc: no key of the provider verifies the token")

// VerifySignature returns the payload of a token that a current key signed.
func (k *keySet) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("oidc: token: %w", err)
	}
	if len(jws.Signatures) != 1 {
		return nil, errors.New("oidc: a token has one signature")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if payload := verifyWith(jws, k.keys); payload != nil {
		return payload, nil
	}
	if !k.fetched.IsZero() && k.now().Sub(k.fetched) < fetchEvery {
		return nil, errUnknownKey
	}
	if err := k.fetch(ctx); err != nil {
		return nil, err
	}
	if payload := verifyWith(jws, k.keys); payload != nil {
		return payload, nil
	}
	return nil, errUnknownKey
}

// errFetch marks a failure to reach the keys, which is not the token's fault.
var errFetch = errors.New("oidc: the provider's keys cannot be fetched")

func (k *keySet) fetch(ctx context.Context) error {
	k.fetched = k.now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errFetch, err)
	}
	resp, err := k.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errFetch, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: status %d", errFetch, resp.StatusCode)
	}
	// Keys are decoded one by one: a provider may publish some of a kind that
	// is not known here.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		return fmt.Errorf("%w: %w", errFetch, err)
	}
	k.keys = nil
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && usable(key) {
			k.keys = append(k.keys, key)
		}
	}
	return nil
}

// usable holds that a key is public, meant for signatures and strong enough.
func usable(k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		return p.N.BitLen() >= 2048 && p.E >= 3
	case *ecdsa.PublicKey:
		return p.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// verifyWith tries the key of the token's kid; without kid, every key.
func verifyWith(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) []byte {
	h := jws.Signatures[0].Header
	for _, key := range keys {
		if h.KeyID != "" && key.KeyID != h.KeyID || key.Algorithm != "" && key.Algorithm != h.Algorithm {
			continue
		}
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload
		}
	}
	return nil
}

// loopback reports whether an address is on this machine.
func loopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}
