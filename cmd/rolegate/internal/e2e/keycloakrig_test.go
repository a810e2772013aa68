package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/outbound"
)

// keycloakConfig knows one realm four times: by OpenID Connect with a secret and
// with a key, by SAML, and by SAML with encrypted assertions. All are as in
// docs/identity-providers/keycloak.md.
const keycloakConfig = `
public_url: %[1]s
keys: {dir: %[5]q}
identity_providers:
  - id: keycloak
    name: Keycloak
    oidc: {issuer: "https://keycloak.test/realms/corp", client_id: rolegate, client_secret: "env:KEYCLOAK"}
    identity: {username: 'claims.preferred_username[0]', groups: 'claims.groups'}
    groups_absent: none
    mfa: {preset: keycloak}
  - id: keycloak-key
    name: Keycloak by key
    oidc: {issuer: "https://keycloak.test/realms/corp", client_id: rolegate-key, private_key_jwt: true}
    identity: {username: 'claims.preferred_username[0]', groups: 'claims.groups'}
    groups_absent: none
    mfa: {preset: keycloak}
  - id: keycloak-saml
    name: Keycloak by SAML
    saml: {metadata_url: "https://keycloak.test/realms/corp/protocol/saml/descriptor"}
    identity: {username: 'claims.username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
    groups_absent: none
    mfa: {authn_context: ['urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken']}
  - id: keycloak-sealed
    name: Keycloak by encrypted SAML
    saml: {metadata_url: "https://keycloak.test/realms/corp/protocol/saml/descriptor", want_encrypted: true}
    identity: {username: 'claims.username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
    groups_absent: none
    mfa: {own_factor: allowed}
accounts:
  - {id: "111111111111", name: prod}
  - {id: "333333333333", name: dev}
roles:
  - {name: admin, iam_role: RolegateAdmin, require: {mfa: true}}
  - {name: readonly, iam_role: RolegateReadOnly}
  - {name: lately, iam_role: RolegateReadOnly, require: {max_auth_age: 5s}}
  - {name: build, iam_role: RolegateBuild, via: idp_token}
rules:
  - {name: prod, groups: [aws-prod-admin], accounts: [prod], roles: [admin, readonly, lately]}
  - {name: dev, groups: [aws-dev-readonly], accounts: [dev], roles: [build]}
role_session: {name: 'identity.username', source_identity: 'identity.username'}
insecure_aws_endpoints: {sts: %[2]q, signin: %[3]q, console: %[4]q}
`

const (
	keycloakURL   = "https://keycloak.test"
	keycloakAlice = "11111111-1111-4111-8111-111111111111" // of realm.json, as is her secret
	keycloakTOTP  = "only-for-tests-alice"
)

// keycloakRig is rolegate with a Keycloak that knows it, and its administrator.
type keycloakRig struct {
	*peerRig
	http  *http.Client // reaches Keycloak
	token struct {     // of the administrator
		value string
		until time.Time
	}
}

