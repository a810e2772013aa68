package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/factor"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// openStore opens the store of a command, which must be there already.
func openStore(ctx context.Context, c *config.Config) (*sqlstore.Store, error) {
	if path := c.StoreFile(); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, broker.Errorf(broker.CodeNotFound, "there is no store at %s yet: nobody has signed in", path)
		}
	}
	sc, err := c.StoreConfig()
	if err != nil {
		return nil, usageError{err}
	}
	return sqlstore.Open(ctx, sc)
}

func (p *program) mfa() *cobra.Command {
	cmd := &cobra.Command{Use: "mfa", Short: "Look after people's second factors", Args: exactly(0, "rolegate mfa reset USER"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	provider := ""
	reset := &cobra.Command{
		Use: "reset USER", Short: "Take a person's second factors away", Args: exactly(1, "rolegate mfa reset USER"),
		Long: "reset takes away every second factor that USER (username, e-mail address or subject) set up\nin rolegate, and ends their sessions. Make sure first that the person who asks is that person:\nafterwards a sign-in at the identity provider is enough to set up a new one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			return p.resetMFA(cmd.Context(), c, args[0], provider)
		},
	}
	reset.Flags().StringVar(&provider, "provider", "", "identity provider, where several know the name")
	cmd.AddCommand(reset)
	return cmd
}

func (p *program) resetMFA(ctx context.Context, c *config.Config, user, provider string) (err error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	sub, err := onePerson(ctx, store, user, provider)
	if err != nil {
		return err
	}
	resetter, err := newResetter(store)
	if err != nil {
		return err
	}
	n, err := resetter.Reset(ctx, "rolegate mfa reset", sub)
	if err != nil {
		return err
	}
	if p.json {
		return p.printJSON(map[string]any{"subject": sub, "removed": n})
	}
	fmt.Fprintf(p.stderr, "%s: %d factors removed, sessions ended\n", broker.Visible(sub.String()), n)
	return nil
}

// newResetter joins what a reset needs of the store of servers that may be running.
func newResetter(store *sqlstore.Store) (factor.Resetter, error) {
	j, err := journal.New(journal.Config{Events: store, State: store})
	if err != nil {
		return factor.Resetter{}, err
	}
	limiter, err := limit.New(limit.Config{State: store, Journal: j})
	if err != nil {
		return factor.Resetter{}, err
	}
	ender, err := session.NewEnder(session.EnderConfig{Store: store, List: store, Revoker: store, Journal: j})
	return factor.Resetter{Store: store, Ender: ender, Journal: j, Limiter: limiter}, err
}
