package factor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/factor"
)

// parts are what a service of the rig's node is made from.
func parts(r *brokertest.FactorRig) factor.Config {
	b := r.Broker()
	return factor.Config{
		Store: r.Store, Kept: b.Kept, Book: b.Book, Journal: b.Journal, Limiter: b.Limiter,
		Passkeys: brokertest.Passkeys{}, Codes: brokertest.Codes{}, Now: r.Now,
		Policies: map[broker.ProviderID]broker.MFAPolicy{"okta": r.Policy},
	}
}

// change puts a service with other parts in the place of the rig's.
func change(t *testing.T, r *brokertest.FactorRig, how func(*factor.Config)) {
	t.Helper()
	c := parts(r)
	how(&c)
	f, err := factor.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.F = f
}

// trapped is a rig whose state is trapped.
func trapped(t *testing.T) (*brokertest.FactorRig, *brokertest.Trap) {
	t.Helper()
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	trap := r.Trap(t)
	r.F = r.Factor
	return r, trap
}

// passkey enrols a passkey.
func passkey(t *testing.T, r *brokertest.FactorRig) {
	t.Helper()
	id, _, err := r.F.EnrolPasskey(t.Context(), r.Sess)
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.F.FinishPasskey(t.Context(), r.Sess, id, "", []byte("good"))
	if err != nil {
		t.Fatal(err)
	}
	r.Sess = p.Session
}

// TestNeedsItsParts ensures that a service that lacks a part does not start.
func TestNeedsItsParts(t *testing.T) {
	r := brokertest.NewFactorRig(t, brokertest.Allowed)
	if _, err := factor.New(parts(r)); err != nil {
		t.Error("with all parts:", err)
	}
	for name, lose := range map[string]func(*factor.Config){
		"store":    func(c *factor.Config) { c.Store = nil },
		"state":    func(c *factor.Config) { c.Kept.State = nil },
		"sealer":   func(c *factor.Config) { c.Kept.Sealer = nil },
		"book":     func(c *factor.Config) { c.Book = nil },
		"journal":  func(c *factor.Config) { c.Journal = nil },
		"limiter":  func(c *factor.Config) { c.Limiter = nil },
		"passkeys": func(c *factor.Config) { c.Passkeys = nil },
		"codes":    func(c *factor.Config) { c.Codes = nil },
		"policies": func(c *factor.Config) { c.Policies = nil },
	} {
		c := parts(r)
		lose(&c)
		if _, err := factor.New(c); err == nil {
			t.Errorf("started without %s", name)
		}
	}
}

// broken is a store of factors in which some calls fail, and swaps are lost.
type broken struct {
	broker.FactorStore
	add, remove, lose bool
}

func (b broken) AddFactors(ctx context.Context, rows ...broker.FactorRow) error {
	if b.add {
		return brokertest.ErrDown
	}
	return b.FactorStore.AddFactors(ctx, rows...)
}

func (b broken) DeleteFactor(ctx context.Context, s broker.Subject, id string) error {
	if b.remove {
		return brokertest.ErrDown
	}
	return b.FactorStore.DeleteFactor(ctx, s, id)
}

func (b broken) SwapFactor(ctx context.Context, r broker.FactorRow) (bool, error) {
	if b.lose {
		return false, nil
	}
	return b.FactorStore.SwapFactor(ctx, r)
}

// deaf seals all but recovery codes.
type deaf struct{ broker.Sealer }

func (d deaf) Seal(plain []byte, additional string) ([]byte, error) {
	if strings.HasPrefix(additional, "factor/"+string(broker.FactorRecovery)+"/") {
		return nil, errors.New("planted")
	}
	return d.Sealer.Seal(plain, additional)
}