func newKeycloakRig(t *testing.T) *keycloakRig {
	t.Helper()
	dir := need(t, "ROLEGATE_TEST_KEYCLOAK")
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	n := nearby{
		dial: map[string]string{"keycloak.test": strings.TrimSpace(string(read("address")))}, roots: x509.NewCertPool(),
		world: bytes.ReplaceAll(aws.Sandbox, []byte("login.rolegate.test"), []byte("keycloak.test/realms/corp")),
	}
	if !n.roots.AppendCertsFromPEM(read("tls.crt")) {
		t.Fatal("no certificate of Keycloak")
	}
	k := &keycloakRig{http: outbound.New(outbound.Options{DialMap: n.dial, Roots: n.roots, Timeout: time.Minute})}
	// One rolegate to Keycloak, which reads our metadata again after ten seconds
	// at the earliest.
	keys, err := filepath.Abs(filepath.Join(dir, "rolegate-keys"))
	if err != nil {
		t.Fatal(err)
	}
	k.peerRig = newRigNear(t, peerAddress, n, func(self, sts, signIn, console string) []byte {
		return fmt.Appendf(nil, keycloakConfig, self, sts, signIn, console, keys)
	})
	for id, err := range k.server.Refresh(t.Context()) {
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	k.stepUpFlow(t)
	return k
}

// browser is one that finds Keycloak by its name.
func (k *keycloakRig) browser(t *testing.T) *formbrowser.Browser {
	t.Helper()
	dir := need(t, "ROLEGATE_TEST_KEYCLOAK")
	address, err := os.ReadFile(filepath.Join(dir, "address"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(filepath.Join(dir, "tls.crt")); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	b, err := formbrowser.New(&http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == "keycloak.test:443" {
				to = strings.TrimSpace(string(address))
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// admin calls Keycloak's administration, as its console does. A nil into wants
// no more than success.
func (k *keycloakRig) admin(t *testing.T, method, path string, body, into any) {
	t.Helper()
	call := func(req *http.Request, into any) {
		t.Helper()
		resp, err := k.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %v %.500s", req.Method, req.URL, resp.StatusCode, err, b)
		}
		if into == nil {
			return
		}
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s: %v in %.500s", req.URL, err, b)
		}
	}
	if time.Now().After(k.token.until) {
		form := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, keycloakURL+"/realms/master/protocol/openid-connect/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		var token struct {
			Access string `json:"access_token"`
		}
		call(req, &token)
		k.token.value, k.token.until = token.Access, time.Now().Add(20*time.Second) // of the minute that it lives
	}
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, keycloakURL+"/admin/realms/corp"+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+k.token.value)
	call(req, into)
}

// object is one of JSON.
type object = map[string]any

// stepUpFlow makes the realm's browser flow one with two levels of
// authentication, a password and a code, unless a test before did.
func (k *keycloakRig) stepUpFlow(t *testing.T) {
	t.Helper()
	const flows, top = "/authentication/flows", "step-up"
	var have []struct{ Alias string }
	k.admin(t, http.MethodGet, flows, nil, &have)
	if slices.ContainsFunc(have, func(f struct{ Alias string }) bool { return f.Alias == top }) {
		return
	}
	k.admin(t, http.MethodPost, flows, object{"alias": top, "providerId": "basic-flow", "topLevel": true, "builtIn": false}, nil)
	type execution struct {
		ID, DisplayName, ProviderID, Requirement string
	}
	// add puts a step or a flow into a flow, as the last.
	add := func(in, kind, requirement string, body, config object) {
		t.Helper()
		k.admin(t, http.MethodPost, flows+"/"+in+"/executions/"+kind, body, nil)
		var all []execution
		k.admin(t, http.MethodGet, flows+"/"+in+"/executions", nil, &all)
		i := slices.IndexFunc(all, func(e execution) bool { return e.DisplayName == body["alias"] || e.ProviderID == body["provider"] })
		if i < 0 {
			t.Fatalf("the flow %s has no %v but %v", in, body, all)
		}
		k.admin(t, http.MethodPut, flows+"/"+in+"/executions", object{"id": all[i].ID, "requirement": requirement}, nil)
		if config != nil {
			k.admin(t, http.MethodPost, "/authentication/executions/"+all[i].ID+"/config", config, nil)
		}
	}
	step, flow := func(provider string) object { return object{"provider": provider} }, func(alias string) object {
		return object{"alias": alias, "type": "basic-flow", "provider": "registration-page-form", "description": ""}
	}
	add(top, "execution", "ALTERNATIVE", step("auth-cookie"), nil)
	add(top, "flow", "ALTERNATIVE", flow("step-up-forms"), nil)
	for i, form := range []string{"auth-username-password-form", "auth-otp-form"} {
		level := fmt.Sprint(i + 1)
		alias := "step-up-" + level
		add("step-up-forms", "flow", "CONDITIONAL", flow(alias), nil)
		add(alias, "execution", "REQUIRED", step("conditional-level-of-authentication"),
			object{"alias": alias, "config": object{"loa-condition-level": level, "loa-max-age": "36000"}})
		add(alias, "execution", "REQUIRED", step(form), nil)
	}
	k.admin(t, http.MethodPut, "", object{"browserFlow": top}, nil)
}

// rotate gives the realm a new key to sign with.
func (k *keycloakRig) rotate(t *testing.T) {
	t.Helper()
	priority := fmt.Sprint(time.Now().Unix()) // above those of earlier rotations
	var realm struct{ ID string }
	k.admin(t, http.MethodGet, "", nil, &realm)
	k.admin(t, http.MethodPost, "/components", object{
		"name": "rsa-" + priority, "parentId": realm.ID, "providerId": "rsa-generated", "providerType": "org.keycloak.keys.KeyProvider",
		"config": object{"priority": []string{priority}, "active": []string{"true"}, "enabled": []string{"true"}, "algorithm": []string{"RS256"}, "keySize": []string{"2048"}},
	}, nil)
}

// sessions are Alice's at Keycloak: of single sign-on, and offline ones of all
// its clients.
func (k *keycloakRig) sessions(t *testing.T) (online, offline int) {
	t.Helper()
	var list []object
	k.admin(t, http.MethodGet, "/users/"+keycloakAlice+"/sessions", nil, &list)
	online = len(list)
	var clients []struct{ ID string }
	k.admin(t, http.MethodGet, "/clients", nil, &clients)
	for _, c := range clients {
		list = nil
		k.admin(t, http.MethodGet, "/users/"+keycloakAlice+"/offline-sessions/"+c.ID, nil, &list)
		offline += len(list)
	}
	return online, offline
}

// endSessions signs Alice out at Keycloak, as its administrator does.
func (k *keycloakRig) endSessions(t *testing.T) {
	t.Helper()
	k.admin(t, http.MethodPost, "/users/"+keycloakAlice+"/logout", nil, nil)
}

// atKeycloak fills what Keycloak asks and passes on what it sends, until the
// browser is back at rolegate or beyond, and returns what it was asked. Without
// a password it stops where it is asked for one.
func (k *keycloakRig) atKeycloak(t *testing.T, b *formbrowser.Browser, user, password string) (asked []string) {
	t.Helper()
	for range 20 {
		if b.URL.Host != "keycloak.test" {
			return asked
		}
		switch {
		case found(b, "password"):
			asked = append(asked, "password")
			if password == "" {
				return asked
			}
			must(t, b, b.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"username": user, "password": password}))
			if found(b, "password") {
				return asked // it was wrong
			}
		case found(b, "otp"):
			asked = append(asked, "code")
			code, err := totp.GenerateCode(base32Of(keycloakTOTP), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			must(t, b, b.Submit(t.Context(), formbrowser.Has("otp"), map[string]string{"otp": code}))
		case found(b, "SAMLResponse"):
			must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLResponse"), nil))
		case found(b, "SAMLRequest"):
			must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLRequest"), nil))
		default:
			t.Fatalf("Keycloak asks something else at %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
		}
	}
	t.Fatalf("Keycloak goes on asking, at %v\n%.3000s", b.URL, b.Body)
	return nil
}

// base32Of is a secret as apps take it.
func base32Of(secret string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(secret))
}

func found(b *formbrowser.Browser, field string) bool {
	_, ok := b.Find(formbrowser.Has(field))
	return ok
}
