package issuer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
)

// TestSAMLByXMLSec ensures that another implementation agrees.
func TestSAMLByXMLSec(t *testing.T) {
	tool, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("xmlsec1 is missing: in CI every peer is needed")
		}
		t.Skip("xmlsec1 is missing: left out")
	}
	i, k := newIssuer(t, nil)
	r := request()
	r.SessionTags["Büro"] = "Zürich\u00a0/ 東京"
	a, err := i.Assert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	doc, cert := filepath.Join(dir, "r.xml"), filepath.Join(dir, "c.der")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(cert, k.Active(issuer.AWSSAML).Certificate.Raw)
	verify := func(b []byte) error {
		write(doc, b)
		out, err := exec.CommandContext(t.Context(), tool, "--verify", "--id-attr:ID",
			"urn:oasis:names:tc:SAML:2.0:assertion:Assertion", "--pubkey-cert-der", cert, doc).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := verify(response(t, a)); err != nil {
		t.Error(err)
	}
	if verify(bytes.Replace(response(t, a), []byte("alice@example.com"), []byte("mallory@example.co"), 1)) == nil {
		t.Error("a changed document verifies: the check cannot fail")
	}
}

// TestTokenByNode ensures that another language's cryptography agrees.
func TestTokenByNode(t *testing.T) {
	tool, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("node is missing: in CI every peer is needed")
		}
		t.Skip("node is missing: left out")
	}
	i, _ := newIssuer(t, nil)
	r := request()
	r.Via = broker.ViaOIDC
	a, err := i.Assert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	set, err := i.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	const script = `
const crypto = require("crypto");
const { token, jwks } = JSON.parse(require("fs").readFileSync(0));
const [h, p, s] = token.split(".");
const { kid, alg } = JSON.parse(Buffer.from(h, "base64url"));
const jwk = jwks.keys.find(k => k.kid === kid && k.alg === alg);
const key = crypto.createPublicKey({ key: jwk, format: "jwk" });
const ok = crypto.verify("sha256", Buffer.from(h + "." + p), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(s, "base64url"));
process.stdout.write(ok ? "verified" : "refused");`
	verify := func(token string) string {
		in, err := json.Marshal(map[string]any{"token": token, "jwks": json.RawMessage(set)})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), tool, "-e", script)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(in), t.Output()
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	raw := a.Raw.Reveal()
	if got := verify(raw); got != "verified" {
		t.Errorf("node says %q", got)
	}
	parts := strings.Split(raw, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`))
	if got := verify(strings.Join(parts, ".")); got != "refused" {
		t.Errorf("node says %q of a changed token", got)
	}
}

// TestTokenByRelyingParty ensures that an OIDC library accepts the token and
// what is published.
func TestTokenByRelyingParty(t *testing.T) {
	i, k := newIssuer(t, nil)
	discovery, err := i.Discovery()
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := i.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: static{".well-known/openid-configuration": discovery, "aws/jwks.json": jwks}}
	ctx := oidc.ClientContext(t.Context(), client)
	p, err := oidc.NewProvider(ctx, "https://sso.example.com")
	if err != nil {
		t.Fatal(err)
	}
	r := request()
	r.Via = broker.ViaOIDC
	a, err := i.Assert(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	verifier := p.VerifierContext(ctx, &oidc.Config{ClientID: "sts.amazonaws.com"})
	tok, err := verifier.Verify(ctx, a.Raw.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if tok.Subject != a.Subject || tok.Expiry.Sub(tok.IssuedAt) > 5*time.Minute || !tok.Expiry.Equal(a.ExpiresAt.Truncate(time.Second)) {
		t.Errorf("%+v", tok)
	}
	if _, err := p.VerifierContext(ctx, &oidc.Config{ClientID: "other"}).Verify(ctx, a.Raw.Reveal()); err == nil {
		t.Error("another audience is accepted: the check cannot fail")
	}
	// After a rotation, whoever kept the old JWKS still verifies.
	if err := k.Rotate(issuer.AWSOIDC); err != nil {
		t.Fatal(err)
	}
	j, err := issuer.New(issuer.Config{PublicURL: "https://sso.example.com", Keys: k})
	if err != nil {
		t.Fatal(err)
	}
	if a, err = j.Assert(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(ctx, a.Raw.Reveal()); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
}

// static serves the exported files as the issuer's host.
type static map[string][]byte

func (s static) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	if b, ok := s[strings.TrimPrefix(r.URL.Path, "/")]; ok && r.URL.Scheme+"://"+r.URL.Host == "https://sso.example.com" {
		rec.Header().Set("Content-Type", "application/json")
		rec.Body.Write(b)
	} else {
		rec.WriteHeader(http.StatusNotFound)
	}
	return rec.Result(), nil
}
