package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// openKeys opens the keys of a command; whatever is wrong with them is for the
// person who called it to mend.
func openKeys(c *config.Config, create bool) (*issuer.Keys, error) {
	k, err := issuer.OpenKeys(c.Path(c.Keys.Dir), issuer.OpenOptions{Create: create})
	if err != nil {
		return nil, usageError{err}
	}
	return k, nil
}

func (p *program) keys() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make, rotate and publish keys", Args: exactly(0, "rolegate keys new|rotate|export"),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	cmd.AddCommand(&cobra.Command{
		Use: "new", Short: "Make the keys of an empty folder", Args: exactly(0, "rolegate keys new"),
		RunE: func(*cobra.Command, []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			k, err := openKeys(c, true)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.stderr, "keys in %s; assertions are signed with %s\n", c.Path(c.Keys.Dir), k.Active(issuer.AWSSAML).ID)
			return nil
		},
	}, &cobra.Command{
		Use: "rotate PURPOSE", Short: "Sign with the next key of a purpose and publish a new next one",
		Long: "rotate changes the signing key of aws-saml, aws-oidc, sp-signing or sp-encryption to the next\none, which has been published all along. Before it, give IAM and the identity providers the\nmetadata of now; afterwards, again. Restart rolegate to use the new key.",
		Args: exactly(1, "rolegate keys rotate PURPOSE"), ValidArgs: []cobra.Completion{"aws-saml", "aws-oidc", "sp-signing", "sp-encryption"},
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := p.load()
			if err != nil {
				return err
			}
			k, err := openKeys(c, false)
			if err != nil {
				return err
			}
			if err := k.Rotate(issuer.Purpose(args[0])); err != nil {
				return usageError{err}
			}
			fmt.Fprintf(p.stderr, "%s now signs with %s\n", args[0], k.Active(issuer.Purpose(args[0])).ID)
			return nil
		},
	}, p.exportKeys())
	return cmd
}
