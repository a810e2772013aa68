package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/oidc"
)

// TestKeyRotation ensures that a new key is fetched at once and that forged key
// ids do not make a storm.
func TestKeyRotation(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	now := time.Now()
	rp := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	finish := func() error {
		_, err := rp.Finish(t.Context(), request(), callback())
		return err
	}
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(20 * time.Second)
	p.keyID, p.key.Key = "k2", rsaKey2()
	p.jwks = append(p.jwks, jose.JSONWebKey{Key: rsaKey2().Public(), KeyID: "k2"})
	if err := finish(); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	before := p.fetches
	for n := range 50 {
		p.keyID = fmt.Sprint("forged", n)
		if finish() == nil {
			t.Error("a forged key id was accepted")
		}
	}
	if n := p.fetches - before; n > 0 {
		t.Errorf("%d fetches right after one for a new key", n)
	}
	now = now.Add(20 * time.Second)
	for n := range 50 {
		p.keyID = fmt.Sprint("forged-later", n)
		if finish() == nil {
			t.Error("a forged key id was accepted")
		}
	}
	if n := p.fetches - before; n != 1 {
		t.Errorf("%d fetches for 50 forged key ids", n)
	}
}

// TestKeyRotationJustNow ensures that a key which came right after the last
// fetch is found: only fetches for unknown keys brake.
func TestKeyRotationJustNow(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	rp := p.party(t, nil)
	if err := rp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.keyID, p.key.Key = "k2", rsaKey2()
	p.jwks = []jose.JSONWebKey{{Key: rsaKey2().Public(), KeyID: "k2"}}
	if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
}

// TestWithdrawnKey ensures that a key the provider took back ends, and that an
// outage of the key endpoint lets nobody in for ever.
func TestWithdrawnKey(t *testing.T) {
	p := newOP(t)
	now := time.Now()
	rp := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	finish := func() broker.Code {
		p.nonce, p.claims["iat"], p.claims["exp"], p.claims["auth_time"] = "nonce-1", now.Unix(), now.Add(time.Hour).Unix(), now.Unix()
		_, err := rp.Finish(t.Context(), request(), callback())
		return broker.CodeOf(err)
	}
	if code := finish(); code != "" {
		t.Fatal(code)
	}
	good := p.jwks
	p.jwks = nil // the endpoint is broken
	now = now.Add(23 * time.Hour)
	if code := finish(); code != "" {
		t.Errorf("within a day of an outage: %s", code)
	}
	now = now.Add(2 * time.Hour)
	if code := finish(); code != broker.CodeUnavailable {
		t.Errorf("after a day of an outage: %s", code)
	}
	p.jwks = good
	now = now.Add(time.Minute)
	if code := finish(); code != "" {
		t.Errorf("after the outage: %s", code)
	}
	p.jwks = []jose.JSONWebKey{{Key: rsaKey2().Public(), KeyID: "k2"}} // k1 is withdrawn
	now = now.Add(3 * time.Hour)
	if code := finish(); code != broker.CodeUnauthenticated {
		t.Errorf("with a withdrawn key: %s", code)
	}
}

// TestKeysComeBack ensures that a failed fetch is no verdict about tokens: it is
// an outage, and it ends.
func TestKeysComeBack(t *testing.T) {
	p := newOP(t)
	p.nonce = "nonce-1"
	now := time.Now()
	rp := p.party(t, func(c *oidc.Config) { c.Now = func() time.Time { return now } })
	good := p.jwks
	p.jwks = nil
	for range 3 {
		if _, err := rp.Finish(t.Context(), request(), callback()); broker.CodeOf(err) != broker.CodeUnavailable {
			t.Errorf("%v", err)
		}
	}
	if p.fetches > 2 {
		t.Errorf("%d fetches of broken keys at once", p.fetches)
	}
	p.jwks = good
	now = now.Add(16 * time.Second)
	if _, err := rp.Finish(t.Context(), request(), callback()); err != nil {
		t.Error(err)
	}
}

// TestSlowKeys ensures that people who wait for the same keys make one request,
// and that the first one to leave takes nothing from the others.
func TestSlowKeys(t *testing.T) {
	p := newOP(t)
	p.claims["iss"], p.claims["aud"] = "https://idp.example", "rolegate"
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: p.jwks})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p.claims["iat"], p.claims["auth_time"], p.claims["exp"] = time.Now().Unix(), nil, time.Now().Add(time.Hour).Unix()
		raw := p.sign(p.claims)
		slow, asked := false, 0
		rp := remote(t, nil, func(r *http.Request) (string, error) {
			if r.URL.Path != "/jwks" {
				return plainDiscovery, nil
			}
			if !slow {
				return "", errors.New("down")
			}
			asked++
			select {
			case <-time.After(10 * time.Second):
				return string(jwks), nil
			case <-r.Context().Done():
				return "", r.Context().Err()
			}
		})
		if rp.Refresh(t.Context()) == nil {
			t.Fatal("keys came")
		}
		slow = true
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		verify := func(ctx context.Context) {
			if _, err := rp.Verify(ctx, raw); err != nil {
				t.Error(err)
			}
		}
		first, leave := context.WithCancel(t.Context())
		wg.Go(func() { verify(first) })
		synctest.Wait()
		for range 50 {
			wg.Go(func() { verify(t.Context()) })
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}
