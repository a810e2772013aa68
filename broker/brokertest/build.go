package brokertest

import (
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
)

// Parts is what a whole broker is built from: a store, identity providers, and
// what stands for rules and AWS.
type Parts struct {
	Store     *Store
	State     broker.StateStore // nil: the store's
	Providers []broker.Provider
	Mapper    broker.IdentityMapper
	Rules     broker.RoleMapper
	Admins    broker.AdminJudge
	Asserter  broker.Asserter
	Assumer   broker.RoleAssumer
	Passkeys  broker.Passkeys
	Codes     broker.OneTimeCodes

	Refreshers map[broker.ProviderID]broker.TokenRefresher
	Limits     broker.SessionLimits
	Rates      map[limit.Kind]limit.Rate // nil: no limits but of guesses
	PortalURL  string
	Now        func() time.Time
}

// Broker is every desk and use case over the same parts: one node.
type Broker struct {
	Journal    *journal.Journal
	Book       *session.Book
	Limiter    *limit.Limiter
	Kept       session.Sealed
	Identities session.Identities

	SignIn     *signin.Service
	Logout     *signin.Logout
	Access     *access.Service
	Favourites *access.Favourites
	Program    *program.Service
	Factor     *factor.Service
	Resetter   factor.Resetter
	Admin      *admin.Service
}

// Build builds a node. The same store under two of them makes two nodes.
func Build(t testing.TB, p Parts) *Broker {
	t.Helper()
	state := p.State
	if state == nil {
		state = p.Store
	}
	policies := map[broker.ProviderID]broker.MFAPolicy{}
	for _, x := range p.Providers {
		policies[x.ID] = x.MFA
	}
	b := &Broker{
		Kept: session.Sealed{State: state, Sealer: Sealer{}}, Identities: session.Identities{Store: p.Store, Sealer: Sealer{}},
	}
	b.Journal = must(journal.New(journal.Config{Events: p.Store, State: state, Now: p.Now}))(t)
	b.Limiter = must(limit.New(limit.Config{State: state, Journal: b.Journal, Limits: p.Rates, Now: p.Now}))(t)
	b.Book = must(session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: p.Store, List: p.Store, Revoker: p.Store, Journal: b.Journal},
		Sealer:      Sealer{}, Policies: policies, Limits: p.Limits, Now: p.Now,
	}))(t)
	entitlements := must(access.NewEntitlements(p.Rules))(t)
	b.SignIn = must(signin.New(signin.Config{
		Providers: p.Providers, Mapper: p.Mapper, Kept: b.Kept, Book: b.Book, Names: p.Store, Identities: b.Identities, Journal: b.Journal,
		Limiter: b.Limiter, Now: p.Now,
	}))(t)
	b.Logout = must(signin.NewLogout(signin.LogoutConfig{
		Providers: p.Providers, Kept: b.Kept, Ender: b.Book.Ender, Journal: b.Journal, Limiter: b.Limiter, Now: p.Now,
	}))(t)
	b.Access = must(access.New(access.Config{
		Book: b.Book, Kept: b.Kept, Entitlements: entitlements, Asserter: p.Asserter, Assumer: p.Assumer, RoleSessions: p.Store,
		Journal: b.Journal, Refreshers: p.Refreshers, Policies: policies, PortalURL: p.PortalURL, Limiter: b.Limiter, Admins: p.Admins, Now: p.Now,
	}))(t)
	b.Favourites = must(access.NewFavourites(access.FavouritesConfig{Store: p.Store, RoleSessions: p.Store, Now: p.Now}))(t)
	b.Program = must(program.New(program.Config{
		Kept: b.Kept, Book: b.Book, Journal: b.Journal, Limiter: b.Limiter, Policies: policies, Roles: entitlements, Now: p.Now,
	}))(t)
	if p.Passkeys != nil {
		b.Factor = must(factor.New(factor.Config{
			Store: p.Store, Kept: b.Kept, Book: b.Book, Journal: b.Journal, Limiter: b.Limiter, Passkeys: p.Passkeys, Codes: p.Codes,
			Policies: policies, Now: p.Now,
		}))(t)
	}
	b.Resetter = factor.Resetter{Store: p.Store, Ender: b.Book.Ender, Journal: b.Journal, Limiter: b.Limiter}
	b.Admin = must(admin.New(admin.Config{
		Judge: p.Admins, Book: b.Book, Log: p.Store, Journal: b.Journal, Identities: b.Identities, Roles: entitlements, Now: p.Now,
	}))(t)
	return b
}

// must is for constructors: it fails the test where one refuses.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
