package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (p *program) logout() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the sign-in and remove its files", Args: exactly(0, "rolegate logout"),
		Long: "logout ends the sign-in at the server, removes the tokens and the cached credentials, and the token\n" +
			"file that login wrote for AWS clients. Role sessions that AWS has given already run until they end.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			if err := c.Logout(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintln(p.stderr, "Signed out.")
			return nil
		},
	}
}
