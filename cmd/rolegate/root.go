package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// program is what the commands share: the outside of the process.
type program struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	config         string // --config
	json           bool   // --json
}

// run is the whole program; it returns the exit code.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	stdout, stderr = &terminal{w: stdout}, &terminal{w: stderr}
	p := &program{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if code := interruption(ctx, err); code != 0 {
		fmt.Fprintln(stderr, "rolegate: interrupted")
		return code
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintln(stderr, problems) // each line begins with FILE:LINE, for editors
	} else if err != nil {
		fmt.Fprintln(stderr, "rolegate:", err)
		if fix := broker.Remedy(err); fix != "" {
			fmt.Fprintln(stderr, fix)
		}
	}
	return exitCode(err)
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "rolegate", Short: "Sign in to AWS through your own identity provider",
		Long:          "rolegate is a self-hosted federation broker for AWS.\n\n" + exitHelp,
		SilenceErrors: true, SilenceUsage: true, Version: versionText(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; rolegate --help lists them", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate(thisBuild().String() + "\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVarP(&p.config, "config", "c", "rolegate.yaml", "configuration file")
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print JSON")
	root.AddCommand(p.serve(), p.check(), p.explain(), p.diff(), p.keys(), p.mfa(), p.sessions(), p.names(), p.events(), p.demo(), p.versionCommand())
	root.AddCommand(p.login(), p.logout(), p.status(), p.roles(), p.credentials(), p.console(), p.profiles(), p.serveCredentials())
	return root
}

// exactly wants n arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("wanted: %s", what)}
		}
		return nil
	}
}

// client returns the command line's side of a server.
func (p *program) client() (*client.Client, error) {
	return client.New(client.Config{Env: p.env, Version: versionText()})
}

// warn tells of what did not stop the command.
func (p *program) warn(err error) { fmt.Fprintln(p.stderr, "rolegate: warning:", err) }

func (p *program) load() (*config.Config, error) { return config.Load(p.config, p.env) }

func (p *program) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(p.stderr, nil)) }

func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