// TestNothingHalfDone ensures that what could not be kept, or taken away, is not
// reported as done, and proves nothing.
func TestNothingHalfDone(t *testing.T) {
	finish := func(t *testing.T, r *brokertest.FactorRig) error {
		n, err := r.F.EnrolCode(t.Context(), r.Sess)
		if err != nil {
			return err
		}
		p, err := r.F.FinishCode(t.Context(), r.Sess, n.ID, "", r.Code(t))
		if p.Session != nil {
			t.Error("the session was raised")
		}
		return err
	}
	use := func(t *testing.T, r *brokertest.FactorRig) error {
		r.EnrolApp(t)
		r.Clock = r.Clock.Add(time.Minute)
		return nil
	}
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, r *brokertest.FactorRig) error
		fail   func(t *testing.T, r *brokertest.FactorRig, trap *brokertest.Trap)
		do     func(t *testing.T, r *brokertest.FactorRig) error
	}{
		{"enrolment, the ceremony of an app", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("put", "mfa/") }, finish},
		{"enrolment, the ceremony of a passkey", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("put", "mfa/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, _, err := r.F.EnrolPasskey(t.Context(), r.Sess)
				return err
			}},
		{"enrolment, the ceremony's state", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("get", "mfa/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.F.ResumeCode(t.Context(), r.Sess, broker.NewSecret("x"))
				return err
			}},
		{"enrolment, the count of tries", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("put", "limit/") }, finish},
		{"enrolment, the tries that are forgiven", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("take", "limit/") }, finish},
		{"enrolment, the factor", nil, func(t *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) {
			change(t, r, func(c *factor.Config) { c.Store = broken{FactorStore: r.Store, add: true} })
		}, finish},
		{"enrolment, the recovery codes", nil, func(t *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) {
			change(t, r, func(c *factor.Config) { c.Kept.Sealer = deaf{brokertest.Sealer{}} })
		}, finish},
		{"enrolment, the session", nil, func(_ *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) {
			r.Store.Before("replace", func() { r.Store.Down(true) })
		}, finish},
		{"use, the count of tries", use, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("put", "limit/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
				return err
			}},
		{"use, the tries that are forgiven", use, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("take", "limit/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.F.UseCode(t.Context(), r.Sess, r.Code(t))
				return err
			}},
		{"use, the ceremony", func(t *testing.T, r *brokertest.FactorRig) error { passkey(t, r); return nil },
			func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("put", "mfa/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, _, err := r.F.BeginPasskey(t.Context(), r.Sess)
				return err
			}},
		{"use, the ceremony's state", func(t *testing.T, r *brokertest.FactorRig) error { passkey(t, r); return nil },
			func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("take", "mfa/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.F.UsePasskey(t.Context(), r.Sess, broker.NewSecret("x"), []byte("good"))
				return err
			}},
		{"removal, the factor", func(t *testing.T, r *brokertest.FactorRig) error { passkey(t, r); r.EnrolApp(t); return nil },
			func(t *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) {
				change(t, r, func(c *factor.Config) { c.Store = broken{FactorStore: r.Store, remove: true} })
			},
			func(t *testing.T, r *brokertest.FactorRig) error {
				return r.F.Remove(t.Context(), r.Sess, r.Store.AllFactors()[0].ID)
			}},
		{"removal, its event", func(t *testing.T, r *brokertest.FactorRig) error { passkey(t, r); return nil },
			func(_ *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) { r.Store.LoseEvents(true) },
			func(t *testing.T, r *brokertest.FactorRig) error {
				for _, row := range r.Store.AllFactors() {
					if err := r.F.Remove(t.Context(), r.Sess, row.ID); broker.CodeOf(err) != broker.CodeNotFound {
						return err
					}
				}
				return nil
			}},
		{"reset, its event", func(t *testing.T, r *brokertest.FactorRig) error { passkey(t, r); return nil },
			func(_ *testing.T, r *brokertest.FactorRig, _ *brokertest.Trap) { r.Store.LoseEvents(true) },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.Broker().Resetter.Reset(t.Context(), "admin", r.Sess.Identity.Subject)
				return err
			}},
		{"reset, the tries that are forgiven", nil, func(_ *testing.T, _ *brokertest.FactorRig, trap *brokertest.Trap) { trap.Fail("take", "limit/") },
			func(t *testing.T, r *brokertest.FactorRig) error {
				_, err := r.Broker().Resetter.Reset(t.Context(), "admin", r.Sess.Identity.Subject)
				return err
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, trap := trapped(t)
			if tt.before != nil {
				if err := tt.before(t, r); err != nil {
					t.Fatal(err)
				}
			}
			tt.fail(t, r, trap)
			factors := len(r.Store.AllFactors())
			err := tt.do(t, r)
			if err == nil || broker.CodeOf(err) == broker.CodeUnauthenticated || broker.CodeOf(err) == broker.CodeRateLimited {
				t.Errorf("the error is %v", err)
			}
			if n := len(r.Store.AllFactors()); n < factors {
				t.Errorf("%d factors of %d are left", n, factors)
			}
		})
	}
}
