package e2e_test

import (
	"encoding/base64"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// The places that hold secrets because they have to.
const (
	clientSecretFile = "client.secret"
	keyFolder        = "certs"
)

// planting is a demo that all flows are run through, and all that came of it.
type planting struct {
	*testing.T
	*wire
	d       *demo.Demo
	log     safeBuffer
	metrics *metrics.Metrics
	ahead   atomic.Int64 // of rolegate's clock
	dir     string
	wrong   secrets
}

func newPlanting(t *testing.T, store string) *planting {
	t.Helper()
	p := &planting{T: t, wire: &wire{}, metrics: metrics.New(metrics.Config{}), dir: t.TempDir(), wrong: secrets{}}
	var err error
	p.d, err = demo.Start(t.Context(), demo.Options{
		Listen: "localhost:0", Dir: p.dir, Store: store, Metrics: p.metrics, Wrap: p.wrap,
		Logger: slog.New(slog.NewJSONHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *planting) person(username string) idp.Person {
	p.Helper()
	for _, x := range p.d.People {
		if x.Username == username {
			return x
		}
	}
	p.Fatalf("no %s", username)
	return idp.Person{}
}

// toProvider goes through a provider's pages, up to its answer, which is the
// form of the page (SAML) or the last hop (OpenID Connect).
func (p *planting) toProvider(b *formbrowser.Browser, provider, username, query string) {
	p.Helper()
	who := p.person(username)
	b.StopAt(func(u *url.URL) bool { return u.Path == "/oidc/oidc/callback" })
	defer b.StopAt(nil)
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/signin/"+provider+query))
	if _, ok := b.Find(formbrowser.Has("username")); !ok {
		return // still signed in there
	}
	must(p.T, b, b.Submit(p.Context(), formbrowser.Has("username"), map[string]string{"username": who.Username, "password": who.Password}))
	if who.TOTPSecret != "" {
		must(p.T, b, b.Submit(p.Context(), formbrowser.Has("code"), map[string]string{"code": who.Code(time.Now())}))
	}
}

// response is the form with a SAML response that the page holds.
func (p *planting) response(b *formbrowser.Browser) url.Values {
	p.Helper()
	f, ok := b.Find(formbrowser.Has("SAMLResponse"))
	if !ok {
		p.Fatalf("no response at %v (%d)\n%.2000s", b.URL, b.Status, b.Body)
	}
	return f.Fields
}

// wants ensures that a flow ended as it must: one that breaks early plants
// nothing.
func (p *planting) wants(b *formbrowser.Browser, status int, flow string) {
	p.Helper()
	if b.Status != status {
		p.Fatalf("%s: %d at %v, want %d\n%.2000s", flow, b.Status, b.URL, status, b.Body)
	}
}

// role is the console form of a role on the portal's page.
func (p *planting) role(b *formbrowser.Browser, label string) url.Values {
	p.Helper()
	must(p.T, b, b.Get(p.Context(), p.d.Portal+"/"))
	f, ok := b.Find(func(f formbrowser.Form) bool {
		return strings.HasSuffix(f.Action, "/console") && strings.Contains(f.Text, label)
	})
	if !ok {
		p.Fatalf("no role %q at %v (%d)", label, b.URL, b.Status)
	}
	return f.Fields
}

// run runs every flow that there is.
func (p *planting) run() {
	p.Helper()
	saml, oidc := p.signIns()
	p.use(saml, oidc)
	p.programs(oidc)
	p.refresh(oidc)
	p.brokenPeers(saml, oidc)
	p.ownFactor(oidc)
	p.letIn(saml)
	p.sdks(saml)
	p.logouts()
	p.administer(saml)
	must(p.T, saml, saml.Post(p.Context(), p.d.Portal+"/signout", nil))
	p.wants(saml, http.StatusOK, "sign out")
	must(p.T, saml, saml.Get(p.Context(), p.d.Portal+"/api/v1/me"))
	p.wants(saml, http.StatusUnauthorized, "after signing out")
}

// signIns signs alice in by SAML and bob by OpenID Connect, with every kind of
// refusal before.
func (p *planting) signIns() (saml, oidc *formbrowser.Browser) {
	p.Helper()
	acs := p.d.Portal + "/saml/saml/acs"
	saml = newFormBrowser(p.T)
	p.toProvider(saml, "saml", "bob", "?return_to=%2Faccess")
	answer := p.response(saml)
	thief := newFormBrowser(p.T)
	must(p.T, thief, thief.Post(p.Context(), acs, answer))
	p.wants(thief, http.StatusUnauthorized, "SAML answer in another browser")
	for flow, change := range map[string]func(url.Values){
		"SAML answer cut":             func(v url.Values) { v.Set("SAMLResponse", v.Get("SAMLResponse")[:4000]) },
		"SAML answer changed":         func(v url.Values) { v.Set("SAMLResponse", p.spoil(v.Get("SAMLResponse"))) },
		"SAML answer without a state": func(v url.Values) { v.Del("RelayState") },
	} {
		p.toProvider(saml, "saml", "bob", "")
		answer = p.response(saml)
		change(answer)
		must(p.T, saml, saml.Post(p.Context(), acs, answer))
		p.wants(saml, http.StatusUnauthorized, flow)
	}
	saml = newFormBrowser(p.T)
	p.toProvider(saml, "saml", "alice", "")
	answer = p.response(saml)
	must(p.T, saml, saml.Post(p.Context(), acs, answer))
	p.wants(saml, http.StatusOK, "SAML sign-in")
	must(p.T, thief, thief.Post(p.Context(), acs, answer))
	p.wants(thief, http.StatusUnauthorized, "SAML answer again")

	oidc = newFormBrowser(p.T)
	for flow, change := range map[string]func(url.Values){
		"code of nobody":      func(v url.Values) { v.Set("code", p.plantWrong("code")) },
		"wrong issuer":        func(v url.Values) { v.Set("iss", "https://evil.example") },
		"wrong state":         func(v url.Values) { v.Set("state", p.plantWrong("state")) },
		"code twice":          func(v url.Values) { v.Add("code", p.plantWrong("second-code")) },
		"error of a provider": func(v url.Values) { v.Set("error", "access_denied") },
	} {
		p.toProvider(oidc, "oidc", "bob", "")
		back := p.callback(oidc, change)
		must(p.T, oidc, oidc.Get(p.Context(), back))
		p.wants(oidc, http.StatusUnauthorized, flow)
		oidc = newFormBrowser(p.T)
	}
	p.toProvider(oidc, "oidc", "bob", "?return_to=%2Faccess")
	back := p.callback(oidc, nil)
	must(p.T, oidc, oidc.Get(p.Context(), back))
	p.wants(oidc, http.StatusOK, "OpenID Connect sign-in")
	must(p.T, oidc, oidc.Get(p.Context(), back))
	p.wants(oidc, http.StatusOK, "callback again, signed in")
	stranger := newFormBrowser(p.T)
	must(p.T, stranger, stranger.Get(p.Context(), back))
	p.wants(stranger, http.StatusUnauthorized, "callback again")
	// A step-up begins and is left there.
	step := newFormBrowser(p.T)
	must(p.T, step, step.Post(p.Context(), p.d.Portal+"/signin/oidc", url.Values{"mfa": {"true"}}))
	p.wants(step, http.StatusOK, "step-up")
	return saml, oidc
}

// spoil changes one character in the middle of a document.
func (p *planting) spoil(encoded string) string {
	p.Helper()
	doc, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		p.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(doc), "@example.com", "@example.net", 1)))
}

// callback is the address that the provider sent the browser to.
func (p *planting) callback(b *formbrowser.Browser, change func(url.Values)) string {
	p.Helper()
	u, err := url.Parse(b.Hops[len(b.Hops)-1])
	if err != nil || u.Query().Get("code") == "" {
		p.Fatalf("no callback at %v (%v)", b.Hops, err)
	}
	q := u.Query()
	if change != nil {
		change(q)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// plantWrong is a secret that somebody sends where it does not belong.
func (p *planting) plantWrong(what string) string {
	v := "planted-" + what + "-0123456789abcdef"
	p.wrong.add(wrongInput, v)
	return v
}

// use gets credentials and consoles, and is refused some.
func (p *planting) use(saml, oidc *formbrowser.Browser) {
	p.Helper()
	form := p.role(saml, "for Admin in production")
	must(p.T, saml, saml.Post(p.Context(), p.d.Portal+"/console", form))
	p.wants(saml, http.StatusOK, "console by SAML")
	must(p.T, saml, saml.Get(p.Context(), p.d.Portal+"/go?account=production&role=Admin&destination=ec2%2Fhome"))
	p.wants(saml, http.StatusOK, "deep link")
	must(p.T, saml, saml.Get(p.Context(), p.d.Portal+"/go?account=security&role=Auditor"))
	p.wants(saml, http.StatusForbidden, "a role that AWS refuses")
	must(p.T, saml, saml.Get(p.Context(), p.d.Portal+"/go?account=production&role=Nobody"))
	p.wants(saml, http.StatusForbidden, "a role that no rule gives")
	for _, label := range []string{"for Developer in development", "for Build in development"} {
		form = p.role(oidc, label)
		must(p.T, oidc, oidc.Post(p.Context(), p.d.Portal+"/console", form))
		p.wants(oidc, http.StatusOK, "console, "+label)
	}
	form = p.role(oidc, "for Developer in development")
	must(p.T, oidc, oidc.Post(p.Context(), p.d.Portal+"/credentials", url.Values{"assignment": form["assignment"], "duration": {"900"}}))
	p.wants(oidc, http.StatusOK, "credentials on a page")
	must(p.T, oidc, oidc.Get(p.Context(), p.d.Portal+"/access"))
	p.wants(oidc, http.StatusOK, "why do I see this")
	must(p.T, oidc, oidc.Get(p.Context(), p.d.Portal+"/no/such/page?token="+p.plantWrong("query")))
	p.wants(oidc, http.StatusNotFound, "no page")
}

// programs calls the API by cookie, and wrongly.
func (p *planting) programs(b *formbrowser.Browser) {
	p.Helper()
	assignment := p.role(b, "for Developer in development").Get("assignment")
	_ = fetchCredentials(p.T, b, p.d.Portal, assignment)
	var token *http.Cookie
	for _, c := range b.Cookies(p.d.Portal) {
		if strings.HasSuffix(c.Name, "rolegate_session") {
			token = c
		}
	}
	for _, row := range []struct {
		flow, method, path, body, authorization string
		status                                  int
	}{
		{"me", "GET", "/api/v1/me", "", "", 200},
		{"assignments", "GET", "/api/v1/assignments", "", "", 200},
		{"credentials", "POST", "/api/v1/role-credentials", `{"assignment":"` + assignment + `"}`, "", 200},
		{"a cookie as a token", "GET", "/api/v1/me", "", "Bearer " + token.Value, 401},
		{"too long", "POST", "/api/v1/role-credentials", `{"assignment":"` + assignment + `","duration_seconds":43200}`, "", 400},
		{"unknown field", "POST", "/api/v1/role-credentials", `{"assignment":"` + assignment + `","secret":"` + p.plantWrong("field") + `"}`, "", 400},
		{"wrong type", "POST", "/api/v1/role-credentials", `{"assignment":["` + p.plantWrong("type") + `"]}`, "", 400},
		{"no JSON", "POST", "/api/v1/role-credentials", "password=" + p.plantWrong("body"), "", 400},
		{"wrong bearer", "GET", "/api/v1/me", "", "Bearer " + p.plantWrong("bearer"), 401},
		{"basic", "GET", "/api/v1/me", "", "Basic " + p.plantWrong("basic"), 401},
	} {
		req, err := http.NewRequestWithContext(p.Context(), row.method, p.d.Portal+row.path, strings.NewReader(row.body))
		if err != nil {
			p.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if row.authorization != "" {
			req.Header.Set("Authorization", row.authorization)
		} else {
			req.AddCookie(token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			p.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != row.status {
			p.Fatalf("API, %s: %d, want %d (%v)\n%s", row.flow, resp.StatusCode, row.status, err, body)
		}
	}
}

// refresh uses a role of the corporate token when that has run out.
func (p *planting) refresh(b *formbrowser.Browser) {
	p.Helper()
	form := p.role(b, "for Build in development")
	before := p.tokenCalls()
	p.ahead.Store(int64(6 * time.Minute))
	defer p.ahead.Store(0)
	must(p.T, b, b.Post(p.Context(), p.d.Portal+"/console", form))
	p.wants(b, http.StatusOK, "console after a refresh")
	if p.tokenCalls() == before {
		p.Fatal("nothing was refreshed")
	}
}

func (p *planting) tokenCalls() (n int) {
	for _, x := range p.exchanges() {
		if x.part == "issuers" && x.path == "/token" {
			n++
		}
	}
	return n
}

// brokenPeers lets each peer fail and say in its answer all that it was sent.
func (p *planting) brokenPeers(saml, oidc *formbrowser.Browser) {
	p.Helper()
	admin, build := p.role(saml, "for Admin in production"), p.role(oidc, "for Build in development")
	for _, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		for _, part := range []string{"sts", "signin"} {
			p.echo(part, status)
			must(p.T, saml, saml.Post(p.Context(), p.d.Portal+"/console", admin))
			if saml.Status < 400 || saml.URL.Path != "/console" {
				p.Errorf("broken %s: %d at %v", part, saml.Status, saml.URL)
			}
		}
		p.echo("issuers", status)
		p.ahead.Store(int64(12 * time.Minute))
		must(p.T, oidc, oidc.Post(p.Context(), p.d.Portal+"/console", build))
		p.ahead.Store(0)
		if oidc.Status < 400 {
			p.Errorf("broken refresh: %d at %v", oidc.Status, oidc.URL)
		}
		fresh := newFormBrowser(p.T)
		p.echo("", 0)
		p.toProvider(fresh, "oidc", "bob", "")
		back := p.callback(fresh, nil)
		p.echo("issuers", status)
		must(p.T, fresh, fresh.Get(p.Context(), back))
		if fresh.Status < 400 {
			p.Errorf("broken token endpoint: %d at %v", fresh.Status, fresh.URL)
		}
		p.echo("", 0)
	}
}

var speakable = regexp.MustCompile(`[a-z]+-[a-z]+-[a-z]+-\d\d`)

// administer looks at all of this as an administrator does.
func (p *planting) administer(b *formbrowser.Browser) {
	p.Helper()
	for _, path := range []string{
		"/sessions", "/admin", "/admin/sessions?person=bob", "/admin/audit", "/admin/audit?person=bob", "/admin/audit/export?format=csv",
		"/admin/audit/export?format=jsonl", "/admin/explain?person=bob", "/admin/traces", "/admin/setup",
	} {
		must(p.T, b, b.Get(p.Context(), p.d.Portal+path))
		p.wants(b, http.StatusOK, path)
	}
	// Every trace that a refusal has shown.
	seen := map[string]bool{}
	for _, x := range p.exchanges() {
		if id := speakable.FindString(x.body); x.part == "portal" && x.status >= 400 && id != "" && !seen[id] {
			seen[id] = true
			must(p.T, b, b.Get(p.Context(), p.d.Portal+"/admin/traces?id="+id))
		}
	}
	if len(seen) < 10 {
		p.Errorf("only %d traces were looked at", len(seen))
	}
	must(p.T, b, b.Post(p.Context(), p.d.Portal+"/admin/simulate", url.Values{"candidate": {"store_password: " + p.plantWrong("candidate")}}))
	if b.Status >= 500 {
		p.Errorf("simulate: %d", b.Status)
	}
}

// all returns the secrets of the wire, and those that went over none.
func (p *planting) all() secrets {
	p.Helper()
	out := p.gather(p.T)
	for v, k := range p.wrong {
		out.add(k, v)
	}
	b, err := os.ReadFile(filepath.Join(p.dir, clientSecretFile))
	if err != nil {
		p.Fatal(err)
	}
	out.add(clientSecret, string(b))
	for _, who := range p.d.People {
		out.add(passwordOfPeer, who.Password, who.TOTPSecret)
	}
	keys, err := filepath.Glob(filepath.Join(p.dir, keyFolder, "*.pem"))
	if err != nil {
		p.Fatal(err)
	}
	for _, name := range keys {
		b, err := os.ReadFile(name)
		if err != nil {
			p.Fatal(err)
		}
		for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				continue
			}
			// The second half: an RSA key begins with its public part.
			half := block.Bytes[len(block.Bytes)/2:]
			out.add(privateKey, base64.StdEncoding.EncodeToString(half[:min(len(half), 48)]))
			lines := strings.Fields(string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: block.Bytes})))
			if n := len(lines); n > 8 {
				out.add(privateKey, lines[n/2+1], lines[n-4])
			}
		}
	}
	return out
}

