package signin_test

import (
	"context"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/signin"
)

// config is that of the use case over the rig's node.
func config(r *brokertest.Rig) signin.Config {
	b := r.Broker()
	return signin.Config{
		Providers: r.Providers(), Mapper: r.AWS, Kept: b.Kept, Book: b.Book, Names: r.Store, Identities: b.Identities, Journal: b.Journal,
		Limiter: b.Limiter, Now: r.Now,
	}
}

// service builds the use case over the rig's node, changed.
func service(t *testing.T, r *brokertest.Rig, change func(*signin.Config)) *signin.Service {
	t.Helper()
	c := config(r)
	change(&c)
	s, err := signin.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// failing is the use case over a store of which one call fails.
func failing(t *testing.T, r *brokertest.Rig, call, key string) *signin.Service {
	t.Helper()
	return service(t, r, func(c *signin.Config) {
		f := brokertest.Failing{Store: r.Store, Call: call, Key: key}
		book, err := session.New(session.Config{
			EnderConfig: session.EnderConfig{Store: f, List: f, Revoker: f, Journal: c.Journal},
			Sealer:      brokertest.Sealer{}, Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": r.Policy}, Now: r.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Book, c.Kept.State, c.Identities.Store = book, f, f
	})
}

// plain is an identity provider that can sign people in and nothing else.
type plain struct{ broker.IdentityProvider }

// TestNewRefusesMissingParts ensures that there is no sign-in and no logout
// without all that they need.
func TestNewRefusesMissingParts(t *testing.T) {
	r := brokertest.New(t)
	for _, tt := range []struct {
		name string
		take func(*signin.Config)
	}{
		{"no mapper", func(c *signin.Config) { c.Mapper = nil }},
		{"no state", func(c *signin.Config) { c.Kept.State = nil }},
		{"no book", func(c *signin.Config) { c.Book = nil }},
		{"no names", func(c *signin.Config) { c.Names = nil }},
		{"no identities", func(c *signin.Config) { c.Identities.Store = nil }},
		{"no journal", func(c *signin.Config) { c.Journal = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(r)
			tt.take(&c)
			if s, err := signin.New(c); err == nil || s != nil {
				t.Errorf("%v, %v", s, err)
			}
		})
	}
	for _, tt := range []struct {
		name string
		take func(*signin.LogoutConfig)
	}{
		{"logout: no state", func(c *signin.LogoutConfig) { c.Kept.State = nil }},
		{"logout: no ender", func(c *signin.LogoutConfig) { c.Ender = nil }},
		{"logout: no journal", func(c *signin.LogoutConfig) { c.Journal = nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := signin.LogoutConfig{Kept: r.Broker().Kept, Ender: r.People.Ender, Journal: r.Broker().Journal}
			tt.take(&c)
			if l, err := signin.NewLogout(c); err == nil || l != nil {
				t.Errorf("%v, %v", l, err)
			}
		})
	}
}

// TestAttackPlainProvider ensures that a provider without an ability is not taken
// for one that has it, as when it was configured anew in between.
func TestAttackPlainProvider(t *testing.T) {
	r, a := arrived(t)
	r.Bye.Challenge = &broker.Challenge{URL: "https://idp.example/slo"}
	leaving := *r.SignInAs(t, "_2")
	ended, err := r.Out.End(t.Context(), &leaving, broker.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	node := r.Node(t, nil, func(p *brokertest.Parts) { p.Providers[0].IdP = plain{r.IdP} })
	_, _, err = node.SignIn.Finish(t.Context(), signin.Answer{Provider: "okta", State: "unknown"})
	brokertest.WantCode(t, "an unsolicited answer", broker.CodeUnauthenticated, err)
	_, _, err = node.SignIn.Agree(t.Context(), agreement(a))
	brokertest.WantCode(t, "an agreement", broker.CodeNotFound, err)
	_, trace, err := node.Logout.Finish(t.Context(), "okta", r.Bye.Request.State, ended.Binding, broker.LogoutMessage{})
	brokertest.WantCode(t, "the answer to a logout", broker.CodeInternal, err)
	if trace == "" || len(r.Store.Sessions()) != 0 {
		t.Errorf("trace %q, %d sessions", trace, len(r.Store.Sessions()))
	}
}

// TestSignInSaysWhatFailed ensures that no session and no arrival comes of a
// store that fails at one call, and that this is not taken for a bad answer.
func TestSignInSaysWhatFailed(t *testing.T) {
	for _, tt := range []struct {
		name      string
		call, key string
		unasked   bool
		old       bool // the browser had a session of the same person
	}{
		{name: "the pending request", call: "take", key: "signin/"},
		{name: "the session before", call: "read", old: true},
		{name: "the identity", call: "identity"},
		{name: "the new session", call: "save"},
		{name: "the arrival", call: "put", key: "arrival/", unasked: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.IdP.Unasked = tt.unasked
			in := signin.Request{Provider: "okta"}
			if tt.old {
				in.Replaces = r.SignInAs(t, "_0").Key
			}
			before := len(r.Store.Sessions())
			b, err := r.In.Begin(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			answer := signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding}
			if tt.unasked {
				answer.State = ""
			}
			out, _, err := failing(t, r, tt.call, tt.key).Finish(t.Context(), answer)
			brokertest.WantCode(t, tt.name, broker.CodeUnavailable, err)
			if !out.Token.IsZero() || len(r.Store.Sessions()) != before {
				t.Errorf("%d sessions more", len(r.Store.Sessions())-before)
			}
		})
	}
	t.Run("the event of an arrival", func(t *testing.T) {
		r := brokertest.New(t)
		r.IdP.Unasked = true
		r.Store.LoseEvents(true)
		a, err := r.Unasked(t, "", broker.Secret{})
		brokertest.WantCode(t, "an arrival", broker.CodeUnavailable, err)
		if a != nil {
			t.Error("somebody is asked whose arrival was not noted")
		}
	})
	t.Run("the event of an arrival alone", func(t *testing.T) {
		r := brokertest.New(t)
		r.IdP.Unasked = true
		s := service(t, r, func(c *signin.Config) { c.Journal = onceDeaf(t, r) })
		out, _, err := s.Finish(t.Context(), signin.Answer{Provider: "okta"})
		brokertest.WantCode(t, "an arrival", broker.CodeUnavailable, err)
		if out.Arrival != nil {
			t.Error("somebody is asked whose arrival was not noted")
		}
	})
	t.Run("what was agreed to", func(t *testing.T) {
		r, a := arrived(t)
		_, _, err := failing(t, r, "take", "arrival/").Agree(t.Context(), agreement(a))
		brokertest.WantCode(t, "an agreement", broker.CodeUnavailable, err)
	})
}

// TestTraceThatCannotBeKept ensures that who signed in without a trace is told
// that something failed.
func TestTraceThatCannotBeKept(t *testing.T) {
	r := brokertest.New(t)
	b := r.Begin(t)
	r.State = brokertest.Failing{Store: r.Store, Call: "put", Key: "trace/"}
	_, _, err := r.Node(t, nil).SignIn.Finish(t.Context(), signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding})
	brokertest.WantCode(t, "a sign-in", broker.CodeUnavailable, err)
}

// TestAttackNodeAhead ensures that a request and a question end by their own
// times, whatever the store still has.
func TestAttackNodeAhead(t *testing.T) {
	for _, tt := range []struct {
		name string
		ttl  time.Duration
		do   func(t *testing.T, r *brokertest.Rig, later *signin.Service) error
	}{
		{"a sign-in that was begun", broker.SignInTTL, func(t *testing.T, r *brokertest.Rig, later *signin.Service) error {
			b := r.Begin(t)
			_, _, err := later.Finish(t.Context(), signin.Answer{Provider: "okta", State: r.IdP.Last.State, Binding: b.Binding})
			return err
		}},
		{"a question whether to sign in", signin.ArrivalTTL, func(t *testing.T, r *brokertest.Rig, later *signin.Service) error {
			a, err := r.Unasked(t, "", broker.Secret{})
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = later.Agree(t.Context(), agreement(a))
			return err
		}},
	} {
		for after, want := range map[time.Duration]broker.Code{tt.ttl - 1: "", tt.ttl: broker.CodeUnauthenticated} {
			t.Run(tt.name+", "+after.String()+" later", func(t *testing.T) {
				r := brokertest.New(t)
				r.IdP.Unasked, r.IdP.Auth.ReplayExpires = true, r.Clock.Add(time.Hour)
				later := r.Node(t, nil, func(p *brokertest.Parts) { p.Now = func() time.Time { return r.Clock.Add(after) } }).SignIn
				brokertest.WantCode(t, "the answer", want, tt.do(t, r, later))
				if (len(r.Store.Sessions()) == 1) != (want == "") {
					t.Errorf("%d sessions", len(r.Store.Sessions()))
				}
			})
		}
	}
}

// TestAttackManyTries ensures that each way in asks the limiter, by address
// before anything is looked at and by account once that is known.
func TestAttackManyTries(t *testing.T) {
	begin := func(t *testing.T, r *brokertest.Rig) error {
		_, err := r.In.Begin(t.Context(), signin.Request{Provider: "okta"})
		return err
	}
	asked := func(t *testing.T, r *brokertest.Rig) error {
		_, err := r.Finish(t, r.Begin(t))
		return err
	}
	unasked := func(t *testing.T, r *brokertest.Rig) error {
		_, _, err := r.In.Finish(t.Context(), signin.Answer{Provider: "okta"})
		return err
	}
	agree := func(t *testing.T, r *brokertest.Rig) error {
		_, _, err := r.In.Agree(t.Context(), signin.Agreement{Provider: "okta"})
		return err
	}
	for _, tt := range []struct {
		name string
		kind limit.Kind
		rate limit.Rate
		do   func(*testing.T, *brokertest.Rig) error
	}{
		{"begin, by address", limit.SignIn, limit.Rate{Address: 1}, begin},
		{"answer, by address", limit.SignInFinish, limit.Rate{Address: 1}, asked},
		{"answer, by account", limit.SignInFinish, limit.Rate{Account: 1}, asked},
		{"unsolicited answer, by address", limit.SignInFinish, limit.Rate{Address: 1}, unasked},
		{"unsolicited answer, by account", limit.SignInFinish, limit.Rate{Account: 1}, unasked},
		{"agreement, by address", limit.SignInFinish, limit.Rate{Address: 1}, agree},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			tt.rate.Per = time.Minute
			r.Limit(t, map[limit.Kind]limit.Rate{tt.kind: tt.rate})
			r.IdP.Unasked = true
			if err := tt.do(t, r); broker.CodeOf(err) == broker.CodeRateLimited {
				t.Fatal(err)
			}
			r.IdP.Auth.ReplayID = "_2"
			brokertest.WantCode(t, "once more", broker.CodeRateLimited, tt.do(t, r))
		})
	}
}

