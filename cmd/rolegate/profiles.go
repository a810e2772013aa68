package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

func (p *program) profiles() *cobra.Command {
	cmd := &cobra.Command{
		Use: "profiles", Short: "Manage profiles of AWS clients", Args: exactly(0, "rolegate profiles write"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cmd.AddCommand(p.profilesWrite())
	return cmd
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)

func (p *program) profilesWrite() *cobra.Command {
	var in client.Profiles
	sso, session, dry := false, "", false
	cmd := &cobra.Command{
		Use: "write", Short: "Write a profile for each of your roles", Args: exactly(0, "rolegate profiles write"),
		Long: "write puts a profile for each of your roles into the AWS config file (AWS_CONFIG_FILE, or ~/.aws/config),\n" +
			"between two marks of its own; nothing else in the file is touched. It shows what changes, keeps the file\n" +
			"as it was beside it, and replaces it whole. Run it again when your roles change.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !plainWord.MatchString(in.Region+session+in.Prefix) || in.Region == "" || session == "" {
				return usageError{fmt.Errorf("--region, --sso-session and --prefix are letters, digits, '_', '.' and '-'")}
			}
			if sso {
				in.SSO = session
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := c.Assignments(cmd.Context())
			if err != nil {
				return err
			}
			if in.Server, err = c.Server(); err != nil {
				return err
			}
			if in.Path, err = p.awsConfig(); err != nil {
				return err
			}
			if in.Program, err = credentialProgram(); err != nil {
				return err
			}
			change, err := in.Plan(all)
			if err != nil {
				return err
			}
			if !dry {
				if err := change.Write(); err != nil {
					return err
				}
			}
			return p.printChange(in.Path, change, dry)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Region, "region", "us-east-1", "region of the profiles")
	f.StringVar(&in.Prefix, "prefix", "", "what the names of the profiles begin with")
	f.BoolVar(&sso, "sso", false, "write sso_session profiles instead of credential_process")
	f.StringVar(&session, "sso-session", "rolegate", "name of the sso-session, with --sso")
	f.BoolVar(&dry, "dry-run", false, "show what would change and write nothing")
	return cmd
}

func (p *program) printChange(path string, c client.Change, dry bool) error {
	if p.json {
		return p.printJSON(map[string]any{"file": path, "profiles": append([]string{}, c.Names...), "diff": append([]string{}, c.Diff...), "written": !dry && len(c.Diff) > 0})
	}
	if len(c.Diff) == 0 {
		fmt.Fprintf(p.stderr, "%s: nothing to change, %d profiles.\n", path, len(c.Names))
		return nil
	}
	fmt.Fprintln(p.stdout, strings.Join(c.Diff, "\n"))
	if dry {
		fmt.Fprintf(p.stderr, "%s would change as shown.\n", path)
		return nil
	}
	fmt.Fprintf(p.stderr, "%s: %d profiles.\n", path, len(c.Names))
	if c.Backup != "" {
		fmt.Fprintf(p.stderr, "As it was: %s\n", c.Backup)
	}
	return nil
}

func (p *program) awsConfig() (string, error) {
	if f := p.env("AWS_CONFIG_FILE"); f != "" {
		return f, nil
	}
	home, err := p.home()
	return filepath.Join(home, ".aws", "config"), err
}

// credentialProgram is what credential_process runs: the small program beside
// this one, or this one.
func credentialProgram() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("where is this program: %w", err)
	}
	small := filepath.Join(filepath.Dir(self), "rolegate-credentials")
	if runtime.GOOS == "windows" {
		small += ".exe"
	}
	if info, err := os.Stat(small); err == nil && info.Mode().IsRegular() {
		return []string{small}, nil
	}
	return []string{self, "credentials"}, nil
}
