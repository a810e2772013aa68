package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
)

func (p *program) demo() *cobra.Command {
	o := demo.Options{Version: versionText()}
	check := false
	cmd := &cobra.Command{
		Use: "demo", Short: "Run rolegate with an offline AWS and two identity providers", Args: exactly(0, "rolegate demo"),
		Long: "demo starts rolegate, a strict double of AWS and two identity providers with three people,\n" +
			"all on this machine. With --check it drives every sign-in, every way to AWS and every attempt\n" +
			"that must be refused, on free ports, and exits with 0 only if all went as they must.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelWarn
			if check {
				o.Listen, level = "localhost:0", slog.LevelError+4
			}
			o.Logger = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
			d, err := demo.Start(cmd.Context(), o)
			if err != nil {
				return usageError{err}
			}
			if check {
				err := d.Check(cmd.Context(), p.stdout)
				if closeErr := d.Close(); err == nil {
					err = closeErr
				}
				return err
			}
			if err := p.welcome(d); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return d.Close()
		},
	}
	cmd.Flags().StringVar(&o.Listen, "listen", "localhost:8080", "address of the portal, on localhost")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "folder that keeps the state (default: a temporary one)")
	cmd.Flags().BoolVar(&check, "check", false, "drive everything without a browser and exit")
	cmd.Flags().StringSliceVar(&o.SwitchOff, "break", nil, "switch named checks of the AWS double off, to see --check fail")
	return cmd
}

// demoPerson is a person of the demo at one identity provider, in --json.
type demoPerson struct {
	IdP        string `json:"idp"`
	Username   string `json:"username"`
	Password   string `json:"password"`
	TOTPSecret string `json:"totp_secret,omitempty"`
}

func (p *program) welcome(d *demo.Demo) error {
	if p.json {
		var people []demoPerson
		for _, provider := range []string{"saml", "oidc"} {
			for _, x := range d.People {
				people = append(people, demoPerson{provider, x.Username, x.Password, x.TOTPSecret})
			}
		}
		return json.NewEncoder(p.stdout).Encode(map[string]any{"portal": d.Portal, "sts": d.STS, "signin": d.SignIn, "people": people})
	}
	fmt.Fprintf(p.stdout, "Portal  %s\n\n", d.Portal)
	w := tabwriter.NewWriter(p.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "Person\tPassword\tSecond factor\tGroups")
	for _, x := range d.People {
		second := "none"
		if x.TOTPSecret != "" {
			second = "TOTP " + x.TOTPSecret
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%v\n", x.Username, x.Password, second, x.Groups)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, `
The sign-in pages show the people and the current codes as well.
In a terminal, as bob:

  rolegate login %s
  rolegate profiles write
  export AWS_ENDPOINT_URL_STS=%s
  aws sts get-caller-identity --profile development-ReadOnly

Configuration and AWS trail are in %s. Ctrl-C ends it.
`, d.Portal, d.STS, d.Dir)
	return nil
}