// places are all that people, programs, logs and disks get to see.
func (p *planting) places() []place {
	p.Helper()
	w := httptest.NewRecorder()
	p.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(p.Context(), http.MethodGet, "/metrics", nil))
	out := append(p.answers(), place{name: "log", text: p.log.String()}, place{name: "metrics", text: w.Body.String()})
	return append(out, files(p.T, p.dir, clientSecretFile, keyFolder)...)
}

// TestPlantedSecrets runs every flow with every refusal on the way, and ensures
// that no secret that passed through rolegate is in its log, its metrics, an
// answer that is not there to hold it, the files of its database, or the trail
// of AWS.
func TestPlantedSecrets(t *testing.T) {
	p := newPlanting(t, "")
	p.run()
	all, places := p.all(), p.places() // with the write-ahead log as it is in use
	if err := p.d.Close(); err != nil {
		t.Fatal(err)
	}
	places = append(places, files(t, p.dir, clientSecretFile, keyFolder)...) // and when it was written back
	// What is looked for, and where, is there at all.
	enough(t, all)
	for name, mark := range map[string]string{
		"log": `"route":"POST /saml/{idp}/acs"`, "metrics": "rolegate_mints_total", "rolegate.db": "signin.pending", "rolegate.db-wal": "credentials.issue",
		"cloudtrail.jsonl": "AssumeRoleWithSAML", "answer to POST /credentials": "AWS_SECRET_ACCESS_KEY", "answer to GET /go": "trace",
		"answer to GET /admin/traces": "saml.", "answer to GET /admin/audit/export": "credentials.issue",
	} {
		found := false
		for _, at := range places {
			found = found || at.name == name && strings.Contains(at.text, mark)
		}
		if !found {
			t.Errorf("no %s holds %q: it was not looked at", name, mark)
		}
	}
	if found := leaks(t, all, places...); len(found) > 0 {
		t.Errorf("found: %s", strings.Join(found, ", "))
	}
	t.Logf("%d secrets looked for in %d places", len(all), len(places))
}

