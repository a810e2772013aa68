package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

func (p *program) console() *cobra.Command {
	print, destination, region := false, "", ""
	cmd := &cobra.Command{
		Use: "console NAME…", Short: "Open the AWS console for a role", Args: atLeast(1, "rolegate console NAME…"),
		ValidArgsFunction: p.completeRole,
		Long: "console opens the console for the role that NAME means: ACCOUNT/ROLE, or as much of both as makes it\n" +
			"clear, like \"prod adm\". The link leads through the portal, so it holds no secret and works after the\n" +
			"browser's own session has ended.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			all, err := c.Assignments(cmd.Context())
			if err != nil {
				return err
			}
			a, err := client.Match(all, strings.Join(args, " "))
			if err != nil {
				return err
			}
			server, err := c.Server()
			if err != nil {
				return err
			}
			q := url.Values{"account": {string(a.Account.ID)}, "role": {a.Role}}
			for name, v := range map[string]string{"destination": destination, "region": region} {
				if v != "" {
					q.Set(name, v)
				}
			}
			link := server + "/go?" + q.Encode()
			if p.json {
				return p.printJSON(map[string]any{"url": link, "account": a.Account, "role": a.Role})
			}
			if !print && client.Browse(cmd.Context(), p.env, link) == nil {
				fmt.Fprintf(p.stderr, "Opening %s in %s.\n", a.Role, a.Account.Name)
				return nil
			}
			fmt.Fprintln(p.stdout, link)
			return nil
		},
	}
	cmd.Flags().BoolVar(&print, "print", false, "print the link and do not open it")
	cmd.Flags().StringVar(&destination, "destination", "", "place in the console, like ec2/home")
	cmd.Flags().StringVar(&region, "region", "", "region, like eu-west-1")
	return cmd
}
