package server_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// liveWorld is a world whose configuration is a real file.
type liveWorld struct {
	*world
	metrics *metrics.Metrics
	log     *syncBuffer
	file    string
	text    string // of the file at the start
}

// syncBuffer takes the log of several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

const oidcProvider = `  - {id: op, oidc: {issuer: "https://127.0.0.1:1", client_id: rolegate, client_secret_file: secret}, identity: {groups: claims.groups}}
`

func newLiveWorld(t *testing.T) *liveWorld {
	t.Helper()
	w := &liveWorld{world: newWorld(t), log: &syncBuffer{}}
	w.file = filepath.Join(w.dir, "rolegate.yaml")
	w.text = strings.Replace(w.source, "accounts:\n", oidcProvider+"accounts:\n", 1)
	w.write("secret", "one")
	w.write("rolegate.yaml", w.text)
	c, err := w.load()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil { // the world's own
		t.Fatal(err)
	}
	w.metrics = metrics.New(metrics.Config{})
	s, err := server.New(t.Context(), c, server.Options{Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Version: "test", Metrics: w.metrics})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.SAML["corp"].Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.live = server.NewLive(s, w.load)
	w.Server = s
	return w
}

func (w *liveWorld) load() (*config.Config, error) {
	return config.Load(w.file, func(string) string { return "" })
}

func (w *liveWorld) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *liveWorld) reload(from, to string) error {
	w.Helper()
	if from != "" && !strings.Contains(w.text, from) {
		w.Fatalf("no %q in\n%s", from, w.text)
	}
	w.write("rolegate.yaml", strings.Replace(w.text, from, to, 1))
	return w.live.Reload(w.Context(), server.TriggerSignal)
}

func (w *liveWorld) events(o broker.Outcome) []broker.Event {
	w.Helper()
	events, err := w.Store.Events(w.Context(), sqlstore.EventFilter{Action: broker.ActionReload, Outcome: o})
	if err != nil {
		w.Fatal(err)
	}
	return events
}

func (w *liveWorld) scrape() string {
	rec := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(w.Context(), http.MethodGet, "/metrics", nil))
	return rec.Body.String()
}

// TestReload ensures that a new configuration is in force for the next request,
// and that sessions and what is known of unchanged providers stay.
func TestReload(t *testing.T) {
	w := newLiveWorld(t)
	w.signIn()
	before := w.live.Current()
	if err := w.reload("{name: Role07, iam_role: RolegateRole07}", "{name: Operators, iam_role: RolegateRole07}\n  - {name: Role07, iam_role: RolegateSeven}"); err != nil {
		t.Fatal(err)
	}
	w.text = strings.Replace(w.text, "roles: [Role00", "roles: [Operators, Role00", 1)
	if err := w.reload("{name: Role07, iam_role: RolegateRole07}", "{name: Operators, iam_role: RolegateRole07}\n  - {name: Role07, iam_role: RolegateSeven}"); err != nil {
		t.Fatal(err)
	}
	if resp := w.do(http.MethodGet, "/", nil); resp.StatusCode != http.StatusOK || !strings.Contains(w.lastBody, "Operators") {
		t.Errorf("status %d, the session or the new role is gone\n%s", resp.StatusCode, w.lastBody)
	}
	now := w.live.Current()
	if now == before || now.SAML["corp"] != before.SAML["corp"] || now.OIDC["op"] != before.OIDC["op"] || now.Store != before.Store || now.Sealer != before.Sealer {
		t.Error("what did not change was made anew, or nothing was")
	}
	events := w.events(broker.OutcomeOK)
	if len(events) != 2 || events[0].Detail["changed"] != "roles" || events[1].Detail["changed"] != "rules" || events[1].Detail["by"] != "operator" ||
		events[1].Detail["sha256"] != now.Config().Digest() || events[1].Detail["sha256_before"] != events[0].Detail["sha256"] {
		t.Errorf("events %v", events)
	}
	if text := w.scrape(); !strings.Contains(text, `rolegate_config_reloads_total{result="ok"} 2`) {
		t.Error(text)
	}
}