// enough ensures that there is something of each kind to look for.
func enough(t *testing.T, all secrets) {
	t.Helper()
	for k, least := range map[kind]int{
		samlResponse: 5, state: 10, nonce: 6, code: 5, verifier: 4, idToken: 2, accessToken: 2, refreshToken: 2, clientSecret: 1, sessionCookie: 2,
		bindingCookie: 5, minted: 6, secretKey: 6, awsToken: 6, signInToken: 4, privateKey: 8, wrongInput: 8, passwordOfPeer: 4,
		factorKey: 2, recoveryCode: 10, ceremony: 4, passkeyAnswer: 2, ourCode: 3, ourVerifier: 2, ourAccess: 5, ourRefresh: 5, deviceCode: 4, userCode: 4,
		registration: 1, logoutMessages: 4,
	} {
		if n := all.count(k); n < least {
			t.Errorf("%d of %s were planted, at least %d are wanted", n, k, least)
		}
	}
}

// TestPlantedSecretsAreFound ensures that the search finds what leaks: with a
// logger that writes down what passes, as one left from debugging would, every
// kind of secret is found in the log; and in the database and in an answer, if
// it is put there.
func TestPlantedSecretsAreFound(t *testing.T) {
	p := newPlanting(t, "")
	leaky := slog.New(slog.NewJSONHandler(&p.log, nil))
	p.onExchange(func(x exchange) {
		leaky.InfoContext(t.Context(), "exchange", "query", x.query, "sent", x.sent, "form", x.form.Encode(), "raw", x.raw, "answer", x.header, "body", x.body)
	})
	p.run()
	all := p.all()
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(p.dir, "rolegate.db")})
	if err != nil {
		t.Fatal(err)
	}
	notes, err := journal.New(journal.Config{Events: store, State: store})
	if err != nil {
		t.Fatal(err)
	}
	careless := notes.Start()
	for v, k := range all {
		if k == verifier {
			careless.Pass("oidc.token", "redeemed with %s", v)
		}
	}
	if err := notes.Keep(t.Context(), careless); err != nil {
		t.Fatal(err)
	}
	found := leaks(t, all, p.places()...)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.d.Close(); err != nil {
		t.Fatal(err)
	}
	has := func(what string) bool {
		for _, f := range found {
			if f == what {
				return true
			}
		}
		return false
	}
	for _, k := range []kind{
		samlResponse, state, nonce, code, verifier, idToken, accessToken, refreshToken, clientSecret, sessionCookie, bindingCookie, minted, secretKey,
		awsToken, signInToken, wrongInput, passwordOfPeer, factorKey, recoveryCode, ceremony, passkeyAnswer, ourCode, ourVerifier, ourAccess, ourRefresh,
		deviceCode, userCode, registration, logoutMessages,
	} {
		if !has(string(k) + " in log") {
			t.Errorf("a %s in the log was not found", k)
		}
	}
	if !has(string(verifier)+" in rolegate.db") && !has(string(verifier)+" in rolegate.db-wal") {
		t.Errorf("a %s in a kept trace was not found among %q", verifier, found)
	}
	if has(string(privateKey) + " in log") {
		t.Error("a private key was logged, which nothing here does")
	}
}

