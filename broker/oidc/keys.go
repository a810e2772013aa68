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
	maxKeys  = 100 // that a token without a kid is tried with, or that have none
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
	leftOut []string  // keys that cannot be used, and why
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
	if odd := strings.Join(k.odd(), "; "); odd != "" {
		return nil, fmt.Errorf("%w (left out: %.500s)", errUnknownKey, odd)
	}
	return nil, errUnknownKey
}

func (k *keySet) odd() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leftOut
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
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	err := k.getJSON(ctx, address, &set)
	// Keys are decoded one by one, and what one looks like says nothing about
	// the others.
	keys, leftOut := readKeys(set.Keys)
	if err == nil && len(keys) == 0 {
		err = fmt.Errorf("no usable key among %d (%.500s)", len(set.Keys), strings.Join(append(leftOut, "no other"), "; "))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.url != address: // discovery named another address meanwhile
	case err != nil:
		k.err, k.forced = fmt.Errorf("%w: %w", errFetch, err), k.now()
	default:
		k.err, k.keys, k.leftOut, k.fetched = nil, keys, leftOut, k.now()
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

// readKeys reads the keys of a set that can be used, and says what the others
// are.
func readKeys(all []json.RawMessage) (keys []jose.JSONWebKey, leftOut []string) {
	for i, raw := range all {
		key, err := readKey(raw)
		switch {
		case err != nil:
			leftOut = append(leftOut, fmt.Sprintf("key %d: %v", i, err))
		case !usable(key):
			leftOut = append(leftOut, fmt.Sprintf("key %d (%.40q): it is not for signatures, or too weak", i, key.KeyID))
		default:
			keys = append(keys, key)
		}
	}
	return keys, leftOut
}

// readKey takes of a JWK (RFC 7517) what a signature is verified with, and
// nothing else: certificates in x5c say nothing about the key beside them, and
// crypto/x509 refuses odd ones. A kid that is a number is one as text; numbers of
// the key may be in base64 with padding.
func readKey(raw json.RawMessage) (key jose.JSONWebKey, err error) {
	var in, out map[string]json.RawMessage
	if err := json.Unmarshal(raw, &in); err != nil {
		return key, errors.New("no JSON object")
	}
	out = map[string]json.RawMessage{}
	put := func(name, v string) {
		b, err := json.Marshal(v)
		if err == nil {
			out[name] = b
		}
	}
	for _, name := range []string{"kty", "use", "alg", "crv"} {
		var v string
		switch member, there := in[name]; {
		case !there || string(member) == "null":
		case json.Unmarshal(member, &v) != nil:
			return key, fmt.Errorf("%s is no text", name)
		default:
			out[name] = member
		}
	}
	for _, name := range []string{"n", "e", "x", "y"} {
		var v string
		if json.Unmarshal(in[name], &v) == nil && v != "" {
			put(name, strings.NewReplacer("+", "-", "/", "_", "=", "", "\n", "", "\r", "").Replace(v))
		}
	}
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(in["kid"], &text) == nil:
		put("kid", text)
	case json.Unmarshal(in["kid"], &number) == nil:
		put("kid", number.String())
	}
	b, err := json.Marshal(out)
	if err != nil {
		return key, err
	}
	if err := json.Unmarshal(b, &key); err != nil {
		return key, fmt.Errorf("%w", err)
	}
	return key, nil
}

// verifyWith tries the keys with the token's kid, then those without one; for a
// token without kid, every key.
func verifyWith(jws *jose.JSONWebSignature, keys []jose.JSONWebKey) []byte {
	h := jws.Signatures[0].Protected
	tried := 0
	for _, named := range []bool{true, false} {
		for _, key := range keys {
			if (key.KeyID != "") != named || named && h.KeyID != "" && key.KeyID != h.KeyID || key.Algorithm != "" && key.Algorithm != h.Algorithm {
				continue
			}
			if tried++; tried > maxKeys {
				return nil
			}
			if payload, err := jws.Verify(key.Key); err == nil {
				return payload
			}
		}
	}
	return nil
}
