package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) status() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say who is signed in and until when", Args: exactly(0, "rolegate status"),
		Long: "status asks the server and exits with 0 if the sign-in is valid, 3 if it is not, 7 if the server\ncannot be asked.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			me, server, err := c.Me(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(map[string]any{"server": server, "me": me})
			}
			second := "without a second factor"
			if me.MFA {
				second = "with a second factor"
			}
			fmt.Fprintf(p.stdout, "%s at %s (%s, %s), until %s\n", me.Username, server, me.IdP, second, me.SessionExpiresAt.Local().Format("15:04 on 2 Jan"))
			return nil
		},
	}
}
