package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

// stored is what a script says of a person in the store.
type stored struct {
	Provider broker.ProviderID
	ID       string
	Username string
	Email    string
	Factors  int
	Sessions int
	Named    bool // by their e-mail address in AWS
	SignIns  []struct {
		Ago, MFA, ACR, AMR string
	}
}

// open opens the store for a script and closes it after do.
func (s *state) open(file string, do func(*sqlstore.Store) error) error {
	store, err := sqlstore.Open(s.ctx, sqlstore.Config{DSN: "sqlite:" + file})
	if err != nil {
		return err
	}
	return errors.Join(do(store), store.Close())
}

func (s *state) fill(ts *testscript.TestScript, args []string) error {
	var all []stored
	if err := json.Unmarshal([]byte(ts.ReadFile(args[1])), &all); err != nil {
		return err
	}
	return s.open(ts.MkAbs(args[0]), func(store *sqlstore.Store) error {
		ctx, now := s.ctx, time.Now()
		for _, p := range all {
			sub := broker.Subject{Provider: p.Provider, ID: p.ID}
			errs := []error{store.SaveIdentity(ctx, broker.IdentityRow{Subject: sub, Username: p.Username, Email: p.Email, SeenAt: now})}
			if p.Named {
				_, err := store.ClaimName(ctx, broker.NameRoleSession, sub, p.Email)
				errs = append(errs, err)
			}
			for n := range p.Factors {
				errs = append(errs, store.AddFactors(ctx, broker.FactorRow{
					ID: fmt.Sprint(sub, n), Subject: sub, Kind: broker.FactorCode, Name: "App", CreatedAt: now, Version: 1,
				}))
			}
			for n := range p.Sessions {
				errs = append(errs, store.SaveSession(ctx, broker.SessionRow{
					Key: broker.NewSecret(fmt.Sprint(sub, n)).Hash(), Subject: sub, CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour),
				}))
			}
			for _, in := range p.SignIns {
				ago, err := time.ParseDuration(in.Ago)
				errs = append(errs, err, store.Record(ctx, broker.Event{
					Time: now.Add(-ago), Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Actor: sub, Username: p.Username,
					Detail: map[string]string{"mfa": in.MFA, "acr": in.ACR, "amr": in.AMR},
				}))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *state) held(ts *testscript.TestScript, args []string) error {
	person, want := args[1], args[2]+" "+args[3]
	provider, id, _ := strings.Cut(person, "/")
	sub := broker.Subject{Provider: broker.ProviderID(provider), ID: id}
	return s.open(ts.MkAbs(args[0]), func(store *sqlstore.Store) error {
		factors, err := store.Factors(s.ctx, sub)
		sessions, sessionsErr := store.FindSessions(s.ctx, broker.SessionFilter{Provider: sub.Provider, SubjectID: id})
		if got := fmt.Sprint(len(factors), len(sessions)); got != want && err == nil {
			err = fmt.Errorf("%s has %s factors and sessions", person, got)
		}
		return errors.Join(err, sessionsErr)
	})
}

func (s *state) recorded(ts *testscript.TestScript, args []string) error {
	action, target, want := args[1], args[2], args[3]
	return s.open(ts.MkAbs(args[0]), func(store *sqlstore.Store) error {
		all, err := store.Events(s.ctx, sqlstore.EventFilter{Action: broker.Action(action)})
		n := 0
		for _, e := range all {
			if e.Target == target {
				n++
			}
		}
		if fmt.Sprint(n) != want && err == nil {
			err = fmt.Errorf("%d events: %+v", n, all)
		}
		return err
	})
}
