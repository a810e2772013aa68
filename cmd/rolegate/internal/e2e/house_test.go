package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// house is a server in this process, for what the demo does not have: other
// configurations and another time.
type house struct {
	portal   string
	idp      string // address of its identity provider
	provider *idp.SAML
	server   *server.Server
	ahead    atomic.Int64 // of the clock, in nanoseconds
	silent   atomic.Bool  // the provider answers 204, so that the browser stays where it is
}

const corporate = `  - id: corp
    name: Acme
    email_domains: [example.com]
    email_authoritative: true
    saml: {metadata_file: idp.xml, idp_initiated: true}
    identity: {username: 'claims.username[0]', email: 'claims.email[0]', groups: 'claims.groups'}
`

// newHouse starts a server with the rest of a configuration after public_url,
// in which the provider "corp" is the sandbox's. The files idp.xml, the
// metadata of the sandbox's provider, and post.xml, the same with a sign-out by
// form, are there for it.
func newHouse(t testing.TB, rest string) *house {
	t.Helper()
	h := &house{}
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.silent.Load() { // a page that goes on by itself can be looked at
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.provider.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(peer.Close)
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	local := strings.NewReplacer("127.0.0.1", "localhost")
	h.portal, h.idp = "http://"+local.Replace(l.Addr().String()), local.Replace(peer.URL)
	if h.provider, err = idp.NewSAML(idp.SAMLOptions{BaseURL: h.idp, People: idp.DemoPeople()}); err != nil {
		t.Fatal(err)
	}
	metadata := string(h.provider.Metadata())
	post := strings.Replace(metadata, `<NameIDFormat`, `<SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="`+h.idp+`/slo"/><NameIDFormat`, 1)
	dir := t.TempDir()
	for name, text := range map[string]string{"idp.xml": metadata, "post.xml": post, "client.secret": "not looked at"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := config.Parse(filepath.Join(dir, "rolegate.yaml"), fmt.Appendf(nil, "public_url: %s\n%s", h.portal, rest), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
	if h.server, err = server.New(t.Context(), c, server.Options{Logger: testLogger(t), Now: now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.server.Close() })
	web := &http.Server{Handler: h.server.Handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() { _ = web.Close() })
	h.server.Refresh(t.Context()) // a provider that is down is what some tests want
	for id, sp := range h.server.SAML {
		own, err := sp.Metadata()
		if err != nil {
			t.Fatal(id, err)
		}
		if err := h.provider.RegisterSP(own); err != nil {
			t.Fatal(id, err)
		}
	}
	return h
}

// manyRoles is a configuration with roles in 300 accounts, or fewer, in which
// everybody at the provider has each. The first account and role have the
// longest names that there may be.
func manyRoles(roles int) string {
	var b strings.Builder
	b.WriteString("identity_providers:\n" + corporate + "accounts:\n")
	accounts := min(300, (roles+3)/4)
	for i := range accounts {
		name := fmt.Sprintf("%s-%s-%03d", []string{"payments", "search", "warehouse", "identity", "ledger", "catalogue", "media"}[i%7], []string{"production", "staging", "development"}[i%3], i)
		fmt.Fprintf(&b, "  - {id: %q, name: %s, labels: {env: %s, team: team-%02d}, color: %s}\n", fmt.Sprintf("%012d", 100000000000+37*i), name,
			[]string{"production", "staging", "development"}[i%3], i%17, []string{"red", "orange", "green"}[i%3])
	}
	b.WriteString("roles:\n")
	names := []string{"Admin", "Developer", "ReadOnly", "Operator"}
	for _, name := range names {
		fmt.Fprintf(&b, "  - {name: %s, iam_role: Rolegate%s, max_duration: 4h, description: What people do with it}\n", name, name)
	}
	b.WriteString("rules:\n")
	each := roles / accounts
	fmt.Fprintf(&b, "  - {name: everybody, when: 'true', accounts: ['*'], roles: [%s]}\n", strings.Join(names[:each], ", "))
	if more := roles - each*accounts; more > 0 {
		var ids []string
		for i := range more {
			ids = append(ids, fmt.Sprintf("%q", fmt.Sprintf("%012d", 100000000000+37*i)))
		}
		fmt.Fprintf(&b, "  - {name: some, when: 'true', accounts: [%s], roles: [%s]}\n", strings.Join(ids, ", "), names[each])
	}
	return b.String()
}
