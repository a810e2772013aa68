package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

func (p *program) names() *cobra.Command {
	cmd := &cobra.Command{Use: "names", Short: "Look after the names that people have in AWS", Args: exactly(0, "rolegate names list|release"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	list := &cobra.Command{
		Use: "list [USER]", Short: "List role session names and source identities", Args: atMostOne("rolegate names list [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			user := ""
			if len(args) > 0 {
				if user = args[0]; user == "" {
					return usageError{errors.New("USER is empty")}
				}
			}
			return p.withStore(cmd.Context(), func(_ *config.Config, store *sqlstore.Store, _ *journal.Journal) error {
				return p.listNames(cmd.Context(), store, user)
			})
		},
	}
	yes := false
	release := &cobra.Command{
		Use: "release NAME", Short: "Let a name be somebody else's", Args: exactly(1, "rolegate names release NAME"),
		Long: "release takes NAME from whoever has it and ends their sessions, so that the next person whose name\nit is gets it. What CloudTrail holds under the name stays the earlier person's. Names are never\ngiven to somebody else without it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError{errors.New("NAME is empty")}
			}
			return p.withStore(cmd.Context(), func(_ *config.Config, store *sqlstore.Store, j *journal.Journal) error {
				return p.releaseName(cmd.Context(), store, j, args[0], yes)
			})
		},
	}
	release.Flags().BoolVar(&yes, "yes", false, "do not ask; needed where there is no terminal")
	cmd.AddCommand(list, release)
	return cmd
}

// listedName is a name as names list prints it.
type listedName struct {
	Name     string          `json:"name"`
	Kind     broker.NameKind `json:"kind"`
	Subject  broker.Subject  `json:"subject"`
	Username string          `json:"username,omitempty"`
	Since    time.Time       `json:"since"`
	SignedIn time.Time       `json:"last_signed_in,omitzero"`
}

func (p *program) listNames(ctx context.Context, store *sqlstore.Store, user string) error {
	rows := []listedName{}
	err := store.Names(ctx, user, func(r broker.NameRow) error {
		rows = append(rows, listedName{r.Name, r.Kind, r.Subject, r.Username, r.ClaimedAt, r.SeenAt})
		return nil
	})
	if err != nil {
		return err
	}
	if user != "" && len(rows) == 0 {
		return broker.Errorf(broker.CodeNotFound, "nobody has the name %s in AWS", user)
	}
	if p.json {
		return p.printJSON(rows)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		seen := "no sign-in during the last 90 days"
		if !r.SignedIn.IsZero() {
			seen = "last signed in " + r.SignedIn.UTC().Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tsince %s\t%s\n", r.Name, r.Kind, r.Subject, r.Username, r.Since.UTC().Format(time.DateOnly), seen)
	}
	return w.Flush()
}

func (p *program) releaseName(ctx context.Context, store *sqlstore.Store, j *journal.Journal, name string, yes bool) error {
	ender, err := session.NewEnder(session.EnderConfig{Store: store, List: store, Revoker: store, Journal: j})
	if err != nil {
		return err
	}
	r := admin.NameReleaser{Names: store, Ender: ender, Journal: j}
	holders, err := r.Holders(ctx, name)
	if err != nil {
		return err
	}
	for _, h := range holders {
		fmt.Fprintf(p.stderr, "CloudTrail has what %s did under %s until now; the log does not change.\n", h.Subject, h.Name)
	}
	if err := p.confirm(yes, "this lets "+holders[0].Name+" be somebody else's"); err != nil {
		return err
	}
	out, err := r.Release(ctx, "rolegate names release", p.operator(), name)
	if p.json && len(out) > 0 {
		return errors.Join(err, p.printJSON(out))
	}
	for _, o := range out {
		fmt.Fprintf(p.stderr, "%s: released, and %d sessions of %s ended\n", o.Name, o.Sessions, o.Subject)
	}
	return err
}