// mapper makes an identity of its own.
type mapper func(broker.Identity) broker.Identity

func (m mapper) Identity(ctx context.Context, auth broker.Authentication) (broker.Identity, error) {
	id, err := (&brokertest.AWS{}).Identity(ctx, auth)
	return m(id), err
}

// TestAttackMappedToAnother ensures that no setting of the mapping makes a person
// of another provider, or nobody, of who signed in.
func TestAttackMappedToAnother(t *testing.T) {
	for _, tt := range []struct {
		name string
		sub  broker.Subject
		want broker.Code
	}{
		{"who they are", broker.Subject{Provider: "okta", ID: "mapped"}, ""},
		{"a person of another provider", broker.Subject{Provider: "other", ID: "00u1"}, broker.CodeDenied},
		{"nobody", broker.Subject{Provider: "okta"}, broker.CodeDenied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := brokertest.New(t)
			r.In = service(t, r, func(c *signin.Config) {
				c.Mapper = mapper(func(id broker.Identity) broker.Identity { id.Subject = tt.sub; return id })
			})
			_, err := r.Finish(t, r.Begin(t))
			brokertest.WantCode(t, "the sign-in", tt.want, err)
			if (len(r.Store.Sessions()) == 1) != (tt.want == "") {
				t.Errorf("%d sessions", len(r.Store.Sessions()))
			}
		})
	}
}
