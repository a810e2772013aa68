package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// Completion speaks to no server and waits for nobody: it knows the roles that
// the server said last, and offers nothing where there are none.

// known is the names to complete from, sorted as the server sorts them.
func (p *program) known() []client.Name {
	c, err := p.client()
	if err != nil {
		return nil
	}
	return c.KnownNames()
}

// completeRole completes ACCOUNT/ROLE.
func (p *program) completeRole(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	byID := startsWithDigit(word)
	var out offers
	for _, n := range p.known() {
		if byID {
			out.add(word, string(n.AccountID)+"/"+n.Role, n.Account)
		}
		out.add(word, n.Account+"/"+n.Role, n.Description)
	}
	return out.list, cobra.ShellCompDirectiveNoFileComp
}

// completeAccountAndRole completes an account, by name or id, and then a role
// of that account.
func (p *program) completeAccountAndRole(_ *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	byID := startsWithDigit(word)
	var out offers
	for _, n := range p.known() {
		switch {
		case len(args) == 0 && byID:
			out.add(word, string(n.AccountID), n.Account)
			out.add(word, n.Account, string(n.AccountID))
		case len(args) == 0:
			out.add(word, n.Account, string(n.AccountID))
		case len(args) == 1 && (strings.EqualFold(args[0], n.Account) || args[0] == string(n.AccountID)):
			out.add(word, n.Role, n.Description)
		}
	}
	return out.list, cobra.ShellCompDirectiveNoFileComp
}

func startsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// offers is what completion proposes, each word once.
type offers struct {
	list  []cobra.Completion
	words []string
}

// add offers a word that begins with what is typed, whatever its case. A word
// with a control character is not offered: it would reach the terminal.
func (o *offers) add(typed, word, about string) {
	if len(word) < len(typed) || !strings.EqualFold(word[:len(typed)], typed) || slices.Contains(o.words, word) || !printable(word) {
		return
	}
	o.words = append(o.words, word)
	if !printable(about) {
		about = ""
	}
	o.list = append(o.list, cobra.CompletionWithDesc(word, about))
}

func printable(s string) bool { return !strings.ContainsFunc(s, broker.Breaks) }
