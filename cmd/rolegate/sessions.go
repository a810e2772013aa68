package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// whose says whose sessions a command is about.
type whose struct {
	user, provider string
	all            bool
}

func (p *program) sessions() *cobra.Command {
	cmd := &cobra.Command{Use: "sessions", Short: "List and end people's sessions", Args: exactly(0, "rolegate sessions list|revoke"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	var w whose
	list := &cobra.Command{
		Use: "list [USER]", Short: "List live sessions, the newest first", Args: atMostOne("rolegate sessions list [USER]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				w.user, w.all = args[0], false
			}
			return p.withStore(cmd.Context(), func(c *config.Config, store *sqlstore.Store, j *journal.Journal) error {
				return p.listSessions(cmd.Context(), c, store, j, w, len(args) > 0)
			})
		},
	}
	list.Flags().StringVar(&w.provider, "provider", "", "only those of this identity provider")
	yes := false
	revoke := &cobra.Command{
		Use: "revoke [USER]", Short: "End every session of a person, of a provider's people, or of everybody",
		Args: atMostOne("rolegate sessions revoke USER, --provider ID or --all"),
		Long: "revoke ends every session, in browsers and of programs, on every node: of USER (username, e-mail\naddress or subject), of everybody who signed in at --provider, or of --all. Whoever can still\nsign in can do so again: where a provider is compromised, take it out of the configuration first.\nCredentials that AWS has given already live until their own end.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				w.user = args[0]
			}
			if err := w.check(len(args) > 0); err != nil {
				return err
			}
			if w.all {
				if err := p.confirm(yes, "this ends the sessions of everybody"); err != nil {
					return err
				}
			}
			return p.withStore(cmd.Context(), func(c *config.Config, store *sqlstore.Store, j *journal.Journal) error {
				return p.revokeSessions(cmd.Context(), c, store, j, w)
			})
		},
	}
	revoke.Flags().StringVar(&w.provider, "provider", "", "everybody of this identity provider, or USER at it")
	revoke.Flags().BoolVar(&w.all, "all", false, "everybody")
	revoke.Flags().BoolVar(&yes, "yes", false, "do not ask; needed with --all where there is no terminal")
	cmd.AddCommand(list, revoke)
	return cmd
}

// check wants one of USER, --provider and --all; USER and --provider may go
// together.
func (w whose) check(named bool) error {
	switch {
	case named && w.user == "":
		return usageError{errors.New("USER is empty")}
	case w.all && (named || w.provider != ""):
		return usageError{errors.New("--all is everybody: leave USER and --provider out")}
	case !w.all && !named && w.provider == "":
		return usageError{errors.New("whose sessions? give USER, --provider ID or --all")}
	}
	return nil
}

func atMostOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError{fmt.Errorf("wanted: %s", what)}
		}
		return nil
	}
}

func (p *program) revokeSessions(ctx context.Context, c *config.Config, store *sqlstore.Store, j *journal.Journal, w whose) error {
	ender, err := session.NewEnder(session.EnderConfig{Store: store, List: store, Revoker: store, Journal: j})
	if err != nil {
		return err
	}
	entry := func(sub broker.Subject) journal.Entry {
		return journal.Entry{Action: broker.ActionRevoke, Username: "rolegate sessions revoke", Target: sub.String(), Detail: p.operator()}
	}
	var out session.Revoked
	if w.user != "" {
		sub, err := onePerson(ctx, store, w.user, w.provider)
		if err != nil {
			return err
		}
		out.People = 1
		out.Sessions, err = ender.Revoke(ctx, sub, entry(sub))
		return errors.Join(err, p.printRevoked(out, sub.String()))
	}
	out, err = ender.RevokeAll(ctx, broker.ProviderID(w.provider), entry)
	if err == nil && out.People == 0 && w.provider != "" && !c.HasProvider(w.provider) {
		return broker.Errorf(broker.CodeNotFound, "nobody has a session of an identity provider %q, and none is configured", w.provider)
	}
	return errors.Join(err, p.printRevoked(out, fmt.Sprint(out.People, " people")))
}

