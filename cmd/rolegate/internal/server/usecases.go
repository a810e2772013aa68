package server

import (
	"net/url"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/federation"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/mfa"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// useCases are the desks and use cases that the pages stand on.
type useCases struct {
	journal    *journal.Journal
	book       *session.Book
	signIn     *signin.Service
	logout     *signin.Logout
	access     *access.Service
	favourites *access.Favourites
	program    *program.Service
	factor     *factor.Service
	admin      *admin.Service
}

// useCases joins adapters and use cases, desks first.
func (s *Server) useCases(c *config.Config, providers []broker.Provider, aws *federation.Federation, o Options) (u useCases, err error) {
	state, sessions, events, rules := o.Metrics.State(s.Store), o.Metrics.Sessions(s.Store), o.Metrics.Recorder(s.Store), c.Engine()
	roleSessions := o.Metrics.RoleSessions(s.Store)
	policies := map[broker.ProviderID]broker.MFAPolicy{}
	for _, p := range providers {
		policies[p.ID] = p.MFA
	}
	refreshers := map[broker.ProviderID]broker.TokenRefresher{}
	for id, rp := range s.OIDC {
		refreshers[id] = rp
	}
	kept := session.Sealed{State: state, Sealer: s.Sealer}
	identities := session.Identities{Store: s.Store, Sealer: s.Sealer}

	if u.journal, err = journal.New(journal.Config{Events: events, State: state, Now: o.Now}); err != nil {
		return u, err
	}
	limiter, err := limit.New(limit.Config{State: state, Journal: u.journal, Limits: c.RateLimits(), Now: o.Now})
	if err != nil {
		return u, err
	}
	if u.book, err = session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: sessions, List: s.Store, Revoker: s.Store, Journal: u.journal},
		Sealer:      s.Sealer, Policies: policies, Limits: c.SessionLimits(), Now: o.Now,
	}); err != nil {
		return u, err
	}
	entitlements, err := access.NewEntitlements(rules)
	if err != nil {
		return u, err
	}
	if u.signIn, err = signin.New(signin.Config{
		Providers: providers, Mapper: rules, Kept: kept, Book: u.book, Names: s.Store, Identities: identities, Journal: u.journal,
		Limiter: limiter, Now: o.Now,
	}); err != nil {
		return u, err
	}
	if u.logout, err = signin.NewLogout(signin.LogoutConfig{
		Providers: providers, Kept: kept, Ender: u.book.Ender, Journal: u.journal, Limiter: limiter, Now: o.Now,
	}); err != nil {
		return u, err
	}
	if u.access, err = access.New(access.Config{
		Book: u.book, Kept: kept, Entitlements: entitlements, Asserter: s.Issuer, Assumer: aws, RoleSessions: roleSessions, Journal: u.journal,
		Refreshers: refreshers, Policies: policies, PortalURL: c.PublicURL, Limiter: limiter, Admins: rules, Now: o.Now,
	}); err != nil {
		return u, err
	}
	if u.favourites, err = access.NewFavourites(access.FavouritesConfig{Store: s.Store, RoleSessions: roleSessions, Now: o.Now}); err != nil {
		return u, err
	}
	if u.program, err = program.New(program.Config{
		Kept: kept, Book: u.book, Journal: u.journal, Limiter: limiter, Policies: policies, Roles: entitlements, Now: o.Now,
	}); err != nil {
		return u, err
	}
	if u.factor, err = s.factor(c, factor.Config{
		Store: s.Store, Kept: kept, Book: u.book, Journal: u.journal, Limiter: limiter, Policies: policies, Now: o.Now,
	}); err != nil {
		return u, err
	}
	u.admin, err = admin.New(admin.Config{
		Judge: rules, Book: u.book, Log: s.Store, Journal: u.journal, Identities: identities, Roles: entitlements, Now: o.Now,
	})
	return u, err
}

// factor wires rolegate's own second factor.
func (s *Server) factor(c *config.Config, fc factor.Config) (*factor.Service, error) {
	passkeys, err := mfa.NewPasskeys(c.PasskeysConfig())
	if err != nil {
		return nil, err
	}
	host := c.PublicURL
	if u, err := url.Parse(c.PublicURL); err == nil {
		host = u.Hostname()
	}
	fc.Passkeys, fc.Codes = passkeys, mfa.NewCodes("rolegate "+host, nil)
	return factor.New(fc)
}
