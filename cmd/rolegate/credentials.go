package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// fetchTimeout keeps credential_process below the minute after which AWS
// clients end it.
const fetchTimeout = 45 * time.Second

func (p *program) credentials() *cobra.Command {
	duration := time.Duration(0)
	cmd := &cobra.Command{
		Use: "credentials ACCOUNT ROLE", Short: "Print credentials for credential_process", Args: exactly(2, "rolegate credentials ACCOUNT ROLE"),
		ValidArgsFunction: p.completeAccountAndRole,
		Long: "credentials prints the JSON that AWS clients want of credential_process. It keeps what it gets in an\n" +
			"encrypted file and asks the server again before that ends. It never waits for a person: without a\n" +
			"sign-in it fails at once. The program rolegate-credentials does the same and starts faster.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if duration < 0 || duration%time.Second != 0 {
				return usageError{fmt.Errorf("--duration is a whole number of seconds, like 1h")}
			}
			c, err := p.client()
			if err != nil {
				return err
			}
			ctx, cancel := withTimeout(cmd, fetchTimeout)
			defer cancel()
			out, err := c.Credentials(ctx, args[0], args[1], duration, p.warn)
			if err != nil {
				return err
			}
			_, err = p.stdout.Write(out)
			return err
		},
	}
	cmd.Flags().DurationVar(&duration, "duration", 0, "how long the credentials last (default: the role's maximum)")
	return cmd
}
