package demo

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/broker/sandbox/aws"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/outbound"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

//go:embed rolegate.yaml.tmpl
var configTemplate string

// The sandbox's issuers. IAM takes only https without a port, and .test names
// never leave the machine (RFC 6761); rolegate and the double reach them
// through a dial map.
const (
	ourIssuer  = "issuer.rolegate.test"
	corpIssuer = "login.rolegate.test"
)

// Options of a demo.
type Options struct {
	Listen    string   // of the portal, e.g. localhost:8080; port 0 takes a free one
	Dir       string   // keeps state; "" uses a folder that Close removes
	World     []byte   // of the AWS double; nil: its default
	SwitchOff []string // checks of the double that are not made
	Logger    *slog.Logger
	Version   string

	// What a test changes or looks at.
	Store   string                                         // of the configuration; "": SQLite in Dir
	People  []idp.Person                                   // nil: [idp.DemoPeople]
	Metrics *metrics.Metrics                               // of rolegate; nil: nothing is counted
	Now     func() time.Time                               // rolegate's clock, not the peers'; nil: time.Now
	Wrap    func(part string, h http.Handler) http.Handler // stands before portal, issuers, saml, oidc, sts, signin and console
}

// Demo is a running demo.
type Demo struct {
	Portal  string // URL
	STS     string
	SignIn  string
	Console string
	Dir     string
	People  []idp.Person

	server *server.Server
	aws    *aws.AWS
	saml   *idp.SAML
	oidc   *idp.OIDC
	trail  *os.File
	remove bool

	switchOff []string

	stop context.CancelFunc
	wg   sync.WaitGroup
	web  []*http.Server
}

