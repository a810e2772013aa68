package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	root, reasons, only, also string
	patterns                  []string
	jobs                      int
	spare                     time.Duration
	list, plumbing, todo      bool
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("mutate", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the module's `folder`")
	f.StringVar(&o.reasons, "reasons", "", "the `file` with the accepted survivors")
	f.StringVar(&o.only, "only", "", "run only mutants in functions whose name contains `text`; reasons are not held against survivors then")
	f.StringVar(&o.also, "also", "", "packages, by comma, whose tests are asked too where the package's own notice nothing")
	f.IntVar(&o.jobs, "j", 2, "how many mutants run at a time")
	f.DurationVar(&o.spare, "spare", 20*time.Second, "how long a mutant may run beyond ten times what its tests need")
	f.BoolVar(&o.list, "list", false, "list the mutants and stop")
	f.BoolVar(&o.plumbing, "plumbing", false, "list what counts as plumbing and stop")
	f.BoolVar(&o.todo, "todo", false, "end with entries for the reasons file, to be filled in")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.patterns = f.Args()
	if len(o.patterns) == 0 {
		return o, errors.New("which packages? For example: run ./broker/saml ./broker/oidc")
	}
	var err error
	o.root, err = filepath.Abs(o.root)
	return o, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	known, err := readReasons(o.reasons)
	if err != nil {
		return err
	}
	pkgs, err := load(ctx, o.root, o.patterns)
	if err != nil {
		return err
	}
	found := find(pkgs, o.root)
	if o.list || o.plumbing {
		show(out, found, o.plumbing)
		return nil
	}
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	r := &runner{options: o, scratch: scratch, out: out}
	if r.overlay, err = overlay(pkgs, found, scratch); err != nil {
		return err
	}
	if err := r.all(ctx, found); err != nil {
		return err
	}
	return report(out, o, found, known)
}

func show(out io.Writer, found *findings, plumbing bool) {
	if plumbing {
		for _, p := range found.plumbing {
			fmt.Fprintln(out, p)
		}
		return
	}
	for _, m := range found.mutants {
		fmt.Fprintln(out, m)
	}
}

// report prints the numbers and what is wrong, and fails if anything is.
func report(out io.Writer, o options, found *findings, known reasons) error {
	type count struct{ all, killed, hung, accepted, open int }
	counts, total := map[string]*count{}, &count{}
	var order []string
	for _, p := range found.packages {
		counts[p] = &count{}
		order = append(order, p)
	}
	var open []*mutant
	for _, m := range found.mutants {
		if m.fate == notRun {
			continue
		}
		for _, c := range []*count{counts[m.Package], total} {
			c.all++
			switch {
			case m.fate == hung:
				c.hung++
				c.killed++
			case m.fate == killed:
				c.killed++
			case known.accepts(m.key):
				c.accepted++
			default:
				c.open++
			}
		}
		if m.fate.lives() && !known.accepts(m.key) {
			open = append(open, m)
		}
	}
	for _, m := range open {
		fmt.Fprintf(out, "%s  [%s]\n", m, m.fate)
	}
	if o.todo {
		if err := writeTodo(out, open); err != nil {
			return err
		}
	}
	var stale []string
	if o.only == "" {
		stale = known.stale(found)
	}
	for _, s := range stale {
		fmt.Fprintln(out, "stale reason:", s)
	}
	fmt.Fprintf(out, "\n%-28s %8s %8s %8s %9s %8s\n", "package", "mutants", "noticed", "(hung)", "accepted", "open")
	counts["all"] = total
	for _, p := range append(order, "all") {
		c := counts[p]
		fmt.Fprintf(out, "%-28s %8d %8d %8d %9d %8d\n", p, c.all, c.killed, c.hung, c.accepted, c.open)
	}
	fmt.Fprintf(out, "%d places are plumbing and were left alone\n", len(found.plumbing))
	var wrong []string
	if len(open) > 0 {
		wrong = append(wrong, fmt.Sprintf("survivors without a reason: %d", len(open)))
	}
	if len(stale) > 0 {
		wrong = append(wrong, fmt.Sprintf("reasons without a survivor: %d", len(stale)))
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, ", "))
	}
	return nil
}
