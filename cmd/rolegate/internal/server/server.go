package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/metrics"
	"github.com/rolegate/rolegate/broker/oidc"
	"github.com/rolegate/rolegate/broker/saml"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/idp"
	"github.com/rolegate/rolegate/broker/web/portal"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/outbound"
)

// Options are what a sandbox or a test changes about the world.
type Options struct {
	DialMap map[string]string // host name to ADDRESS:PORT for outgoing connections
	Roots   *x509.CertPool    // for outgoing TLS; nil: the system's and outbound.ca_file
	Now     func() time.Time  // nil: time.Now
	Logger  *slog.Logger      // needed
	Metrics *metrics.Metrics  // nil: nothing is counted
	Version string
}

// Server is a wired rolegate.
type Server struct {
	Handler http.Handler
	Issuer  *issuer.Issuer
	Store   *sqlstore.Store
	Journal *journal.Journal
	Sealer  broker.Sealer
	SAML    map[broker.ProviderID]*saml.ServiceProvider
	OIDC    map[broker.ProviderID]*oidc.RelyingParty

	config  *config.Config
	options Options // as given
	keys    *issuer.Keys
	sums    map[broker.ProviderID]string // of what each adapter was made from
	prior   *Server                      // whose adapters are taken over while wiring, else nil

	refusals *refusals // of reloads; outlives a configuration

	node *node // nil: the store is ours alone

	base  []func(context.Context) // loops of the store and the like, which outlive a configuration
	loops []func(context.Context) // loops of this configuration
}

// New wires a server. It opens the store and the keys (making them if the key
// folder is empty) but does not use the network: an identity provider that is
// down must not stop the others. Close the server when done.
func New(ctx context.Context, c *config.Config, o Options) (_ *Server, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := newServer(c, o)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// Nodes that share a store share their keys: one that made its own would be
	// another identity.
	if s.keys, err = issuer.OpenKeys(c.Path(c.Keys.Dir), issuer.OpenOptions{Create: !c.SharedStore(), Now: o.Now}); err != nil {
		return nil, c.At("keys.dir", err)
	}
	if s.Sealer, err = s.keys.Sealer(); err != nil {
		return nil, err
	}
	if err := s.openStore(ctx, c, s.keys, o); err != nil {
		return nil, err
	}
	return s, s.assemble()
}

func newServer(c *config.Config, o Options) *Server {
	return &Server{
		config: c, options: o, refusals: &refusals{}, sums: map[broker.ProviderID]string{},
		SAML: map[broker.ProviderID]*saml.ServiceProvider{}, OIDC: map[broker.ProviderID]*oidc.RelyingParty{},
	}
}

// assemble makes all that depends on the configuration, on top of the store and
// the keys.
func (s *Server) assemble() (err error) {
	c, o := s.config, s.options
	if o.Roots == nil {
		if o.Roots, err = c.Certificates(); err != nil {
			return fmt.Errorf("server: outbound.ca_file: %w", err)
		}
	}
	if s.Issuer, err = newIssuer(c, s.keys, o); err != nil {
		return err
	}
	return s.wire(c, s.keys, o)
}

// NewIssuer returns what signs for AWS by the configuration, and publishes its
// keys.
func NewIssuer(c *config.Config, keys *issuer.Keys) (*issuer.Issuer, error) {
	return newIssuer(c, keys, Options{})
}

func newIssuer(c *config.Config, keys *issuer.Keys, o Options) (*issuer.Issuer, error) {
	ic := c.IssuerConfig()
	ic.Keys, ic.Now = keys, o.Now
	return issuer.New(ic)
}

// wire joins adapters and use cases, top to bottom.
func (s *Server) wire(c *config.Config, keys *issuer.Keys, o Options) error {
	providers, err := s.providers(c, keys, o)
	if err != nil {
		return err
	}
	aws, err := newFederation(c, o)
	if err != nil {
		return err
	}
	u, err := s.useCases(c, providers, aws, o)
	if err != nil {
		return err
	}
	s.Journal = u.journal
	pages := c.WebConfig()
	metadata := map[broker.ProviderID]idp.MetadataSource{}
	for id, sp := range s.SAML {
		metadata[id] = sp
	}
	clientKeys := map[broker.ProviderID]idp.KeySource{}
	for id, rp := range s.OIDC {
		clientKeys[id] = rp
	}
	var destinations []portal.Destination
	for _, d := range federation.Services() {
		destinations = append(destinations, portal.Destination(d))
	}
	s.Handler, err = web.New(web.Config{
		SignIn: u.signIn, Access: u.access, Logout: u.logout, Factors: u.factor, Programs: u.program, Journal: u.journal,
		Favourites: u.favourites, Book: u.book, Admin: u.admin, Health: s.health(c, keys, aws, o), Simulate: simulate(c), SAML: metadata, OIDC: clientKeys,
		Documents: idp.Documents{Metadata: s.Issuer.Metadata, Discovery: s.Issuer.Discovery, JWKS: s.Issuer.JWKS},
		PublicURL: pages.PublicURL, Destinations: destinations, AWSOrigins: pages.AWSOrigins, IdPOrigins: pages.IdPOrigins,
		Ready: s.ready, Observe: o.Metrics.Request, Logger: o.Logger, TrustedProxies: pages.TrustedProxies, Now: o.Now,
	})
	return err
}