// TestSecretsAreFoundHoweverWritten ensures that the search knows a secret in
// every writing, cut short, and in an answer that may hold another one.
func TestSecretsAreFoundHoweverWritten(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=wJalrXUtnFEMI/K7MDENG+b"
	all := secrets{secret: secretKey}
	for name, text := range map[string]string{
		"plain": "x" + secret + "x", "in a query": "a=" + url.QueryEscape(secret), "in HTML": strings.ReplaceAll(secret, "+", "&#43;"),
		"cut": secret[:chunk], "base64": base64.StdEncoding.EncodeToString([]byte("{\"key\":\"" + secret + "\"}")),
		"base64, shifted": base64.URLEncoding.EncodeToString([]byte("{\"k\":\"" + secret + "\"}")),
	} {
		if found := leaks(t, all, place{name: "log", text: text}); len(found) != 1 {
			t.Errorf("%s: %q", name, found)
		}
	}
	if found := leaks(t, all, place{name: "log", text: "nothing of the kind " + secret[:20]}); len(found) != 0 {
		t.Errorf("found %q where nothing is", found)
	}
	x := exchange{part: "portal", method: "POST", path: "/credentials", body: secret}
	for path, want := range map[string]int{"/credentials": 0, "/console": 1, "/signin/oidc": 1} {
		x.path = path
		w := &wire{all: []exchange{x}}
		if found := leaks(t, all, w.answers()...); len(found) != want {
			t.Errorf("%s: %q", path, found)
		}
	}
}