// TestReloadChangesProviders ensures that a provider whose settings changed, in
// the file or in a file it names, is made anew with its documents read, that a
// new one comes and an old one goes.
func TestReloadChangesProviders(t *testing.T) {
	w := newLiveWorld(t)
	before := w.live.Current()
	if err := w.reload("metadata_file: idp.xml", "metadata_file: idp.xml, clock_skew: 30s"); err != nil {
		t.Fatal(err)
	}
	now := w.live.Current()
	if now.SAML["corp"] == before.SAML["corp"] || now.SAML["corp"].Status().Refreshed.IsZero() || now.SAML["other"] != before.SAML["other"] {
		t.Error("not the changed provider, or without its metadata")
	}
	w.write("secret", "two")
	if err := w.reload("", ""); err != nil {
		t.Fatal(err)
	}
	if w.live.Current().OIDC["op"] == now.OIDC["op"] {
		t.Error("the client secret is the old one")
	}
	if err := w.reload("{id: corp, name: Acme", "{id: corp2, name: Acme"); err != nil {
		t.Fatal(err)
	}
	if resp := w.do(http.MethodGet, "/signin/corp", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the provider that is gone: status %d", resp.StatusCode)
	}
	if resp := w.do(http.MethodGet, "/signin/corp2", nil); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the provider that is new: status %d\n%s", resp.StatusCode, w.lastBody)
	}
}

// TestReloadRefused ensures that anything wrong with a new configuration leaves
// the old one in use and is told, problem by problem.
func TestReloadRefused(t *testing.T) {
	for _, tt := range []struct {
		name     string
		from, to string
		want     []string // in the log
		prepare  func(w *liveWorld)
	}{
		{"not YAML", "accounts:", "accounts: [", []string{`"file":`}, nil},
		{"unknown key and impossible value, both told", "accounts:", "lisden: x\nsession: {idle: 1s}\naccounts:", []string{`unknown key`, `a session lasts a minute at least`, `"problems":2`}, nil},
		{"public_url", "public_url: https://sso.example.com", "public_url: https://other.example.com", []string{`"key":"public_url"`, "restart", `"line":1`}, nil},
		{"listen", "accounts:", "listen: 127.0.0.1:1234\naccounts:", []string{`"key":"listen"`, "restart"}, nil},
		{"store", "accounts:", "store: sqlite:other.db\naccounts:", []string{`"key":"store"`, "restart"}, nil},
		{"keys.dir", "accounts:", "keys: {dir: other}\naccounts:", []string{`"key":"keys.dir"`, "restart"}, nil},
		{"tls", "accounts:", "tls: {cert_file: tls.pem, key_file: tls.pem}\naccounts:", []string{`"key":"tls"`, "restart"}, func(w *liveWorld) { w.write("tls.pem", tlsPair(w.TB)) }},
		{"tls without its files", "accounts:", "tls: {cert_file: a, key_file: b}\naccounts:", []string{`"key":"tls.cert_file"`, `"key":"tls.key_file"`}, nil},
		{"metrics.listen", "accounts:", "metrics: {listen: 127.0.0.1:1}\naccounts:", []string{`"key":"metrics.listen"`, "restart"}, nil},
		{"two that need a restart", "accounts:", "listen: 127.0.0.1:1234\nstore: sqlite:other.db\naccounts:", []string{`"key":"listen"`, `"key":"store"`, `"problems":2`}, nil},
		{"rule about an unknown role", "roles: [Role00", "roles: [Nobody, Role00", []string{"Nobody"}, nil},
		{"secret that is not there", "", "", []string{"secret"}, func(w *liveWorld) { _ = os.Remove(filepath.Join(w.dir, "secret")) }},
		{"an adapter's rule", "metadata_file: idp.xml", "metadata_file: idp.xml, binding: artifact", []string{`"key":"identity_providers[0].saml.binding"`}, nil},
		{"a secret in an address", `metadata_url: "https://127.0.0.1:1/metadata"`, `metadata_url: "https://svc:hunter2@127.0.0.1:1/metadata?token=hunter2"`, []string{`https://…@127.0.0.1:1/metadata?…`}, nil},
		{"no certificates in ca_file", "accounts:", "outbound: {ca_file: secret}\naccounts:", []string{`"key":"outbound.ca_file"`, "it holds no certificate"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newLiveWorld(t)
			w.signIn()
			before := w.live.Current()
			if tt.prepare != nil {
				tt.prepare(w)
			}
			if err := w.reload(tt.from, tt.to); err == nil {
				t.Fatal("accepted")
			}
			if w.live.Current() != before {
				t.Error("it is in use")
			}
			for _, want := range append(tt.want, "the old one stays in use") {
				if !strings.Contains(w.log.String(), want) {
					t.Errorf("the log lacks %q:\n%s", want, w.log.String())
				}
			}
			if strings.Contains(w.log.String(), "hunter2") || strings.Contains(fmt.Sprint(w.events(broker.OutcomeRefused)), "hunter2") {
				t.Errorf("a secret is in the log or an event:\n%s", w.log.String())
			}
			if events := w.events(broker.OutcomeRefused); len(events) != 1 || events[0].Code != broker.CodeInvalid || events[0].Detail["reason"] == "" {
				t.Errorf("events %v", events)
			}
			if text := w.scrape(); !strings.Contains(text, `rolegate_config_reloads_total{result="refused"} 1`) || !strings.Contains(text, "rolegate_config_last_reload_successful 0") {
				t.Error(text)
			}
			for path, status := range map[string]int{"/": http.StatusOK, "/readyz": http.StatusOK} {
				if resp := w.do(http.MethodGet, path, nil); resp.StatusCode != status {
					t.Errorf("%s: status %d", path, resp.StatusCode)
				}
			}
		})
	}
}