func newFederation(c *config.Config, o Options) (*federation.Federation, error) {
	fc := c.FederationConfig()
	fc.Version = o.Version
	configured := []string{fc.Insecure.STS, fc.Insecure.SignIn}
	fc.HTTP = outbound.New(outbound.Options{Configured: configured, Allow: c.Outbound.Allow, DialMap: o.DialMap, Roots: o.Roots})
	return federation.New(fc)
}

func (s *Server) providers(c *config.Config, keys *issuer.Keys, o Options) ([]broker.Provider, error) {
	var out []broker.Provider
	for _, p := range c.IdentityProviders {
		sum, err := adapterSum(c, p)
		if err != nil {
			return nil, err
		}
		x := broker.Provider{ID: broker.ProviderID(p.ID), Name: p.Name, MFA: p.Policy()}
		for _, d := range p.EmailDomains {
			x.EmailDomains = append(x.EmailDomains, strings.ToLower(d))
		}
		s.sums[x.ID] = sum
		same := s.prior != nil && s.prior.sums[x.ID] == sum
		if p.SAML != nil {
			sp, err := newSAML(c, p, keys, o)
			if err != nil {
				return nil, err
			}
			if same {
				sp = s.prior.SAML[x.ID] // with the metadata that it knows
			}
			s.SAML[x.ID], x.IdP = sp, sp
			s.loops = append(s.loops, sp.Run)
		} else {
			rp, err := newOIDC(c, p, keys, o)
			if err != nil {
				return nil, err
			}
			if same {
				rp = s.prior.OIDC[x.ID]
			}
			s.OIDC[x.ID], x.IdP = rp, rp
			s.loops = append(s.loops, rp.Run)
		}
		out = append(out, x)
	}
	return out, nil
}

func pairs(keys []issuer.Key) []saml.KeyPair {
	var out []saml.KeyPair
	for _, k := range keys {
		out = append(out, saml.KeyPair{Certificate: k.Certificate, Key: k.Signer()})
	}
	return out
}

func newSAML(c *config.Config, p config.IdentityProvider, keys *issuer.Keys, o Options) (*saml.ServiceProvider, error) {
	sc, err := c.SAMLConfig(p)
	if err != nil {
		return nil, fmt.Errorf("server: metadata certificate of %s: %w", p.ID, err)
	}
	sc.Signing, sc.Decryption, sc.Now = pairs(keys.Published(issuer.SPSigning)), pairs(keys.Held(issuer.SPEncryption)), o.Now
	sc.Changed = tell(o.Logger, sc.ID)
	sc.HTTP = outbound.New(outbound.Options{
		Configured: []string{sc.MetadataURL}, Allow: c.Outbound.Allow, DialMap: o.DialMap, Roots: o.Roots,
		Timeout: 2 * time.Minute, // an aggregate is read while it comes
	})
	return saml.New(sc)
}

func newOIDC(c *config.Config, p config.IdentityProvider, keys *issuer.Keys, o Options) (*oidc.RelyingParty, error) {
	oc := c.OIDCConfig(p)
	oc.Now, oc.Changed = o.Now, tell(o.Logger, oc.ID)
	oc.HTTP = outbound.New(outbound.Options{
		Configured: []string{oc.Issuer, oc.DiscoveryURL}, Allow: c.Outbound.Allow, DialMap: o.DialMap, Roots: o.Roots,
	})
	switch {
	case p.OIDC.PrivateKeyJWT:
		key := keys.Active(issuer.SPSigning)
		oc.ClientKey, oc.ClientKeyID = key.Signer(), key.ID
		for _, k := range keys.Published(issuer.SPSigning) {
			oc.ClientKeys = append(oc.ClientKeys, oidc.PublicKey{ID: k.ID, Key: k.Signer().Public()})
		}
	case oc.ClientAuth != oidc.AuthNone:
		secret, err := c.ClientSecret(p.OIDC)
		if err != nil {
			return nil, fmt.Errorf("server: client secret of %s: %w", p.ID, err)
		}
		oc.ClientSecret = secret
	}
	return oidc.New(oc)
}

// Refresh fetches metadata and discovery of every identity provider at once and
// returns what failed, by provider.
func (s *Server) Refresh(ctx context.Context) map[broker.ProviderID]error {
	out := map[broker.ProviderID]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	try := func(id broker.ProviderID, refresh func(context.Context) error) {
		wg.Go(func() {
			err := refresh(ctx)
			mu.Lock()
			defer mu.Unlock()
			out[id] = err
		})
	}
	for id, sp := range s.SAML {
		try(id, sp.Refresh)
	}
	for id, rp := range s.OIDC {
		try(id, rp.Refresh)
	}
	wg.Wait()
	return out
}

// Run keeps the background loops going until ctx ends, then waits for them.
func (s *Server) Run(ctx context.Context) {
	run(ctx, slices.Concat(s.base, s.loops))
}

func run(ctx context.Context, loops []func(context.Context)) {
	var wg sync.WaitGroup
	for _, loop := range loops {
		wg.Go(func() { loop(ctx) })
	}
	wg.Wait()
}

// Close takes leave of the other nodes and closes the store.
func (s *Server) Close() error {
	if s.Store == nil {
		return nil
	}
	if s.node != nil {
		s.node.leave()
	}
	return s.Store.Close()
}

// HTTP returns an http.Server with time-outs and header limits for the handler.
func HTTP(ctx context.Context, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}
