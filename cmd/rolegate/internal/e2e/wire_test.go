package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// safeBuffer is a log for several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// exchange is one request to a part of the demo and what it answered.
type exchange struct {
	part, method, path string
	query, form        url.Values
	sent               http.Header
	raw                string // the body that was sent
	status             int
	header             http.Header
	body               string
}

// wire keeps every exchange of every part: rolegate's own, and those of the
// identity providers and of AWS, where the secrets of the back channels are.
type wire struct {
	mu     sync.Mutex
	all    []exchange
	seen   func(exchange) // what is done with each, nil: nothing
	broken string         // the part that fails, "" for none
	status int            // and how
}

// echo makes a part fail, and its answer hold all that it was sent; "" mends.
func (w *wire) echo(part string, status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken, w.status = part, status
}

func (w *wire) isBroken(part string) (status int, broken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status, w.broken == part
}

// onExchange lets f see every exchange from now on. It may be called while the
// demo runs, which fetches keys in the background.
func (w *wire) onExchange(f func(exchange)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = f
}

func (w *wire) keep(x exchange) {
	w.mu.Lock()
	w.all = append(w.all, x)
	seen := w.seen
	w.mu.Unlock()
	if seen != nil {
		seen(x)
	}
}

// wrap is for [demo.Options].
func (w *wire) wrap(part string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
		if err != nil {
			http.Error(rw, "wire: "+err.Error(), http.StatusBadRequest)
			return
		}
		rec := httptest.NewRecorder()
		if status, broken := w.isBroken(part); broken && r.Method == http.MethodPost {
			rec.WriteHeader(status)
			_, _ = rec.WriteString(r.Header.Get("Authorization") + " " + string(sent))
		} else {
			h.ServeHTTP(rec, r)
		}
		form, _ := url.ParseQuery(string(sent)) // what is no form has no fields
		x := exchange{
			part: part, method: r.Method, path: r.URL.Path, query: r.URL.Query(), form: form, sent: r.Header.Clone(), raw: string(sent),
			status: rec.Code, header: rec.Header().Clone(), body: rec.Body.String(),
		}
		w.keep(x)
		for k, v := range rec.Header() {
			rw.Header()[k] = v
		}
		rw.WriteHeader(rec.Code)
		_, _ = rw.Write(rec.Body.Bytes())
	})
}

func (w *wire) exchanges() []exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

// kind of a secret.
type kind string

const (
	samlResponse   kind = "SAML response"
	state          kind = "state" // and RelayState
	nonce          kind = "nonce"
	code           kind = "authorization code"
	verifier       kind = "PKCE verifier"
	idToken        kind = "ID token"
	accessToken    kind = "access token"
	refreshToken   kind = "refresh token"
	clientSecret   kind = "client secret"
	sessionCookie  kind = "session token"
	bindingCookie  kind = "binding cookie"
	minted         kind = "minted assertion or token"
	secretKey      kind = "secret access key"
	awsToken       kind = "AWS session token"
	signInToken    kind = "console sign-in token"
	privateKey     kind = "private key"
	wrongInput     kind = "what somebody sent wrongly"
	passwordOfPeer kind = "password"

	factorKey      kind = "key of an authenticator app"
	recoveryCode   kind = "recovery code"
	ceremony       kind = "id of a passkey or app ceremony"
	passkeyAnswer  kind = "answer of a passkey"
	ourCode        kind = "code for a program"
	ourVerifier    kind = "PKCE verifier of a program"
	ourAccess      kind = "access token of a program"
	ourRefresh     kind = "refresh token of a program"
	deviceCode     kind = "device code"
	userCode       kind = "user code"
	registration   kind = "secret of a registered program"
	logoutMessages kind = "logout message"
)