// Start starts everything. Close the demo when done.
func Start(ctx context.Context, o Options) (_ *Demo, err error) {
	ctx, stop := context.WithCancel(ctx)
	d := &Demo{stop: stop, Dir: o.Dir, People: o.People, switchOff: o.SwitchOff}
	if d.People == nil {
		d.People = idp.DemoPeople()
	}
	if o.Store == "" {
		o.Store = "sqlite:rolegate.db"
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.Dir == "" {
		if d.Dir, err = os.MkdirTemp("", "rolegate-demo"); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		d.remove = true
	} else if err := os.MkdirAll(d.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	l, err := d.listeners(ctx, o.Listen)
	if err != nil {
		return nil, err
	}
	authority, err := idp.NewAuthority()
	if err != nil {
		return nil, err
	}
	dial := map[string]string{ourIssuer: l["issuers"].Addr().String(), corpIssuer: l["issuers"].Addr().String()}
	secret := rand.Text()
	if err := d.providers(secret, l); err != nil {
		return nil, err
	}
	c, err := d.configuration(secret, o.Store, l)
	if err != nil {
		return nil, err
	}
	if c.SharedStore() { // where a server makes no keys of its own
		if _, err := issuer.OpenKeys(c.Path(c.Keys.Dir), issuer.OpenOptions{Create: true, Now: o.Now}); err != nil {
			return nil, err
		}
	}
	if d.server, err = server.New(ctx, c, server.Options{
		DialMap: dial, Roots: authority.Pool(), Logger: o.Logger, Version: o.Version, Metrics: o.Metrics, Now: o.Now,
	}); err != nil {
		return nil, err
	}
	if d.trail, err = os.OpenFile(filepath.Join(d.Dir, "cloudtrail.jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d.aws, err = aws.New(aws.Options{
		World: o.World, SwitchOff: o.SwitchOff, Trail: d.trail, SignInURL: d.SignIn, ConsoleURL: d.Console,
		HTTP: outbound.New(outbound.Options{DialMap: dial, Roots: authority.Pool()}),
	})
	if err != nil {
		return nil, err
	}
	if err := d.introduce(); err != nil {
		return nil, err
	}
	pair, err := authority.ServerCertificate(ourIssuer, corpIssuer)
	if err != nil {
		return nil, err
	}
	l["issuers"] = tls.NewListener(l["issuers"], &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	for name, h := range map[string]http.Handler{
		"portal": d.server.Handler, "issuers": d.issuers(), "saml": d.saml.Handler(), "oidc": d.oidc.BrowserHandler(),
		"sts": d.aws.STS(), "signin": d.aws.SignIn(), "console": d.aws.Console(),
	} {
		if o.Wrap != nil {
			h = o.Wrap(name, h)
		}
		d.serve(ctx, h, l[name], o.Logger)
	}
	for id, err := range d.server.Refresh(ctx) {
		if err != nil {
			return nil, fmt.Errorf("demo: %s: %w", id, err)
		}
	}
	d.wg.Go(func() { d.server.Run(ctx) })
	return d, nil
}

// listeners opens a port for each part; all are on loopback, under the name
// localhost, so that cookies of one site work in every browser.
func (d *Demo) listeners(ctx context.Context, portal string) (map[string]net.Listener, error) {
	out := map[string]net.Listener{}
	host, port, err := net.SplitHostPort(portal)
	if err != nil || host != "localhost" && host != "127.0.0.1" {
		return nil, fmt.Errorf("demo: listen on localhost:PORT, not %q", portal)
	}
	var lc net.ListenConfig
	for _, name := range []string{"portal", "issuers", "saml", "oidc", "sts", "signin", "console"} {
		address := "127.0.0.1:0"
		if name == "portal" {
			address = "127.0.0.1:" + port
		}
		l, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			for _, open := range out {
				_ = open.Close()
			}
			return nil, fmt.Errorf("demo: cannot listen on %s (%w): stop what uses it, or choose another port with --listen localhost:PORT", address, err)
		}
		out[name] = l
	}
	d.Portal, d.STS, d.SignIn, d.Console = local(out["portal"]), local(out["sts"]), local(out["signin"]), local(out["console"])
	return out, nil
}

func local(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	return "http://localhost:" + port
}

func (d *Demo) providers(secret string, l map[string]net.Listener) (err error) {
	if d.saml, err = idp.NewSAML(idp.SAMLOptions{BaseURL: local(l["saml"]), People: d.People}); err != nil {
		return err
	}
	d.oidc, err = idp.NewOIDC(idp.OIDCOptions{
		Issuer: "https://" + corpIssuer, BrowserURL: local(l["oidc"]), People: d.People,
		Clients: []idp.Client{{ID: "rolegate", Secret: secret, RedirectURIs: []string{d.Portal + "/oidc/oidc/callback"}}},
	})
	return err
}

func (d *Demo) configuration(secret, store string, l map[string]net.Listener) (*config.Config, error) {
	t, err := template.New("config").Parse(configTemplate)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	var text strings.Builder
	err = t.Execute(&text, map[string]string{
		"Portal": d.Portal, "Listen": l["portal"].Addr().String(), "SAML": local(l["saml"]), "STS": d.STS, "SignIn": d.SignIn, "Console": d.Console,
		"Store": store,
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	path := filepath.Join(d.Dir, "rolegate.yaml")
	for name, content := range map[string]string{path: text.String(), filepath.Join(d.Dir, "client.secret"): secret} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
	}
	return config.Load(path, func(string) string { return "" })
}

// introduce gives each side the other's metadata, as an administrator would.
func (d *Demo) introduce() error {
	ours, err := d.server.Issuer.Metadata()
	if err != nil {
		return err
	}
	if err := d.aws.PutSAMLMetadata("rolegate", ours); err != nil {
		return err
	}
	sp, err := d.server.SAML["saml"].Metadata()
	if err != nil {
		return err
	}
	return d.saml.RegisterSP(sp)
}

// issuers serves both https issuers: rolegate's two documents as the static
// files they may be exported as, and the OpenID provider.
func (d *Demo) issuers() http.Handler {
	mux := http.NewServeMux()
	document := func(path string, make func() ([]byte, error)) {
		mux.HandleFunc("GET "+ourIssuer+path, func(w http.ResponseWriter, _ *http.Request) {
			b, err := make()
			if err != nil {
				http.Error(w, "unavailable", http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(b) // the client went away: nobody to tell
		})
	}
	document("/.well-known/openid-configuration", d.server.Issuer.Discovery)
	document("/aws/jwks.json", d.server.Issuer.JWKS)
	mux.Handle(corpIssuer+"/", d.oidc.Handler())
	return mux
}

func (d *Demo) serve(ctx context.Context, h http.Handler, l net.Listener, log *slog.Logger) {
	s := server.HTTP(ctx, h, log)
	d.web = append(d.web, s)
	d.wg.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.ErrorContext(ctx, "a part of the demo stopped", "error", err)
		}
	})
}

// Close stops everything and removes what was temporary.
func (d *Demo) Close() error {
	d.stop()
	late, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for _, s := range d.web {
		_ = s.Shutdown(late) // what does not end in time is cut off next
		_ = s.Close()
	}
	d.wg.Wait()
	var errs []error
	if d.server != nil {
		errs = append(errs, d.server.Close())
	}
	if d.trail != nil {
		errs = append(errs, d.trail.Close())
	}
	if d.remove {
		errs = append(errs, os.RemoveAll(d.Dir))
	}
	return errors.Join(errs...)
}
