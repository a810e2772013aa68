package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/mapping"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

func (p *program) explain() *cobra.Command {
	identities := ""
	cmd := &cobra.Command{
		Use: "explain USER", Short: "Say why a person has the roles they have", Args: exactly(1, "rolegate explain USER"),
		Long: "explain evaluates the rules for the last sign-in of USER (username, e-mail address or\nsubject) and says, rule by rule, what matched and which group was missing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			people, err := people(cmd.Context(), c, identities, args[0])
			if err != nil {
				return err
			}
			if len(people) == 0 {
				return broker.Errorf(broker.CodeNotFound, "%s has not signed in during the last 90 days", args[0])
			}
			for _, id := range people {
				ex, err := c.Engine().Explain(cmd.Context(), id)
				if err != nil {
					return err
				}
				if err := p.printExplanation(id, ex); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&identities, "identities", "", "JSON file of identities instead of the recorded ones")
	return cmd
}

func (p *program) printExplanation(id broker.Identity, ex broker.Explanation) error {
	if p.json {
		return p.printJSON(map[string]any{"identity": id, "explanation": ex})
	}
	groups := make([]string, len(id.Groups))
	for i, g := range id.Groups {
		groups[i] = broker.Visible(g)
	}
	fmt.Fprintf(p.stdout, "%s (%s), groups: %s\n", broker.Visible(id.Username), broker.Visible(id.Subject.String()), strings.Join(groups, ", "))
	if id.UnverifiedEmail != "" {
		fmt.Fprintf(p.stdout, "  e-mail address %s is unverified: it names nobody and decides no rule\n", broker.Visible(id.UnverifiedEmail))
	}
	for _, name := range slices.Sorted(maps.Keys(id.Unreadable)) {
		if strings.HasSuffix(name, ".") {
			continue // of its members
		}
		fmt.Fprintf(p.stdout, "  claim %q was left out: it is %s\n", name, id.Unreadable[name])
	}
	for _, r := range ex.Rules {
		mark := "no "
		if r.Matched {
			mark = "yes"
		}
		fmt.Fprintf(p.stdout, "  %s  %s: %s\n", mark, r.Rule, broker.Visible(r.Reason))
		if !r.Matched && len(r.Missing) > 0 {
			fmt.Fprintf(p.stdout, "       missing group: %s\n", strings.Join(r.Missing, " or "))
		}
	}
	if len(ex.Assignments) == 0 {
		fmt.Fprintln(p.stdout, "  => no role")
		return nil
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, a := range ex.Assignments {
		fmt.Fprintf(w, "  => %s\t%s\t%s\tby %s\n", a.Account.Name, a.Role, a.Via, strings.Join(a.Rules, ", "))
	}
	return w.Flush()
}

// people returns recorded identities, or those of a file.
func people(ctx context.Context, c *config.Config, file, user string) ([]broker.Identity, error) {
	if file != "" {
		return fromFile(file, user)
	}
	if path := c.StoreFile(); path != "" {
		if _, err := os.Stat(path); err != nil {
			return nil, broker.Errorf(broker.CodeNotFound, "there is no store at %s yet: nobody has signed in", path)
		}
	}
	keys, err := openKeys(c, false)
	if err != nil {
		return nil, err
	}
	sealer, err := keys.Sealer()
	if err != nil {
		return nil, err
	}
	sc, err := c.StoreConfig()
	if err != nil {
		return nil, usageError{err}
	}
	store, err := sqlstore.Open(ctx, sc)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	return session.Identities{Store: store, Sealer: sealer}.Find(ctx, user)
}

func fromFile(file, user string) ([]broker.Identity, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{err}
	}
	var all, out []broker.Identity
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, usageError{fmt.Errorf("%s: a JSON list of identities is needed: %w", file, err)}
	}
	for _, id := range all {
		if user == "" || strings.EqualFold(user, id.Username) || strings.EqualFold(user, id.Email) || user == id.Subject.ID {
			out = append(out, id)
		}
	}
	return out, nil
}

func (p *program) diff() *cobra.Command {
	identities := ""
	cmd := &cobra.Command{
		Use: "diff OLD NEW", Short: "Say who gains and who loses by a configuration change", Args: exactly(2, "rolegate diff OLD NEW"),
		Long: "diff evaluates two configuration files for everybody who signed in during the last 90 days\n(as recorded in OLD's store) and lists who gains and who loses what.",
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := config.Load(args[0], p.env)
			if err != nil {
				return err
			}
			after, err := config.Load(args[1], p.env)
			if err != nil {
				return err
			}
			all, err := people(cmd.Context(), before, identities, "")
			if err != nil {
				return err
			}
			changes, err := mapping.Diff(cmd.Context(), before.Engine(), after.Engine(), all)
			if err != nil {
				return err
			}
			return p.printDiff(changes, len(all))
		},
	}
	cmd.Flags().StringVar(&identities, "identities", "", "JSON file of identities instead of the recorded ones")
	return cmd
}

func (p *program) printDiff(changes []mapping.Change, people int) error {
	if p.json {
		if changes == nil {
			changes = []mapping.Change{}
		}
		return p.printJSON(changes)
	}
	fmt.Fprintf(p.stderr, "%d people evaluated, %d changes\n", people, len(changes))
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, c := range changes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.Kind, broker.Visible(c.Username), c.Assignment.Account.Name, c.Assignment.Role, broker.Visible(strings.Join(c.What, "; ")))
	}
	return w.Flush()
}
