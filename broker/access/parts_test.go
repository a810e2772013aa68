package access_test

import (
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/session"
)

// config is that of the use case over a store that may fail.
func config(t *testing.T, r *brokertest.Rig, f brokertest.Failing) access.Config {
	t.Helper()
	entitlements, err := access.NewEntitlements(r.AWS)
	if err != nil {
		t.Fatal(err)
	}
	policies := map[broker.ProviderID]broker.MFAPolicy{"okta": r.Policy}
	book, err := session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: f, List: f, Revoker: f, Journal: r.Broker().Journal},
		Sealer:      brokertest.Sealer{}, Policies: policies, Now: r.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return access.Config{
		Book: book, Kept: session.Sealed{State: f, Sealer: brokertest.Sealer{}}, Entitlements: entitlements, Asserter: r.AWS, Assumer: r.AWS,
		RoleSessions: f, Journal: r.Broker().Journal, Policies: policies, Now: r.Now,
	}
}

// failing is the use case over a store of which one call fails.
func failing(t *testing.T, r *brokertest.Rig, p broker.TokenRefresher, call, key string) *access.Service {
	t.Helper()
	c := config(t, r, brokertest.Failing{Store: r.Store, Call: call, Key: key})
	c.Refreshers = map[broker.ProviderID]broker.TokenRefresher{"okta": p}
	a, err := access.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNewRefusesMissingParts ensures that there is no way into AWS without all
// that it needs.
func TestNewRefusesMissingParts(t *testing.T) {
	r := brokertest.New(t)
	for _, tt := range []struct {
		name string
		take func(*access.Config)
	}{
		{"no book", func(c *access.Config) { c.Book = nil }},
		{"no state", func(c *access.Config) { c.Kept.State = nil }},
		{"no entitlements", func(c *access.Config) { c.Entitlements = nil }},
		{"no asserter", func(c *access.Config) { c.Asserter = nil }},
		{"no assumer", func(c *access.Config) { c.Assumer = nil }},
		{"no role sessions", func(c *access.Config) { c.RoleSessions = nil }},
		{"no journal", func(c *access.Config) { c.Journal = nil }},
		{"no policies", func(c *access.Config) { c.Policies = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, r, brokertest.Failing{Store: r.Store})
			tt.take(&c)
			if a, err := access.New(c); err == nil || a != nil {
				t.Errorf("%v, %v", a, err)
			}
		})
	}
	if e, err := access.NewEntitlements(nil); err == nil || e != nil {
		t.Errorf("no rules: %v, %v", e, err)
	}
	for name, c := range map[string]access.FavouritesConfig{"no store": {RoleSessions: r.Store}, "no role sessions": {Store: r.Store}} {
		if f, err := access.NewFavourites(c); err == nil || f != nil {
			t.Errorf("favourites, %s: %v, %v", name, f, err)
		}
	}
}
