package web_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/web"
	webadmin "github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/broker/web/idp"
	"github.com/rolegate/rolegate/broker/web/portal"
)

// house is a whole server, and a browser's cookies. Identity providers and AWS are
// fakes, everything else is real.
type house struct {
	t       testing.TB
	clock   time.Time
	store   *brokertest.Store
	made    brokertest.Parts // what broker is built from
	broker  *brokertest.Broker
	mfa     bool   // the providers vouch for a second factor
	person  string // of whom they speak; "": 00u1
	saml    *fakeIdP
	oidc    *fakeIdP
	aws     *aws
	logs    *bytes.Buffer
	refused *webadmin.Refused // a configuration that is not in use
	server  http.Handler
	public  string
	cookies map[string]*http.Cookie
}

func assignment(account, name, role string) broker.Assignment {
	return broker.Assignment{
		ID:      broker.NewAssignmentID(broker.AccountID(account), role, broker.ViaSAML),
		Account: broker.Account{ID: broker.AccountID(account), Name: name, Partition: broker.PartitionAWS},
		Role:    role, Via: broker.ViaSAML, MaxDuration: time.Hour, Rules: []string{"r"},
		RoleARN: broker.NewRoleARN(broker.PartitionAWS, broker.AccountID(account), role),
	}
}

// newHouse makes a house with the SAML provider "okta" and the OpenID Connect
// provider "entra" and two roles.
func newHouse(t testing.TB, change ...func(*house, *web.Config)) *house {
	t.Helper()
	h := &house{
		t: t, clock: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC), public: "https://sso.example.com",
		logs: &bytes.Buffer{}, cookies: map[string]*http.Cookie{},
	}
	now := func() time.Time { return h.clock }
	h.store = brokertest.NewStore(t, now)
	n := 0
	vouch := func(id broker.ProviderID) func() broker.Authentication {
		return func() broker.Authentication {
			n++
			out := broker.Authentication{
				Subject: broker.Subject{Provider: id, ID: cmp.Or(h.person, "00u1")}, AuthnInstant: h.clock,
				ReplayID: fmt.Sprint("_", n), ReplayExpires: h.clock.Add(time.Minute),
				Claims: broker.Claims{"username": {"alice"}, "email": {"alice@example.com"}, "groups": {"staff"}, "name": {"Alice Ames"}},
			}
			if h.mfa {
				out.AuthnContext.ACR = proven
			}
			return out
		}
	}
	h.saml = &fakeIdP{id: "okta", auth: vouch("okta")}
	h.oidc = &fakeIdP{id: "entra", auth: vouch("entra")}
	h.aws = &aws{now: now, assignments: []broker.Assignment{
		assignment("111122223333", "prod", "Admin"), assignment("444455556666", "test", "ReadOnly"),
	}}
	h.made = brokertest.Parts{
		Store: h.store,
		Providers: []broker.Provider{
			{
				ID: "okta", Name: "Okta", EmailDomains: []string{"example.com"}, IdP: h.saml,
				MFA: broker.MFAPolicy{AuthnContext: [][]string{{proven}}},
			},
			{ID: "entra", Name: "Entra ID", IdP: h.oidc},
		},
		Mapper: h.aws, Rules: h.aws, Admins: h.aws, Asserter: h.aws, Assumer: h.aws, PortalURL: h.public, Now: now,
	}
	c := web.Config{
		Health: web.Health{
			Store: "SQLite", Relaxations: []string{"insecure_http is on"}, Ping: h.store.Ping,
			Keys: func() []webadmin.Key {
				return []webadmin.Key{{Purpose: "aws-saml", ID: "kid", Active: true, NotAfter: h.clock}}
			},
			Refused: func() *webadmin.Refused { return h.refused },
			AWS:     []webadmin.Endpoint{{Name: "STS", URL: "https://sts.example"}},
		},
		Simulate: func(_ context.Context, candidate []byte, people []broker.Identity) (webadmin.Simulation, error) {
			if bytes.HasPrefix(candidate, []byte("bad")) {
				return webadmin.Simulation{Problems: []string{string(candidate)}}, nil
			}
			return webadmin.Simulation{People: len(people), Changes: []webadmin.Change{
				{Kind: "gained", Username: string(candidate), Account: string(candidate), Role: string(candidate), What: []string{string(candidate)}},
			}}, nil
		},
		SAML: map[broker.ProviderID]idp.MetadataSource{"okta": metadata{}},
		OIDC: map[broker.ProviderID]idp.KeySource{"entra": metadata{}},
		Documents: idp.Documents{
			Metadata:  func() ([]byte, error) { return []byte("<EntityDescriptor/>"), nil },
			Discovery: func() ([]byte, error) { return []byte(`{"issuer":"x"}`), nil },
			JWKS:      func() ([]byte, error) { return []byte(`{"keys":[]}`), nil },
		},
		PublicURL: h.public, AWSOrigins: []string{"https://signin.example", "https://console.example"},
		Destinations: []portal.Destination{{Path: "", Name: "Console home"}, {Path: "ec2/home", Name: "EC2"}},
		Logger:       slog.New(slog.NewJSONHandler(h.logs, nil)), Now: now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	h.parts(&c, func(*brokertest.Parts) {})
	for _, f := range change {
		f(h, &c)
	}
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	h.server = s
	return h
}

// parts builds the broker anew from other parts and gives it to the server: all
// use cases go on sharing their desks.
func (h *house) parts(c *web.Config, change func(*brokertest.Parts)) {
	h.t.Helper()
	change(&h.made)
	b := brokertest.Build(h.t, h.made)
	h.broker = b
	c.SignIn, c.Access, c.Logout, c.Favourites, c.Programs = b.SignIn, b.Access, b.Logout, b.Favourites, b.Program
	c.Factors, c.Admin, c.Book, c.Journal = b.Factor, b.Admin, b.Book, b.Journal
}

// other is a change of a house's parts.
func other(change func(*brokertest.Parts)) func(*house, *web.Config) {
	return func(h *house, c *web.Config) { h.parts(c, change) }
}

// in makes t the test that fails with what goes wrong in the house.
func (h *house) in(t testing.TB) {
	h.t = t
	h.store.In(t)
}

// record adds an event that nothing here has caused.
func (h *house) record(e broker.Event) {
	h.t.Helper()
	if err := h.store.Record(h.t.Context(), e); err != nil {
		h.t.Fatal(err)
	}
}

// opened reads a record that the broker has sealed under the key.
func (h *house) opened(sealed []byte, key string, into any) {
	h.t.Helper()
	plain, err := brokertest.Sealer{}.Open(sealed, key)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		h.t.Fatalf("%s does not open: %v", key, err)
	}
}

// lastEvent is the latest event of all.
func (h *house) lastEvent() broker.Event {
	h.t.Helper()
	all := h.store.AllEvents()
	if len(all) == 0 {
		h.t.Fatal("no event was recorded")
	}
	return all[len(all)-1]
}

// events returns the events of one action.
func (h *house) events(act broker.Action) []broker.Event {
	h.t.Helper()
	return slices.DeleteFunc(h.store.AllEvents(), func(e broker.Event) bool { return e.Action != act })
}

// mintedOnce reports whether the events are those of one role session: that AWS
// was about to be asked for it, and that it was given out.
func mintedOnce(events []broker.Event, act broker.Action) bool {
	return len(events) == 2 && events[0].Action == broker.ActionAsk && events[0].Detail["for"] == string(act) &&
		events[1].Action == act && events[1].Outcome == broker.OutcomeOK && events[1].Detail["mint"] == events[0].Detail["mint"]
}
