package oidc_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestOddKeys ensures that a key is taken by what a signature is verified with,
// whatever stands beside it, and that one odd key is in nobody's way.
func TestOddKeys(t *testing.T) {
	plain := func() map[string]any {
		b, err := json.Marshal(jose.JSONWebKey{Key: rsaKey().Public(), KeyID: "k1", Use: "sig", Algorithm: "RS256"})
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	with := func(name string, v any) func() []any {
		return func() []any {
			k := plain()
			if k[name] = v; v == nil {
				delete(k, name)
			}
			return []any{k}
		}
	}
	beside := func(odd ...any) func() []any { return func() []any { return append(odd, plain()) } }
	padded := base64.URLEncoding.EncodeToString(rsaKey().N.Bytes())
	for _, tt := range []struct {
		name string
		keys func() []any
		kid  string // of the token
		want string // in the error, "" where it is taken
	}{
		{"as it should be", beside(), "k1", ""},
		{"x5c that is no certificate", with("x5c", []string{"AAAA"}), "k1", ""},
		{"x5c with a negative serial number", with("x5c", []string{base64.StdEncoding.EncodeToString(negative(t))}), "k1", ""},
		{"x5c of an odd type", with("x5c", "x"), "k1", ""},
		{"x5t that does not fit", with("x5t", "AAAA"), "k1", ""},
		{"x5t#S256 that does not fit", with("x5t#S256", 7), "k1", ""},
		{"members nobody knows", with("nbf", "x"), "k1", ""},
		{"kid as a number", with("kid", 17), "17", ""},
		{"kid as a large number", with("kid", json.Number("12345678901234567890")), "12345678901234567890", ""},
		{"no kid, the token has one", with("kid", nil), "k9", ""},
		{"kid as null, the token has one", with("kid", json.RawMessage("null")), "k9", ""},
		{"no kid on either", with("kid", nil), "", ""},
		{"another kid", with("kid", "k2"), "k1", "no key of the provider"},
		{"n with padding", with("n", padded), "k1", ""},
		{"n in plain base64", with("n", base64.StdEncoding.EncodeToString(rsaKey().N.Bytes())), "k1", ""},
		{"n with a leading zero", with("n", base64.RawURLEncoding.EncodeToString(append([]byte{0}, rsaKey().N.Bytes()...))), "k1", ""},
		{"key_ops", with("key_ops", []string{"verify"}), "k1", ""},
		{"no use and no alg", func() []any { k := plain(); delete(k, "use"); delete(k, "alg"); return []any{k} }, "k1", ""},
		{"beside one that is no object", beside("x", 7, nil, []string{}), "k1", ""},
		{"beside one of a kind nobody knows", beside(map[string]any{"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "x"}), "k1", ""},
		{"beside one with the kid and no key", beside(map[string]any{"kty": "RSA", "kid": "k1", "n": "!", "e": "AQAB"}), "k1", ""},
		{"beside a private key", beside(map[string]any{"kty": "oct", "k": "AAAA", "kid": "k1"}), "k1", ""},
		{"after 150 others", func() []any {
			var all []any
			for n := range 150 {
				k := plain()
				k["kid"] = "other" + big.NewInt(int64(n)).String()
				all = append(all, k)
			}
			return append(all, plain())
		}, "k1", ""},
		{"use of an odd type", with("use", []string{"sig"}), "k1", "use is no text"},
		{"for encryption", with("use", "enc"), "k1", "it is not for signatures"},
		{"an exponent of one", with("e", "AQ"), "k1", "no usable key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newOP(t)
			p.nonce, p.keyID, p.rawKeys = "nonce-1", tt.kid, tt.keys()
			_, err := p.party(t, nil).Finish(t.Context(), request(), callback())
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// negative is a certificate with a negative serial number, which crypto/x509
// refuses.
func negative(t *testing.T) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	der = bytes.Replace(der, []byte{2, 1, 1}, []byte{2, 1, 0xff}, 1)
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("crypto/x509 takes it")
	}
	return der
}
