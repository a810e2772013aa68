package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// lemonConfig knows one LemonLDAP::NG twice, by SAML and by OpenID Connect. Its
// own words for a second factor are TLSClient and loa-5.
const lemonConfig = `
public_url: %[1]s
identity_providers:
  - id: lemon
    name: LemonLDAP by SAML
    email_domains: [badwolf.org]
    email_authoritative: true
    saml: {metadata_url: "%[2]s/saml/metadata"}
    identity: {username: 'claims.uid[0]', email: 'claims.mail[0]', groups: 'claims.groups'}
    mfa: {authn_context: ['urn:oasis:names:tc:SAML:2.0:ac:classes:TLSClient']}
  - id: lemon-oidc
    name: LemonLDAP by OpenID Connect
    insecure_unverified_email: true
    oidc: {issuer: "%[2]s", client_id: broker, client_secret: "env:LEMON", scopes: [openid, profile, email, groups], insecure_http: true}
    identity: {username: 'claims.preferred_username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
    mfa: {acr: [loa-5]}
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

// lemonAsksAgain is how old a sign-in has to be for LemonLDAP to heed a request
// for a new one: more than the second of its configuration, which it counts whole.
const lemonAsksAgain = 2100 * time.Millisecond

// lemonRig is rolegate with a LemonLDAP::NG that knows it.
type lemonRig struct {
	*peerRig
	idp string
}

// newLemonRig starts rolegate, then LemonLDAP::NG: that one reads the metadata
// of its service providers at start only.
func newLemonRig(t *testing.T) *lemonRig {
	t.Helper()
	dir := need(t, "ROLEGATE_TEST_LEMONLDAP")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(free.Addr().(*net.TCPAddr).Port)
	_ = free.Close()
	l := &lemonRig{idp: "http://localhost:" + port}
	l.peerRig = newRig(t, "localhost:0", func(self, sts, signIn, console string) []byte {
		return fmt.Appendf(nil, lemonConfig, self, l.idp, sts, signIn, console)
	})
	b := newFormBrowser(t)
	must(t, b, b.Get(t.Context(), l.url+"/saml/lemon/metadata"))
	if err := os.MkdirAll(filepath.Join(dir, "sp-metadata"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sp-metadata", "rolegate.xml"), []byte(b.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	peers := filepath.Join("..", "..", "..", "..", ".ci", "peers")
	start := exec.CommandContext(t.Context(), "bash", filepath.Join(peers, "lemonldap-ng", "start.sh"), dir)
	start.Env = append(os.Environ(), "PORT="+port, "CHECK_SIG=1", "REDIRECT_URI="+l.url+"/oidc/lemon-oidc/callback")
	if out, err := start.CombinedOutput(); err != nil {
		t.Fatalf("LemonLDAP::NG did not start: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		// The test's own context has ended here.
		if out, err := exec.Command("bash", filepath.Join(peers, "stop.sh"), dir).CombinedOutput(); err != nil { //nolint:noctx // a cleanup
			t.Errorf("LemonLDAP::NG was not stopped: %v\n%s", err, out)
		}
	})
	for id, err := range l.server.Refresh(t.Context()) {
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	return l
}

// atLemon fills whatever LemonLDAP asks, until the browser is back at rolegate
// or beyond. A person with a second factor needs its secret.
func (l *lemonRig) atLemon(t *testing.T, b *formbrowser.Browser, user, secret string) {
	t.Helper()
	for range 20 {
		if "http://"+b.URL.Host != l.idp {
			return
		}
		form, set := formbrowser.Has("SAMLResponse"), map[string]string(nil)
		if _, ok := b.Find(formbrowser.Has("password")); ok {
			form, set = formbrowser.Has("password"), map[string]string{"user": user, "password": user}
		} else if _, ok := b.Find(formbrowser.Has("code")); ok {
			code, err := totp.GenerateCode(secret, time.Now())
			if err != nil {
				t.Fatalf("LemonLDAP asks for a code: %v", err)
			}
			form, set = formbrowser.Has("code"), map[string]string{"code": code}
		} else if _, ok := b.Find(renews); ok {
			form = renews
		}
		must(t, b, b.Submit(t.Context(), form, set))
	}
	t.Fatalf("LemonLDAP goes on asking, at %v\n%.3000s", b.URL, b.Body)
}

// renews finds the form with which LemonLDAP asks a person whom it knows to sign
// in again, as ForceAuthn and prompt=login want it.
func renews(f formbrowser.Form) bool { return f.Action == "/renewsession" }

// registerTOTP gives the person who is signed in at LemonLDAP in this browser a
// second factor, and returns its secret.
func (l *lemonRig) registerTOTP(t *testing.T, b *formbrowser.Browser) string {
	t.Helper()
	var key struct{ Secret, Token string }
	l.factor(t, b, "getkey", nil, &key)
	code, err := totp.GenerateCode(key.Secret, time.Now())
	if err != nil {
		t.Fatalf("the secret of LemonLDAP: %v", err)
	}
	var done struct{ Result int }
	l.factor(t, b, "verify", url.Values{"token": {key.Token}, "code": {code}, "TOTPName": {"phone"}}, &done)
	if done.Result != 1 {
		t.Fatal("LemonLDAP did not take the second factor")
	}
	return key.Secret
}

// factor calls what the script of LemonLDAP's second-factor page calls.
func (l *lemonRig) factor(t *testing.T, b *formbrowser.Browser, call string, form url.Values, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.idp+"/2fregisters/totp/"+call, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("X-CSRF-Check", "1")
	for _, c := range b.Cookies(l.idp) {
		req.AddCookie(c)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %.500s", call, resp.StatusCode, err, body)
	}
}

// TestPeerLemonLDAP signs in through LemonLDAP::NG to console sessions of the
// double. It lets anybody in who was asked for a second factor, and says in its
// answer only that there was none: such a person comes to a page that says so
// and stays there. A second factor then opens the role.
func TestPeerLemonLDAP(t *testing.T) {
	l := newLemonRig(t)
	for _, row := range []struct {
		name, id, user string
		asks           string   // what the address of a step-up holds
		status         int      // of an answer without the second factor that was asked for
		contexts       []string // of the sign-ins that were taken; the last has a second factor
	}{
		{"SAML", "lemon", "dwho", "SAMLRequest=", http.StatusUnauthorized, []string{
			"urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified", "urn:oasis:names:tc:SAML:2.0:ac:classes:TLSClient",
		}},
		{"OpenID Connect", "lemon-oidc", "rtyler", "acr_values=loa-5", http.StatusForbidden, []string{"loa-1", "loa-5"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			stepUp := func(b *formbrowser.Browser) {
				t.Helper()
				must(t, b, b.Submit(t.Context(), formbrowser.Has("mfa"), nil))
				_, next, _ := strings.Cut(b.Header.Get("Refresh"), "url=")
				if !strings.HasPrefix(next, l.idp) || !strings.Contains(next, row.asks) {
					t.Fatalf("the step-up leads to %s", next)
				}
				must(t, b, b.Get(t.Context(), next))
			}
			refused := func(b *formbrowser.Browser, status int) {
				t.Helper()
				if b.Status != status || "http://"+b.URL.Host != l.url || b.Header.Get("Refresh") != "" ||
					strings.Contains(b.Body, `http-equiv="refresh"`) || !strings.Contains(b.Body, "second factor") || len(b.Hops) > 3 {
					t.Fatalf("a role that needs a second factor led to %v (%d) over %q\n%.3000s", b.URL, b.Status, b.Hops, b.Body)
				}
			}
			b := newFormBrowser(t)
			must(t, b, b.Get(t.Context(), l.url+"/signin/"+row.id))
			must(t, b, b.Submit(t.Context(), formbrowser.Has("password"), map[string]string{"user": row.user, "password": "wrong"}))
			if "http://"+b.URL.Host != l.idp {
				t.Fatalf("a wrong password led to %v", b.URL)
			}
			l.atLemon(t, b, row.user, "")
			l.toConsole(t, b, "prod", "readonly", "assumed-role/RolegateReadOnly/"+row.user+"@badwolf.org")

			must(t, b, b.Get(t.Context(), l.url+"/"))
			l.toConsole(t, b, "prod", "admin", "")
			refused(b, http.StatusUnauthorized)
			stepUp(b)
			l.atLemon(t, b, row.user, "")
			refused(b, row.status)
			if _, again := b.Find(formbrowser.Has("mfa")); again {
				t.Errorf("what cannot be had is offered again\n%.3000s", b.Body)
			}

			secret := l.registerTOTP(t, b)
			time.Sleep(lemonAsksAgain)
			must(t, b, b.Get(t.Context(), l.url+"/"))
			l.toConsole(t, b, "prod", "admin", "")
			refused(b, http.StatusUnauthorized)
			stepUp(b)
			l.atLemon(t, b, row.user, secret)
			_, onward, _ := strings.Cut(b.Header.Get("Refresh"), "url=")
			if !strings.HasPrefix(onward, "/go?") {
				t.Fatalf("a step-up that was proven leads to %q from %v (%d)\n%.3000s", onward, b.URL, b.Status, b.Body)
			}
			must(t, b, b.Get(t.Context(), l.url+onward))
			if !strings.HasPrefix(b.URL.String(), l.console) || !strings.Contains(b.Body, "assumed-role/RolegateAdmin/"+row.user+"@badwolf.org") {
				t.Errorf("with a second factor: %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
			}
			l.wantEvents(t, row.user, row.contexts)
		})
	}
}

// wantEvents wants the sign-ins that were taken to have said these contexts, and
// one console session of each role.
func (l *lemonRig) wantEvents(t *testing.T, user string, contexts []string) {
	t.Helper()
	signIns, err := l.server.Store.Events(t.Context(), sqlstore.EventFilter{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Username: user})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range signIns {
		got = append(got, e.Detail["acr"]+" mfa "+e.Detail["mfa"])
	}
	var want []string
	for i, c := range contexts {
		want = append(want, fmt.Sprintf("%s mfa %t", c, i == len(contexts)-1))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("contexts: %s", d)
	}
	consoles, err := l.server.Store.Events(t.Context(), sqlstore.EventFilter{Action: broker.ActionConsole, Outcome: broker.OutcomeOK, Username: user})
	if err != nil {
		t.Fatal(err)
	}
	got, want = nil, []string{"arn:aws:iam::111111111111:role/RolegateReadOnly", "arn:aws:iam::111111111111:role/RolegateAdmin"}
	for _, e := range consoles {
		got = append(got, e.Target)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("console sessions: %s", d)
	}
}
