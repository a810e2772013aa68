package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

const dexConfig = `
issuer: %[1]s
storage: {type: sqlite3, config: {file: %[2]q}}
web: {http: %[3]q}
oauth2: {skipApprovalScreen: true, passwordConnector: local}
enablePasswordDB: true
staticPasswords:
  - {email: alice@example.org, hash: %[4]q, username: alice, preferredUsername: alice, userID: "11111111-1111-1111-1111-111111111111", groups: [aws-prod-admin, staff]}
staticClients:
  - {id: broker, secret: %[5]q, name: broker, redirectURIs: ["%[6]s/oidc/dex/callback"]}
`

const withDexConfig = `
public_url: %[1]s
identity_providers:
  - id: dex
    name: dex
    oidc: {issuer: %[2]q, client_id: broker, client_secret: "env:DEX", scopes: [openid, profile, email, groups], insecure_http: true}
    identity: {username: 'claims.preferred_username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
accounts:
  - {id: "111111111111", name: prod}
roles:
  - {name: admin, iam_role: RolegateAdmin, require: {mfa: true}}
  - {name: readonly, iam_role: RolegateReadOnly}
rules:
  - {name: all of prod, groups: [aws-prod-admin], accounts: [prod], roles: [admin, readonly]}
role_session: {name: 'identity.email', source_identity: 'identity.username'}
insecure_aws_endpoints: {sts: %[3]q, signin: %[4]q, console: %[5]q}
`

// TestDex signs in through dex, whose issuer has a path and which proves no
// second factor, to the console; the role that needs one stays closed.
func TestDex(t *testing.T) {
	bin := os.Getenv("ROLEGATE_TEST_DEX")
	if bin == "" {
		t.Skip("dex is a peer that is run by hand: see .ci/peers/README.md")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	issuer, self, dir := "http://"+strings.Replace(address, "127.0.0.1", "localhost", 1)+"/dex", "", t.TempDir()
	rig := newRig(t, "localhost:0", func(ours, sts, signIn, console string) []byte {
		self = ours
		return fmt.Appendf(nil, withDexConfig, ours, issuer, sts, signIn, console)
	})
	const hash = "$2a$10$TmN5lq054B3YUuzorEtJ/usCxstpnW1smWXeYiU9YePy4s4mnkxKe" // of alicepw
	file := filepath.Join(dir, "dex.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, dexConfig, issuer, filepath.Join(dir, "dex.db"), address, hash, peerSecret, self), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "serve", file)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = t.Output(), t.Output(), 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // the context has ended it
	ready := false
	for range 1200 {
		resp, err := http.Get(issuer + "/.well-known/openid-configuration") //nolint:noctx // a peer of the test
		if err == nil {
			_ = resp.Body.Close()
			ready = resp.StatusCode == http.StatusOK
		}
		if ready {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !ready {
		t.Fatal("dex did not start")
	}
	for id, err := range rig.server.Refresh(t.Context()) {
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}

	wrong := newFormBrowser(t)
	must(t, wrong, wrong.Get(t.Context(), rig.url+"/signin/dex"))
	must(t, wrong, wrong.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"login": "alice@example.org", "password": "wrong"}))
	if strings.HasPrefix(rig.url, "http://"+wrong.URL.Host) {
		t.Fatalf("a wrong password leads to %v", wrong.URL)
	}
	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), rig.url+"/signin/dex"))
	must(t, b, b.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"login": "alice@example.org", "password": "alicepw"}))
	rig.toConsole(t, b, "prod", "readonly", "assumed-role/RolegateReadOnly/alice@example.org")
	must(t, b, b.Get(t.Context(), rig.url+"/go?account=prod&role=admin"))
	if b.Status != http.StatusUnauthorized || !strings.Contains(b.Body, "second factor") {
		t.Errorf("the role that needs a second factor: %d at %v\n%.2000s", b.Status, b.URL, b.Body)
	}
}
