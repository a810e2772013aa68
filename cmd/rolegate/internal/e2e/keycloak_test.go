package e2e_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// signIn signs Alice in through a provider, in a browser that Keycloak may know,
// and returns what Keycloak asked her.
func (k *keycloakRig) signIn(t *testing.T, b *formbrowser.Browser, provider string) []string {
	t.Helper()
	must(t, b, b.Get(t.Context(), k.url+"/signin/"+provider))
	asked := k.atKeycloak(t, b, "alice", "alicepw")
	k.wantSession(t, b, true)
	return asked
}

// goOn follows the page that sends somebody to the provider, or back to what
// they wanted, which is by its Refresh.
func (k *keycloakRig) goOn(t *testing.T, b *formbrowser.Browser) {
	t.Helper()
	_, next, ok := strings.Cut(b.Header.Get("Refresh"), "url=")
	if !ok {
		t.Fatalf("the page leads nowhere: %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
	}
	to, err := b.URL.Parse(next)
	if err != nil {
		t.Fatal(err)
	}
	must(t, b, b.Get(t.Context(), to.String()))
}

// wantConsole wants to be in a console session of a role, as Alice.
func (k *keycloakRig) wantConsole(t *testing.T, b *formbrowser.Browser, role string) {
	t.Helper()
	if !strings.HasPrefix(b.URL.String(), k.console) || !strings.Contains(b.Body, "assumed-role/"+role+"/alice") {
		t.Fatalf("not in the console but at %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
	}
}

// TestPeerKeycloak signs in through Keycloak to console sessions of the double,
// by OpenID Connect, with a secret and with a key, and by SAML, plain and
// encrypted.
func TestPeerKeycloak(t *testing.T) {
	k := newKeycloakRig(t)
	for _, provider := range []string{"keycloak", "keycloak-key", "keycloak-saml", "keycloak-sealed"} {
		t.Run(provider, func(t *testing.T) {
			b := k.browser(t)
			must(t, b, b.Get(t.Context(), k.url+"/signin/"+provider))
			k.atKeycloak(t, b, "alice", "wrong")
			if b.URL.Host != "keycloak.test" {
				t.Fatalf("a wrong password led to %v", b.URL)
			}
			if d := cmp.Diff([]string{"password"}, k.signIn(t, b, provider)); d != "" {
				t.Errorf("asked for %s", d)
			}
			k.toConsole(t, b, "prod", "readonly", "assumed-role/RolegateReadOnly/alice")
			for _, nobody := range []string{"bob", "carol"} { // a group without a role, and no group at all
				b = k.browser(t)
				must(t, b, b.Get(t.Context(), k.url+"/signin/"+provider))
				k.atKeycloak(t, b, nobody, nobody+"pw")
				if b.Status != http.StatusOK || strings.Contains(b.Body, "/console") {
					t.Errorf("%s has no role, and is at %v (%d)\n%.2000s", nobody, b.URL, b.Status, b.Body)
				}
				k.wantSession(t, b, true)
			}
		})
	}
}

// TestPeerKeycloakStepUp opens a role that needs a second factor: Keycloak asks
// for the code because rolegate asks for the level, and not before.
func TestPeerKeycloakStepUp(t *testing.T) {
	k := newKeycloakRig(t)
	for _, row := range []struct{ provider, asks, proof string }{
		{"keycloak", "acr_values=2", "2"},
		{"keycloak-saml", "SAMLRequest=", "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken"},
	} {
		t.Run(row.provider, func(t *testing.T) {
			b := k.browser(t)
			if d := cmp.Diff([]string{"password"}, k.signIn(t, b, row.provider)); d != "" {
				t.Errorf("asked for %s", d)
			}
			k.toConsole(t, b, "prod", "admin", "")
			if b.Status != http.StatusUnauthorized || !strings.Contains(b.Body, "second factor") {
				t.Fatalf("a role that needs a second factor led to %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
			}
			must(t, b, b.Submit(t.Context(), formbrowser.Has("mfa"), nil))
			if to := b.Header.Get("Refresh"); !strings.Contains(to, keycloakURL) || !strings.Contains(to, row.asks) {
				t.Fatalf("the step-up leads to %s", to)
			}
			k.goOn(t, b)
			if asked := k.atKeycloak(t, b, "alice", "alicepw"); !slices.Contains(asked, "code") {
				t.Errorf("Keycloak asked for %q", asked)
			}
			k.goOn(t, b)
			k.wantConsole(t, b, "RolegateAdmin")
			signIns, err := k.server.Store.Events(t.Context(), sqlstore.EventFilter{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Username: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			if e := signIns[len(signIns)-1]; e.Detail["acr"] != row.proof || e.Detail["mfa"] != "true" {
				t.Errorf("the proof was %v", e.Detail)
			}
		})
	}
}

// TestPeerKeycloakFreshness lets nobody pass off a silent sign-in as a fresh one:
// by SAML, Keycloak gives it the time of its answer.
func TestPeerKeycloakFreshness(t *testing.T) {
	k := newKeycloakRig(t)
	for _, provider := range []string{"keycloak-saml", "keycloak"} {
		t.Run(provider, func(t *testing.T) {
			b := k.browser(t)
			k.signIn(t, b, provider)
			time.Sleep(6 * time.Second) // more than the role's max_auth_age
			if asked := k.signIn(t, b, provider); len(asked) > 0 {
				t.Fatalf("Keycloak does not know her any more: %q", asked)
			}
			k.toConsole(t, b, "prod", "lately", "")
			if b.Status != http.StatusUnauthorized || !strings.HasPrefix(b.URL.String(), k.url) {
				t.Fatalf("a silent sign-in counted as fresh: %v (%d)\n%.3000s", b.URL, b.Status, b.Body)
			}
			must(t, b, b.Submit(t.Context(), func(f formbrowser.Form) bool { return strings.HasPrefix(f.Action, "/signin") }, nil))
			k.goOn(t, b)
			if asked := k.atKeycloak(t, b, "alice", "alicepw"); !slices.Contains(asked, "password") {
				t.Errorf("asked for %q", asked)
			}
			k.goOn(t, b)
			k.wantConsole(t, b, "RolegateReadOnly")
		})
	}
}

// TestPeerKeycloakRotation gives the realm a new signing key: sign-ins go on.
func TestPeerKeycloakRotation(t *testing.T) {
	k := newKeycloakRig(t)
	providers := []string{"keycloak", "keycloak-saml"}
	for _, provider := range providers {
		k.signIn(t, k.browser(t), provider)
	}
	k.rotate(t)
	for _, provider := range providers {
		t.Run(provider, func(t *testing.T) {
			// An unknown key is looked up at most every 15 seconds.
			for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
				b := k.browser(t)
				must(t, b, b.Get(t.Context(), k.url+"/signin/"+provider))
				k.atKeycloak(t, b, "alice", "alicepw")
				if b.Status == http.StatusOK {
					k.toConsole(t, b, "prod", "readonly", "assumed-role/RolegateReadOnly/alice")
					return
				}
				if time.Now().After(end) {
					t.Fatalf("a minute after the rotation: %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
				}
			}
		})
	}
}

// TestPeerKeycloakTokens uses Keycloak's own ID token at AWS, refreshed, and
// ensures that the sign-in stays a plain one: single sign-on holds, no offline
// session is left, and signing out ends the tokens.
func TestPeerKeycloakTokens(t *testing.T) {
	k := newKeycloakRig(t)
	k.endSessions(t) // of other tests
	b := k.browser(t)
	k.signIn(t, b, "keycloak")
	if online, offline := k.sessions(t); online != 1 || offline != 0 {
		t.Errorf("after the sign-in: %d sessions, %d offline", online, offline)
	}
	// The ID token lives for five minutes, which is too short to be used as it is.
	refreshed := k.events(t, "REFRESH_TOKEN")
	k.toConsole(t, b, "dev", "build", "assumed-role/RolegateBuild/alice")
	if now := k.events(t, "REFRESH_TOKEN"); now != refreshed+1 {
		t.Errorf("%d refreshes, before there were %d", now, refreshed)
	}
	if asked := k.signIn(t, b, "keycloak-saml"); len(asked) > 0 {
		t.Errorf("the next application asks for %q", asked)
	}
	if asked := k.signIn(t, b, "keycloak"); len(asked) > 0 {
		t.Errorf("and this one asks for %q", asked)
	}
	k.endSessions(t)
	k.wantSession(t, b, false)

	b = k.browser(t)
	k.signIn(t, b, "keycloak")
	revoked := k.events(t, "REVOKE_GRANT")
	k.signOut(t, b)
	if b.URL.Path != "/oidc/keycloak/signed-out" || b.Status != http.StatusOK || !strings.Contains(b.Body, "Keycloak has sent you back") {
		t.Errorf("ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	if now := k.events(t, "REVOKE_GRANT"); now != revoked+1 {
		t.Errorf("%d revocations, before there were %d", now, revoked)
	}
	if online, offline := k.sessions(t); online != 0 || offline != 0 {
		t.Errorf("after the sign-out: %d sessions, %d offline", online, offline)
	}

	// Also where she uses another application.
	b = k.browser(t)
	k.signIn(t, b, "keycloak")
	must(t, b, b.Get(t.Context(), keycloakURL+"/realms/corp/protocol/openid-connect/auth?client_id=account-console&response_type=code&scope=openid&code_challenge_method=S256&code_challenge="+
		strings.Repeat("x", 43)+"&redirect_uri="+keycloakURL+"/realms/corp/account/"))
	if b.URL.Query().Get("code") == "" && !strings.Contains(b.URL.String(), "code=") {
		t.Fatalf("the account console is not signed in: %v", b.URL)
	}
	k.signOut(t, b)
	if b.URL.Path != "/oidc/keycloak/signed-out" || b.Status != http.StatusOK {
		t.Errorf("ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	if online, _ := k.sessions(t); online != 0 {
		t.Errorf("after the sign-out: %d sessions", online)
	}
}

// events counts Keycloak's events of a type.
func (k *keycloakRig) events(t *testing.T, kind string) int {
	t.Helper()
	var all []object
	k.admin(t, http.MethodGet, "/events?max=1000&type="+kind, nil, &all)
	return len(all)
}

// TestPeerKeycloakLogout signs out at Keycloak from here, and here from there:
// in the browser, and by its administrator.
func TestPeerKeycloakLogout(t *testing.T) {
	k := newKeycloakRig(t)
	for _, row := range []struct{ provider, end, says string }{
		{"keycloak-key", "/oidc/keycloak-key/signed-out", "has sent you back"},
		{"keycloak-saml", "/saml/keycloak-saml/slo", "says that your session there has ended too"},
		{"keycloak-sealed", "/saml/keycloak-sealed/slo", "says that your session there has ended too"},
	} {
		t.Run(row.provider, func(t *testing.T) {
			b := k.browser(t)
			k.signIn(t, b, row.provider)
			k.signOut(t, b)
			k.atKeycloak(t, b, "", "")
			if b.URL.Path != row.end || b.Status != http.StatusOK || !strings.Contains(b.Body, row.says) {
				t.Errorf("ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
			}
			k.wantSession(t, b, false)
			must(t, b, b.Get(t.Context(), k.url+"/signin/"+row.provider))
			if asked := k.atKeycloak(t, b, "", ""); len(asked) == 0 {
				t.Errorf("still signed in there: at %v (%d)", b.URL, b.Status)
			}

			here, other := k.browser(t), k.browser(t)
			k.signIn(t, here, row.provider)
			k.signIn(t, other, row.provider)
			must(t, here, here.Get(t.Context(), keycloakURL+"/realms/corp/protocol/openid-connect/logout"))
			must(t, here, here.Submit(t.Context(), formbrowser.Has("session_code"), nil))
			k.pass(t, here)
			k.wantSession(t, here, false)
			k.wantSession(t, other, true)
			k.endSessions(t)
			// A front channel is the browser's, and an administrator has none.
			k.wantSession(t, other, row.provider == "keycloak-saml")
		})
	}
}

// pass hands on the messages of a single logout until none is left.
func (k *keycloakRig) pass(t *testing.T, b *formbrowser.Browser) {
	t.Helper()
	for range 10 {
		switch {
		case found(b, "SAMLRequest"):
			must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLRequest"), nil))
		case found(b, "SAMLResponse"):
			must(t, b, b.Submit(t.Context(), formbrowser.Has("SAMLResponse"), nil))
		default:
			if b.URL.Host != "keycloak.test" || b.Status != http.StatusOK {
				t.Errorf("the logout at Keycloak ended at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
			}
			return
		}
	}
}
