package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// withStore gives do the store of the configuration, which must be there already,
// with the journal that is kept in it.
func (p *program) withStore(ctx context.Context, do func(*config.Config, *sqlstore.Store, *journal.Journal) error) (err error) {
	c, err := p.load()
	if err != nil {
		return err
	}
	store, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	j, err := journal.New(journal.Config{Events: store, State: store})
	if err != nil {
		return err
	}
	return do(c, store, j)
}

// peopleNamed finds whom user (username, e-mail address or subject) names, at the
// provider if one is given.
func peopleNamed(ctx context.Context, store *sqlstore.Store, user, provider string) ([]broker.Subject, error) {
	if user == "" { // by which the store finds everybody
		return nil, usageError{errors.New("USER is empty")}
	}
	rows, err := store.FindIdentities(ctx, user)
	if err != nil {
		return nil, err
	}
	var found []broker.Subject
	for _, r := range rows {
		if provider == "" || r.Subject.Provider == broker.ProviderID(provider) {
			found = append(found, r.Subject)
		}
	}
	if len(found) == 0 {
		return nil, broker.Errorf(broker.CodeNotFound, "%s has not signed in during the last 90 days", user)
	}
	return found, nil
}

// onePerson does as peopleNamed where one must be meant.
func onePerson(ctx context.Context, store *sqlstore.Store, user, provider string) (broker.Subject, error) {
	found, err := peopleNamed(ctx, store, user, provider)
	if err != nil {
		return broker.Subject{}, err
	}
	if len(found) > 1 {
		return broker.Subject{}, usageError{fmt.Errorf("%q is %d people: name one by subject, or give --provider", user, len(found))}
	}
	return found[0], nil
}

// operator is who runs the command, by this computer: what an event says of it.
func (p *program) operator() map[string]string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	return map[string]string{"os_user": name, "sudo_user": p.env("SUDO_USER")}
}

// confirm wants --yes, or at a terminal the word yes.
func (p *program) confirm(yes bool, question string) error {
	if yes {
		return nil
	}
	f, ok := p.stdin.(*os.File)
	if !ok {
		return usageError{fmt.Errorf("%s: give --yes if you mean it", question)}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return usageError{fmt.Errorf("%s: give --yes if you mean it", question)}
	}
	fmt.Fprintf(p.stderr, "%s. Type yes to go on: ", question)
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return usageError{errors.New("nothing was changed")}
	}
	return nil
}
