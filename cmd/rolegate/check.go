package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

func (p *program) check() *cobra.Command {
	live := false
	cmd := &cobra.Command{
		Use: "check", Short: "Check the configuration", Args: exactly(0, "rolegate check --config FILE [--live]"),
		Long: "check reads the configuration and lists every problem that serve would refuse, and warnings of what\nhas no effect, with --json as a list on standard output. With --live it also fetches the metadata and\ndiscovery documents of the identity providers and warns of certificates that end within 60 days.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.load()
			if p.json && !live {
				return errors.Join(p.printProblems(c, err), err)
			}
			if err != nil {
				return err
			}
			for _, w := range c.Warnings() {
				fmt.Fprintln(p.stderr, "warning:", w.Error())
			}
			for _, r := range c.Relaxations() {
				fmt.Fprintln(p.stderr, "insecure:", r)
			}
			fmt.Fprintf(p.stderr, "%s: %d identity providers, %d accounts, %d roles, %d rules: no problem found\n",
				c.File(), len(c.IdentityProviders), len(c.Accounts), len(c.Roles), len(c.Rules))
			if !live {
				return nil
			}
			return p.checkLive(cmd.Context(), c)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "also fetch metadata and discovery documents")
	return cmd
}

// problem is a [config.Problem] in --json.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Warning bool   `json:"warning,omitempty"` // it stops nothing
}

// printProblems prints the list of problems, or that of warnings, which is empty
// if there is none. A file that cannot be read has no list.
func (p *program) printProblems(c *config.Config, err error) error {
	found, ok := errors.AsType[config.Problems](err)
	if err != nil && !ok {
		return nil
	}
	out := []problem{}
	for _, x := range found {
		out = append(out, problem{File: x.File, Line: x.Line, Path: x.Path, Message: x.Message})
	}
	if err == nil {
		for _, x := range c.Warnings() {
			out = append(out, problem{File: x.File, Line: x.Line, Path: x.Path, Message: x.Message, Warning: true})
		}
	}
	return p.printJSON(out)
}

// checkLive fetches with throw-away keys and store: a check leaves nothing.
func (p *program) checkLive(ctx context.Context, c *config.Config) error {
	ends := ownCertificates(c)
	dir, err := os.MkdirTemp("", "rolegate-check")
	if err != nil {
		return fmt.Errorf("check: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c.Keys.Dir, c.Store = dir+"/certs", "sqlite:"+dir+"/check.db"
	s, err := server.New(ctx, c, server.Options{Logger: slog.New(slog.DiscardHandler), Version: versionText()})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	failed := 0
	results := s.Refresh(ctx)
	for _, id := range slices.Sorted(maps.Keys(results)) {
		if err := results[id]; err != nil {
			failed++
			fmt.Fprintf(p.stderr, "%s: %v\n", id, err)
			continue
		}
		fmt.Fprintf(p.stderr, "%s: reached%s\n", id, certificateNote(s, id))
	}
	p.printEnds(append(ends, server.MetadataCertificates(s.SAML)...))
	if failed > 0 {
		return broker.Errorf(broker.CodeUnavailable, "%d of %d identity providers failed", failed, len(results))
	}
	return nil
}

// ownCertificates lists those of the keys and files of the configuration. Keys
// that are not there yet have none that could end.
func ownCertificates(c *config.Config) []admin.CertificateEnd {
	ends := server.FileCertificates(c)
	if keys, err := issuer.OpenKeys(c.Path(c.Keys.Dir), issuer.OpenOptions{}); err == nil {
		ends = append(ends, server.KeyCertificates(keys)...)
	}
	return ends
}

// printEnds warns of every certificate that ends within 60 days.
func (p *program) printEnds(all []admin.CertificateEnd) {
	for _, a := range admin.DueCertificates(time.Now(), all) {
		what := fmt.Sprintf("ends in %d days, on", int(a.Left/(24*time.Hour)))
		if a.Left < 0 {
			what = "has ended, on"
		}
		fmt.Fprintf(p.stderr, "warning: the certificate %s %s %s (SHA-256 %.16s)\n", a.Name(), what, a.NotAfter.UTC().Format(time.DateOnly), a.Fingerprint)
	}
}

func certificateNote(s *server.Server, id broker.ProviderID) string {
	sp, ok := s.SAML[id]
	if !ok {
		return ""
	}
	note := ""
	for _, c := range sp.Status().Certificates {
		note += fmt.Sprintf(", certificate until %s", c.NotAfter.UTC().Format(time.DateOnly))
	}
	for _, what := range sp.Status().LeftOut {
		note += "; left out of the metadata: " + what
	}
	return note
}