// tlsPair is a certificate and its key in one file.
func tlsPair(t testing.TB) string {
	t.Helper()
	k := idpKey()
	key, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.cert})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// TestReloadWithoutEvent ensures that a configuration is not swapped when that
// cannot be recorded.
func TestReloadWithoutEvent(t *testing.T) {
	w := newLiveWorld(t)
	before := w.live.Current()
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.reload("name: Acme", "name: Apex"); broker.CodeOf(err) != broker.CodeUnavailable || w.live.Current() != before {
		t.Errorf("swapped without an event: %v", err)
	}
}

// slowBody says when its reader has come, and then waits.
type slowBody struct {
	reached, goOn chan struct{}
	text          io.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.reached != nil {
		close(b.reached)
		b.reached = nil
		<-b.goOn
	}
	return b.text.Read(p)
}

// TestReloadInFlight ensures that a request ends on the configuration it began
// with, even where its provider is gone meanwhile.
func TestReloadInFlight(t *testing.T) {
	w := newLiveWorld(t)
	id, relay := w.begin()
	form := url.Values{"SAMLResponse": {respond(t, idpKey(), id, 3)}, "RelayState": {relay}}
	reached := make(chan struct{})
	body := &slowBody{reached, make(chan struct{}), strings.NewReader(form.Encode())}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, portal+"/saml/corp/acs", body)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec, done := httptest.NewRecorder(), make(chan struct{})
	go func() {
		defer close(done)
		w.live.ServeHTTP(rec, r)
	}()
	<-reached
	if err := w.reload("{id: corp, name: Acme", "{id: corp2, name: Acme"); err != nil {
		t.Fatal(err)
	}
	if resp := w.do(http.MethodGet, "/saml/corp/metadata", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a new request: status %d", resp.StatusCode)
	}
	close(body.goOn)
	<-done
	if rec.Code != http.StatusSeeOther || !slices.ContainsFunc(rec.Result().Cookies(), func(c *http.Cookie) bool { return c.Name == sessionCookie }) {
		t.Errorf("the request in flight: status %d\n%s", rec.Code, rec.Body)
	}
}

// TestRunReloads ensures that a running server reloads on a signal, and that
// the loops of the former configuration end.
func TestRunReloads(t *testing.T) {
	w := newLiveWorld(t)
	asked := make(chan string, 100)
	idp := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		_, _ = io.WriteString(rw, idpMetadata())
	}))
	defer idp.Close()
	done, hangup := make(chan struct{}), make(chan os.Signal)
	go func() {
		defer close(done)
		w.live.Run(t.Context(), hangup)
	}()
	hup := func(from, to string) {
		w.write("rolegate.yaml", strings.Replace(w.text, from, to, 1))
		hangup <- os.Interrupt // any value
		hangup <- os.Interrupt // taken when the first is done
	}
	hup("https://127.0.0.1:1/metadata", idp.URL+"/one")
	for _, who := range []string{"the reload", "the loop of the new configuration"} {
		select {
		case path := <-asked:
			if path != "/one" {
				t.Errorf("%s asked for %s", who, path)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s did not fetch the new provider's metadata", who)
		}
	}
	if events := w.events(broker.OutcomeOK); len(events) == 0 || events[0].Detail["trigger"] != server.TriggerSignal {
		t.Errorf("events %v", events)
	}
	w.text = strings.Replace(w.text, "name: Acme", "name: ''\n    bad", 1)
	hup("", "")
	if len(w.events(broker.OutcomeRefused)) == 0 {
		t.Error("a broken file was no event")
	}
}

// TestReloadReportsAsProblems ensures that callers get the list of problems.
func TestReloadReportsAsProblems(t *testing.T) {
	w := newLiveWorld(t)
	err := w.reload("accounts:", "listen: 127.0.0.1:1234\naccounts:")
	ps, ok := errors.AsType[config.Problems](err)
	if !ok || len(ps) != 1 || ps[0].Path != "listen" || ps[0].Line == 0 {
		t.Errorf("%v", err)
	}
}
