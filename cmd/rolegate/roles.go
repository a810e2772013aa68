package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker/api"
)

func (p *program) roles() *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "List the accounts and roles that you may use", Args: exactly(0, "rolegate roles"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := c.Assignments(cmd.Context())
			if err != nil {
				return err
			}
			if p.json {
				return p.printJSON(api.Assignments{Assignments: append([]api.Assignment{}, all...)})
			}
			if len(all) == 0 {
				fmt.Fprintln(p.stderr, "You have no role.")
				return nil
			}
			w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ACCOUNT\tID\tROLE\tLASTS\tNEEDS")
			for _, a := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Account.Name, a.Account.ID, a.Role, lasts(a.MaxDurationSeconds), needs(a.Require))
			}
			return w.Flush()
		},
	}
}

// lasts writes a duration without the parts that are zero.
func lasts(seconds int64) string {
	s := (time.Duration(seconds) * time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	return strings.TrimSuffix(s, "0m")
}

func needs(r api.Requirement) string {
	var out []string
	if r.MFA {
		out = append(out, "second factor")
	}
	if r.MaxAuthAgeSeconds > 0 {
		out = append(out, "sign-in of the last "+lasts(r.MaxAuthAgeSeconds))
	}
	return strings.Join(out, ", ")
}
