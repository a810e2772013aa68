package server

import (
	"context"
	"errors"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/federation"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/mapping"
	"github.com/rolegate/rolegate/broker/web"
	"github.com/rolegate/rolegate/broker/web/admin"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// health is what administrators see besides identity providers.
func (s *Server) health(c *config.Config, keys *issuer.Keys, aws *federation.Federation, o Options) web.Health {
	h := web.Health{Version: o.Version, Store: "SQLite", Ping: s.Store.Ping, Relaxations: c.Relaxations(), Keys: func() []admin.Key { return ourKeys(keys) }, Refused: s.refusals.last}
	if c.SharedStore() {
		h.Store = "PostgreSQL"
	}
	for _, p := range c.Partitions() {
		sts, signIn := aws.Endpoints(p)
		for _, u := range sts {
			h.AWS = append(h.AWS, admin.Endpoint{Name: "STS, " + string(p), URL: u})
		}
		for _, u := range signIn {
			h.AWS = append(h.AWS, admin.Endpoint{Name: "Sign-in, " + string(p), URL: u})
		}
	}
	return h
}

func ourKeys(keys *issuer.Keys) []admin.Key {
	var out []admin.Key
	for _, p := range []issuer.Purpose{issuer.AWSSAML, issuer.AWSOIDC, issuer.SPSigning, issuer.SPEncryption, issuer.Data} {
		for _, k := range keys.Held(p) {
			x := admin.Key{Purpose: string(p), ID: k.ID, Active: k.ID == keys.Active(p).ID}
			if k.Certificate != nil {
				x.NotAfter = k.Certificate.NotAfter
			}
			out = append(out, x)
		}
	}
	return out
}

// maxProblems bounds what one bad candidate can print.
const maxProblems = 200

// simulationTime is how long an administrator waits for a page.
const simulationTime = 30 * time.Second

// simulate evaluates a candidate against the configuration in use, as
// `rolegate diff` does, one at a time: a candidate may be large.
func simulate(c *config.Config) web.Simulate { return simulateOneByOne(make(chan struct{}, 1), c) }

func simulateOneByOne(one chan struct{}, c *config.Config) web.Simulate {
	return func(ctx context.Context, candidate []byte, people []broker.Identity) (admin.Simulation, error) {
		ctx, cancel := context.WithTimeout(ctx, simulationTime)
		defer cancel()
		select {
		case one <- struct{}{}:
			defer func() { <-one }()
		case <-ctx.Done():
			return admin.Simulation{}, tooLong(ctx.Err())
		}
		out, err := simulateOne(ctx, c, candidate, people)
		if ctx.Err() != nil {
			return admin.Simulation{}, tooLong(err)
		}
		return out, err
	}
}

func tooLong(err error) error {
	return broker.Errorf(broker.CodeUnavailable, "The simulation took longer than %d seconds.", int(simulationTime.Seconds())).
		Fix("Try again, or run rolegate diff on the server, which has no limit.").Because(err)
}

func simulateOne(ctx context.Context, c *config.Config, candidate []byte, people []broker.Identity) (admin.Simulation, error) {
	next, err := config.ParseDetached(ctx, "rolegate.yaml", candidate)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		var out admin.Simulation
		for _, p := range problems[:min(len(problems), maxProblems)] {
			out.Problems = append(out.Problems, p.Error())
		}
		return out, nil
	}
	if err != nil {
		return admin.Simulation{}, err
	}
	changes, err := mapping.Diff(ctx, c.Engine(), next.Engine(), people)
	if err != nil {
		return admin.Simulation{}, err
	}
	out := admin.Simulation{People: len(people)}
	for _, x := range changes {
		out.Changes = append(out.Changes, admin.Change{
			Kind: string(x.Kind), Username: x.Username, Account: x.Assignment.Account.Name, Role: x.Assignment.Role, What: x.What,
		})
	}
	return out, nil
}