// mayHold reports whether an answer of rolegate's is meant to hold the secret.
// Kinds without a row are in none.
func mayHold(k kind, x exchange) bool {
	at := x.method + " " + x.path
	switch k {
	case sessionCookie:
		return strings.HasSuffix(at, "/acs") || strings.HasSuffix(at, "/callback") || strings.HasPrefix(at, "POST /mfa")
	case bindingCookie, state, nonce:
		return strings.HasPrefix(x.path, "/signin/")
	case secretKey, awsToken:
		return at == "POST /credentials" || at == "POST /api/v1/role-credentials" || at == "GET /aws/portal/federation/credentials"
	case wrongInput:
		return at == "POST /admin/simulate" || at == "POST /device" // the page gives the text back to mend
	case signInToken:
		return at == "POST /console" || at == "GET /go"
	case factorKey:
		return strings.HasPrefix(at, "POST /mfa/enrol/code")
	case recoveryCode:
		return at == "POST /mfa/enrol/code/confirm" || at == "POST /mfa/enrol/passkey"
	case ceremony:
		return strings.HasPrefix(x.path, "/mfa")
	case ourCode:
		return at == "POST /authorize"
	case ourAccess, ourRefresh:
		return at == "POST /oauth/token" || at == "POST /aws/oidc/token"
	case deviceCode:
		return at == "POST /oauth/device_authorization" || at == "POST /aws/oidc/device_authorization"
	case userCode:
		return strings.HasSuffix(at, "/device_authorization") || x.path == "/device"
	case registration:
		return at == "POST /aws/oidc/client/register"
	default:
		return false
	}
}

// secrets are values by their kind.
type secrets map[string]kind

func (s secrets) add(k kind, values ...string) {
	for _, v := range values {
		// What it was first is what it is: a provider's ID token goes to AWS too.
		if _, known := s[v]; v != "" && !known {
			s[v] = k
		}
	}
}

func (s secrets) count(k kind) (n int) {
	for _, have := range s {
		if have == k {
			n++
		}
	}
	return n
}

// gather finds the secrets that went over the wire.
func (w *wire) gather(t *testing.T) secrets {
	t.Helper()
	out := secrets{}
	for _, x := range w.exchanges() {
		switch x.part {
		case "portal":
			out.gatherPrograms(x)
			out.gatherFactors(x)
			if strings.HasSuffix(x.path, "/acs") {
				out.add(samlResponse, x.form["SAMLResponse"]...)
			}
			out.add(code, x.query["code"]...)
			for _, c := range (&http.Response{Header: x.header}).Cookies() {
				switch {
				case strings.HasSuffix(c.Name, "rolegate_session"):
					out.add(sessionCookie, c.Value)
				case strings.HasSuffix(c.Name, "rolegate_signin"):
					out.add(bindingCookie, c.Value)
				}
			}
			if u, err := url.Parse(x.header.Get("Location")); err == nil && strings.HasPrefix(x.path, "/signin/") {
				out.add(state, u.Query().Get("state"), u.Query().Get("RelayState"))
				out.add(nonce, u.Query().Get("nonce"))
			}
		case "issuers":
			if x.path != "/token" {
				continue
			}
			out.add(code, x.form["code"]...)
			out.add(verifier, x.form["code_verifier"]...)
			out.add(refreshToken, x.form["refresh_token"]...)
			if _, secret, ok := (&http.Request{Header: x.sent}).BasicAuth(); ok {
				out.add(clientSecret, secret)
			}
			var answer struct {
				ID      string `json:"id_token"`
				Access  string `json:"access_token"`
				Refresh string `json:"refresh_token"`
			}
			if json.Unmarshal([]byte(x.body), &answer) == nil {
				out.add(idToken, answer.ID)
				out.add(accessToken, answer.Access)
				out.add(refreshToken, answer.Refresh)
			}
		case "sts":
			out.add(minted, x.form["SAMLAssertion"]...)
			out.add(minted, x.form["WebIdentityToken"]...)
			var answer struct {
				Saml struct {
					Key   string `xml:"Credentials>SecretAccessKey"`
					Token string `xml:"Credentials>SessionToken"`
				} `xml:"AssumeRoleWithSAMLResult"`
				Web struct {
					Key   string `xml:"Credentials>SecretAccessKey"`
					Token string `xml:"Credentials>SessionToken"`
				} `xml:"AssumeRoleWithWebIdentityResult"`
			}
			if xml.Unmarshal([]byte(x.body), &answer) == nil {
				out.add(secretKey, answer.Saml.Key, answer.Web.Key)
				out.add(awsToken, answer.Saml.Token, answer.Web.Token)
			}
		case "signin":
			var answer struct{ SigninToken string }
			if x.method == http.MethodPost && json.Unmarshal([]byte(x.body), &answer) == nil {
				out.add(signInToken, answer.SigninToken)
			}
		}
	}
	return out
}

