package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// forcedEvery is the least time between two fetches that an unknown key id
	// sets off, so that forged tokens cannot make us storm the provider.
	forcedEvery = 15 * time.Second
	// keysFresh is how long keys are used without asking again: the longest
	// that a key lives on which the provider withdrew.
	keysFresh = 2 * refreshEvery
	// keysKept is how long keys are used that cannot be fetched again.
	keysKept = 24 * time.Hour
	maxKeys  = 100
)

// keySet is the provider's signing keys, safe for concurrent use.
type keySet struct {
	getJSON    func(ctx context.Context, address string, into any) error
	now        func() time.Time
	algorithms []jose.SignatureAlgorithm
	gate       chan struct{} // held while a fetch is under way

	mu      sync.Mutex
	url     string
	keys    []jose.JSONWebKey
	fetched time.Time // when keys came; zero before
	forced  time.Time // last fetch for a token, or last that failed
	err     error     // of the last fetch
}

func (k *keySet) setURL(u string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.url != u {
		k.url, k.keys, k.fetched, k.forced, k.err = u, nil, time.Time{}, time.Time{}, nil
	}
}

var (
	// errUnknownKey means that no key of the set verifies the token.
	errUnknownKey = errors.New("oidc: no key of the provider verifies the token")
	// errFetch marks a failure to reach the keys, which is not the token's fault.
	errFetch = errors.New("oidc: the provider's keys cannot be fetched")
)

// The types of token (RFC 8725 3.11), as the typ of their header says it.
const (
	typeID     = "jwt"
	typeLogout = "logout+jwt"
)

// verify returns the payload of a token in compact form that a current key
// signed. A token that says what it is (typ something+jwt) must be of the type
// wanted, whoever signed it: an access or logout token is no ID token. One that
// does not say may be: neither OpenID Connect core nor Back-Channel Logout 2.4
// makes typ a must, and providers leave it out.
func (k *keySet) verify(ctx context.Context, raw, want string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("oidc: token: %w", err)
	}
	typ, _ := jws.Signatures[0].Protected.ExtraHeaders[jose.HeaderType].(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/") // RFC 7515 4.1.9
	if strings.HasSuffix(typ, "+jwt") && typ != want {
		return nil, fmt.Errorf("oidc: a token of type %.40q", typ)
	}
	keys, fetched, fresh := k.current()
	if fresh {
		if payload := verifyWith(jws, keys); payload != nil {
			return payload, nil
		}
	}
	keys, err = k.again(ctx, fetched)
	if payload := verifyWith(jws, keys); payload != nil {
		return payload, nil
	}
	if err != nil {
		return nil, err
	}
	return nil, errUnknownKey
}

func (k *keySet) current() (keys []jose.JSONWebKey, fetched time.Time, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	age := k.now().Sub(k.fetched)
	if age >= keysKept {
		return nil, k.fetched, false
	}
	return k.keys, k.fetched, age < keysFresh
}

// again returns keys newer than those of a time, or the same if asking is
// braked or fails; then with the error of the last fetch, if any.
func (k *keySet) again(ctx context.Context, than time.Time) ([]jose.JSONWebKey, error) {
	select {
	case k.gate <- struct{}{}:
		defer func() { <-k.gate }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", errFetch, ctx.Err())
	}
	k.mu.Lock()
	newer, braked := k.fetched.After(than), !k.forced.IsZero() && k.now().Sub(k.forced) < forcedEvery
	if !newer && !braked {
		k.forced = k.now()
	}
	k.mu.Unlock()
	if !newer && !braked {
		_ = k.fetch(context.WithoutCancel(ctx)) // kept in err; others wait for it too
	}
	keys, _, _ := k.current()
	k.mu.Lock()
	defer k.mu.Unlock()
	return keys, k.err
}

// refresh fetches in any case.
func (k *keySet) refresh(ctx context.Context) error {
	select {
	case k.gate <- struct{}{}:
		defer func() { <-k.gate }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errFetch, ctx.Err())
	}
	return k.fetch(ctx)
}

// fetch is called with the gate held.
func (k *keySet) fetch(ctx context.Context) error {
	k.mu.Lock()
	address := k.url
	k.mu.Unlock()
	// Keys are decoded one by one: a provider may publish some of a kind that
	// is not known here.
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err := k.getJSON(ctx, address, &set)
	if err == nil && len(set.Keys) > maxKeys {
		err = fmt.Errorf("%d keys", len(set.Keys))
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil && usable(key) {
			keys = append(keys, key)
		}
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("no usable key among them")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.url != address: // discovery named another address meanwhile
	case err != nil:
		k.err, k.forced = fmt.Errorf("%w: %w", errFetch, err), k.now()
	default:
		k.err, k.keys, k.fetched = nil, keys, k.now()
	}
	return k.err
}

// usable holds that a key is public, meant for signatures and strong enough,
// and not so large that checking a signature becomes an attack.
func usable(k jose.JSONWebKey) bool {
	if k.Use != "" && k.Use != "sig" {
		return false
	}
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		return p.N.BitLen() >= 2048 && p.N.BitLen() <= 8192 && p.E >= 3
	case *ecdsa.PublicKey:
		return p.Curve.Params().BitSize >= 256
	case ed25519.PublicKey:
		return true
	}
	return false
}

// verifyWith tries the keys with the token's kid; without kid, every key.
func verifyWith(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) []byte {
	h := jws.Signatures[0].Protected
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