func (p *program) printRevoked(out session.Revoked, who string) error {
	if p.json {
		return p.printJSON(out)
	}
	fmt.Fprintf(p.stderr, "%s: %d sessions ended\n", who, out.Sessions)
	return nil
}

// listedSession is a session as sessions list prints it.
type listedSession struct {
	Subject  broker.Subject `json:"subject"`
	Username string         `json:"username"`
	Remote   string         `json:"remote"`
	Program  string         `json:"program,omitempty"` // none: a browser
	Began    time.Time      `json:"began"`
	LastUsed time.Time      `json:"last_used"`
	Ends     time.Time      `json:"ends"`
	// NoProvider is set where nothing opens with the session, as its provider is
	// not in the configuration.
	NoProvider bool `json:"no_provider,omitempty"`
}

// sessionsPage is how many sessions are read together.
const sessionsPage = 500

func (p *program) listSessions(
	ctx context.Context, c *config.Config, store *sqlstore.Store, j *journal.Journal, w whose, named bool,
) error {
	keys, err := openKeys(c, false)
	if err != nil {
		return err
	}
	sealer, err := keys.Sealer()
	if err != nil {
		return err
	}
	book, err := session.New(session.Config{
		EnderConfig: session.EnderConfig{Store: store, List: store, Revoker: store, Journal: j},
		Sealer:      sealer, Policies: map[broker.ProviderID]broker.MFAPolicy{}, Limits: c.SessionLimits(),
	})
	if err != nil {
		return err
	}
	out := []listedSession{}
	add := func(rows []session.Info) {
		for _, r := range rows {
			ends := r.EndsAt
			if r.IdleEndsAt.Before(ends) {
				ends = r.IdleEndsAt
			}
			out = append(out, listedSession{
				Subject: r.Subject, Username: r.Username, Remote: r.Remote, Program: r.Program, Began: r.CreatedAt, LastUsed: r.LastUsedAt,
				Ends: ends, NoProvider: !c.HasProvider(string(r.Subject.Provider)),
			})
		}
	}
	if named {
		people, err := peopleNamed(ctx, store, w.user, w.provider)
		if err != nil {
			return err
		}
		for _, sub := range people {
			rows, err := book.Of(ctx, sub)
			if err != nil {
				return err
			}
			add(rows)
		}
		return p.printSessions(out)
	}
	page := broker.SessionPage{Provider: broker.ProviderID(w.provider), Limit: sessionsPage}
	for {
		rows, err := store.ListSessions(ctx, page)
		if err == nil && len(rows) == 0 && page.Before != "" {
			err = stillThere(ctx, store, page.Before)
		}
		if err != nil {
			return err
		}
		add(book.Describe(rows))
		if len(rows) < sessionsPage {
			return p.printSessions(out)
		}
		page.Before = rows[len(rows)-1].Key
		if !p.json { // a list for people needs no more memory than a page
			if err := p.printSessions(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
}

// stillThere returns an error where the session that a page goes on after has
// ended: an empty page is not the end of the list then.
func stillThere(ctx context.Context, store broker.SessionStore, key string) error {
	_, err := store.Session(ctx, key)
	if broker.CodeOf(err) == broker.CodeNotFound {
		return broker.Errorf(broker.CodeConflict, "a session ended while the sessions were listed, so the list is not whole").Fix("Run the command again.")
	}
	return err
}

func (p *program) printSessions(rows []listedSession) error {
	if p.json {
		return p.printJSON(rows)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		what := r.Program
		if what == "" {
			what = "browser"
		}
		if r.NoProvider {
			what += " (opens nothing: the provider is not configured)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tuntil %s\t%s\n", r.Began.UTC().Format(time.RFC3339), r.Subject, r.Username, r.Remote,
			r.Ends.UTC().Format(time.RFC3339), what)
	}
	return w.Flush()
}
