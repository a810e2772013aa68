package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

func (p *program) login() *cobra.Command {
	var in client.Login
	device, paste, noBrowser := false, false, false
	cmd := &cobra.Command{
		Use: "login [SERVER]", Short: "Sign in to a rolegate server", Args: atMost(1, "rolegate login [SERVER]"),
		Long: "login signs in with the browser of this computer and keeps the sign-in for the other commands and for\n" +
			"AWS clients. Without a browser here, --device shows a code to type in a browser anywhere, and --paste\n" +
			"asks for a code that such a browser shows. SERVER is needed once.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if device && paste {
				return usageError{fmt.Errorf("--device or --paste, not both")}
			}
			if in.MaxAge < 0 || in.MaxAge%time.Second != 0 {
				return usageError{fmt.Errorf("--max-age is a whole number of seconds, like 15m")}
			}
			if len(args) == 1 {
				in.Server = args[0]
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			switch {
			case device:
				in.Way, noBrowser = client.DeviceCode, true
			case paste:
				in.Way, noBrowser = client.PasteBack, true
			}
			if in.Host, err = os.Hostname(); err != nil {
				in.Host = ""
			}
			if in.SSO.Home, err = p.home(); err != nil {
				return err
			}
			in.Show = func(address, userCode string) { p.show(cmd, address, userCode, noBrowser) }
			in.Paste = func() (string, error) { return p.readCode(cmd.Context()) }
			me, s, err := c.Login(cmd.Context(), in)
			if s.Username != "" {
				p.signedIn(me.Username, string(me.IdP), s)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&device, "device", false, "sign in with a browser on another device")
	f.BoolVar(&paste, "paste", false, "sign in with a browser elsewhere and paste its code")
	f.BoolVar(&noBrowser, "no-browser", false, "print the address and do not open it")
	f.BoolVar(&in.MFA, "mfa", false, "sign in with the second factor")
	f.DurationVar(&in.MaxAge, "max-age", 0, "sign in again if the last time is longer ago")
	f.BoolVar(&in.Keyring, "keyring", false, "keep the key in the operating system's keyring")
	f.StringVar(&in.SSO.Session, "sso-session", "rolegate", "name of the sso-session to write the token file of, '' for none")
	f.StringVar(&in.SSO.Region, "region", "us-east-1", "sso_region in the token file")
	return cmd
}

// atMost wants n arguments or fewer.
func atMost(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return usageError{fmt.Errorf("wanted: %s", what)}
		}
		return nil
	}
}

func (p *program) home() (string, error) {
	for _, name := range []string{"HOME", "USERPROFILE"} {
		if d := p.env(name); d != "" {
			return d, nil
		}
	}
	d, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder: %w", err)
	}
	return d, nil
}

func (p *program) show(cmd *cobra.Command, address, userCode string, noBrowser bool) {
	if userCode != "" {
		fmt.Fprintf(p.stderr, "Open this page on any device:\n\n  %s\n\nand type the code:\n\n  %s\n\nWaiting; Ctrl-C gives up.\n", address, userCode)
		return
	}
	opened := !noBrowser && client.Browse(cmd.Context(), p.env, address) == nil
	if opened {
		fmt.Fprintf(p.stderr, "Your browser opens. If it does not, go to:\n\n  %s\n\n", address)
		return
	}
	fmt.Fprintf(p.stderr, "Go to:\n\n  %s\n\n", address)
}

// readCode waits for a line, or for the end of the context: the terminal is read
// by nobody else until the program ends.
func (p *program) readCode(ctx context.Context) (string, error) {
	fmt.Fprint(p.stderr, "Code: ")
	type answer struct {
		line string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		line, err := bufio.NewReader(p.stdin).ReadString('\n')
		got <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.stderr)
		return "", ctx.Err()
	case a := <-got:
		if a.err != nil && a.line == "" {
			return "", broker.Errorf(broker.CodeInvalid, "No code was pasted.").Because(a.err)
		}
		return a.line, nil
	}
}

func (p *program) signedIn(username, idp string, s client.Session) {
	if p.json {
		_ = p.printJSON(map[string]any{ // stdout is gone: nobody to tell
			"server": s.Server, "username": username, "idp": idp, "session_expires_at": s.SessionExpires.UTC(), "sso_token_file": s.SSOFile,
		})
		return
	}
	fmt.Fprintf(p.stderr, "Signed in to %s as %s until %s.\n", s.Server, username, s.SessionExpires.Local().Format("15:04 on 2 Jan"))
}
