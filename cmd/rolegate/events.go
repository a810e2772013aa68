package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

func (p *program) events() *cobra.Command {
	cmd := &cobra.Command{Use: "events", Short: "Read, export and prune the recorded events", Args: exactly(0, "rolegate events export|mfa|prune"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	since := 30 * 24 * time.Hour
	report := &cobra.Command{
		Use: "mfa", Short: "List the sign-ins that lacked proof of a second factor", Args: exactly(0, "rolegate events mfa [--since 720h]"),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if since <= 0 {
				return usageError{fmt.Errorf("--since %s: it says how far back, like 24h", since)}
			}
			c, err := p.load()
			if err != nil {
				return err
			}
			store, err := openStore(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, store.Close()) }()
			all, err := store.Events(cmd.Context(), sqlstore.EventFilter{
				Since: time.Now().Add(-since), Action: broker.ActionSignIn, Outcome: broker.OutcomeOK,
			})
			if err != nil {
				return err
			}
			return p.printUnproven(broker.WithoutProof(all))
		},
	}
	report.Flags().DurationVar(&since, "since", since, "how far back")
	cmd.AddCommand(report, p.exportEvents(), p.pruneEvents())
	return cmd
}

func (p *program) printUnproven(events []broker.Event) error {
	if p.json {
		return p.printJSON(append([]broker.Event{}, events...))
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\tacr %q\tamr %q\n", e.Time.UTC().Format(time.RFC3339), broker.Visible(e.Actor.String()), broker.Visible(e.Username), e.Detail["acr"], e.Detail["amr"])
	}
	return w.Flush()
}

// moment reads a day, which begins at 00:00 UTC, a time, or how long ago. Zero
// for "".
func moment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	var ago config.Duration
	if err := ago.UnmarshalText([]byte(s)); err == nil && ago > 0 {
		return now.Add(-time.Duration(ago)), nil
	}
	return time.Time{}, usageError{fmt.Errorf("%s %q: write a day or a time in UTC, like 2026-11-24 or 2026-11-24T09:00:00Z, or how long ago, like 24h or 30d", flag, s)}
}

func (p *program) exportEvents() *cobra.Command {
	var since, before, action string
	cmd := &cobra.Command{
		Use: "export", Short: "Print the recorded events as JSON, one a line", Args: exactly(0, "rolegate events export"),
		Long: "export prints the recorded events as JSON, one a line, the latest first, however many there are.\nThat they were exported is an event itself.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			q := broker.EventQuery{Action: broker.Action(action), Until: now}
			if q.Since, err = moment("--since", since, now); err != nil {
				return err
			}
			if before != "" {
				if q.Until, err = moment("--before", before, now); err != nil {
					return err
				}
			}
			return p.withStore(cmd.Context(), func(_ *config.Config, store *sqlstore.Store, j *journal.Journal) error {
				return p.writeEvents(cmd.Context(), store, j, q)
			})
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "from then on: a day, a time, or how long ago")
	cmd.Flags().StringVar(&before, "before", "", "until then")
	cmd.Flags().StringVar(&action, "action", "", "only events of this action")
	return cmd
}

// writeEvents prints page after page, and holds no more than one.
func (p *program) writeEvents(ctx context.Context, store *sqlstore.Store, j *journal.Journal, q broker.EventQuery) error {
	e := journal.Entry{Action: broker.ActionAdminExport, Username: "rolegate events export", Detail: p.operator()}
	if err := j.Record(ctx, e); err != nil {
		return err
	}
	out := json.NewEncoder(p.stdout)
	for {
		rows, err := store.QueryEvents(ctx, q)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		for _, r := range rows {
			if err := out.Encode(r); err != nil {
				return err
			}
		}
		q.Before = rows[len(rows)-1].ID
	}
}

func (p *program) pruneEvents() *cobra.Command {
	before, yes := "", false
	cmd := &cobra.Command{
		Use: "prune --before DATE", Short: "Delete the events before a day", Args: exactly(0, "rolegate events prune --before DATE"),
		Long: "prune deletes the recorded events before a day (00:00 UTC), a time, or so long ago. That is an event\nitself. Export them first if you may need them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			t, err := moment("--before", before, now)
			switch {
			case err != nil:
				return err
			case t.IsZero():
				return usageError{errors.New("wanted: rolegate events prune --before DATE")}
			case t.After(now):
				return usageError{fmt.Errorf("--before %s is in the future", before)}
			}
			if err := p.confirm(yes, "this deletes the events before "+t.UTC().Format(time.RFC3339)); err != nil {
				return err
			}
			return p.withStore(cmd.Context(), func(_ *config.Config, store *sqlstore.Store, j *journal.Journal) error {
				r := admin.Retention{Events: store, State: store, Journal: j}
				n, err := r.Prune(cmd.Context(), "rolegate events prune", p.operator(), t)
				if p.json {
					return errors.Join(err, p.printJSON(map[string]any{"deleted": n, "before": t.UTC()}))
				}
				fmt.Fprintf(p.stderr, "%d events deleted\n", n)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "a day, a time, or how long ago")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; needed where there is no terminal")
	return cmd
}