// place is a text in which no secret may be, but for those that it is meant to
// hold.
type place struct {
	name, text string
	may        func(kind) bool // nil: none
}

// answers are rolegate's own answers.
func (w *wire) answers() []place {
	var out []place
	for _, x := range w.exchanges() {
		if x.part != "portal" {
			continue
		}
		var head strings.Builder
		_ = x.header.Write(&head) // a Builder takes everything
		out = append(out, place{"answer to " + x.method + " " + x.path, head.String() + "\n" + x.body, func(k kind) bool { return mayHold(k, x) }})
	}
	return out
}

// files are what lies in a folder, byte by byte: the database with its
// write-ahead log, and whatever else is written. Those that are there to hold a
// secret are left out by name.
func files(t *testing.T, dir string, out ...string) []place {
	t.Helper()
	var found []place
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil || slices.Contains(out, e.Name()):
			if e != nil && e.IsDir() {
				return filepath.SkipDir
			}
			return err
		case e.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		found = append(found, place{name: e.Name(), text: string(b)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// chunk is how much of a long secret is one already: messages are cut, and half
// a token is too much.
const chunk = 48

var signatureValue = regexp.MustCompile(`SignatureValue>\s*([A-Za-z0-9+/=]{40,})`)

// forms are the ways in which a secret can be written.
func forms(secret string) []string {
	pieces := []string{secret}
	if n := len(secret); n > chunk {
		// The beginning, a little further in (beginnings are alike), the middle
		// and the end.
		for _, at := range []int{0, min(chunk, n-chunk), (n - chunk) / 2, n - chunk} {
			pieces = append(pieces, secret[at:at+chunk])
		}
	}
	// A document is one whatever it is wrapped in.
	if doc, err := base64.StdEncoding.DecodeString(secret); err == nil {
		for _, m := range signatureValue.FindAllSubmatch(doc, -1) {
			pieces = append(pieces, string(m[1][:40]))
		}
	}
	var out []string
	for _, p := range pieces {
		quoted, err := json.Marshal(p)
		if err != nil {
			continue
		}
		out = append(out, p, url.QueryEscape(p), strings.Trim(string(quoted), `"`), strings.ReplaceAll(p, "+", "&#43;"), hex.EncodeToString([]byte(p)))
		for skip := range 3 { // wherever in something longer it stands
			if len(p) > skip+8 {
				whole := p[skip : skip+(len(p)-skip)/3*3]
				out = append(out, base64.StdEncoding.EncodeToString([]byte(whole)), base64.URLEncoding.EncodeToString([]byte(whole)))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// leaks returns which secrets stand where they may not, each once for a place.
func leaks(t *testing.T, all secrets, places ...place) []string {
	t.Helper()
	var out []string
	for secret, k := range all {
		if len(secret) < 8 {
			t.Fatalf("a %s is too short to look for: %q", k, secret)
		}
		written := forms(secret)
		for _, p := range places {
			if p.may != nil && p.may(k) {
				continue
			}
			if slices.ContainsFunc(written, func(s string) bool { return strings.Contains(p.text, s) }) {
				out = append(out, string(k)+" in "+p.name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
