// Package gate is what the tests of mutate work on: some checks with tests,
// some without.
package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// Config is checked by Validate.
type Config struct{ Low, High int }

func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Low < 0 {
		bad("low %d", c.Low)
	}
	return errors.Join(errs...)
}

// Enter has a check that is tested, one that is not, and one tested in part.
func Enter(name, kind string, age int) error {
	if name == "" {
		return errors.New("no name")
	}
	if age < 18 || name == "root" {
		return errors.New("too young")
	}
	switch kind {
	case "guest", "banned":
		return errors.New("not here")
	}
	return known(name)
}

func known(name string) error {
	for _, n := range []string{"ann", "bob", "root"} {
		if n == name {
			return nil
		}
	}
	return errors.New("unknown")
}

// Read passes on the error of a check, of a parser and of the world.
func Read(name string) (int, error) {
	if err := known(name); err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return 0, err
	}
	if _, err := json.Marshal(n); err != nil {
		return 0, err
	}
	return int(n), nil
}

// Wait ends only if its check is there.
func Wait(n int) bool {
	for {
		n--
		if n == 0 {
			return false
		}
	}
}

// Weigh leaves its refusal to a literal.
func Weigh(kg int) (string, error) {
	fail := func(err error) (string, error) { return "", err }
	if kg > 9 {
		return fail(errors.New("too heavy"))
	}
	return "fine", nil
}
