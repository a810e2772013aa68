package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
)

// TestScripts runs the scripts in testdata by [testscript], which has rolegate
// as a program and these commands more:
//
//	exit N rolegate ARGS…    it must exit with N
//	mode PERM GLOB           permissions of all files that match, one at least
//	remember DIR, unchanged DIR, changed DIR
//	listen NAME              listen on loopback; $NAME is the address
//	expand FILE              replace $NAME in FILE
//	demo                     start a demo; $PORTAL and $STS are its addresses
//	demo stop                stop it
//	browser PERSON yes|no N rolegate ARGS…
//	                         run the program, which must exit with N; PERSON signs in at the
//	                         address it prints, and answers
//	store FILE PEOPLE        make a store at FILE with what the JSON file PEOPLE says
//	held FILE PROVIDER/ID N M
//	                         the person has N factors and M sessions there
//	events FILE ACTION TARGET N
//	                         there are N events of the action about the target
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			e.Defer(cancel)
			e.Values[script{}] = &state{ctx: ctx, seen: map[string]string{}}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":      command(2, (*state).exit),
			"mode":      command(2, func(_ *state, ts *testscript.TestScript, a []string) error { return mode(a[0], ts.MkAbs(a[1])) }),
			"remember":  command(1, (*state).remember),
			"unchanged": command(1, (*state).unchanged),
			"changed":   command(1, (*state).changed),
			"listen":    command(1, takeAddress),
			"expand":    command(1, expand),
			"demo":      command(0, (*state).demoCommand),
			"browser":   command(4, (*state).browse),
			"store":     command(2, (*state).fill),
			"held":      command(4, (*state).held),
			"events":    command(4, (*state).recorded),
		},
	})
}

// script is the key of the state of a running one.
type script struct{}

// state is what the commands of one script share.
type state struct {
	ctx  context.Context
	seen map[string]string // digest of a folder
	demo *demo.Demo
}

// command makes a command of a function with that many arguments at least.
func command(least int, do func(*state, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least {
			ts.Fatalf("it takes %d arguments, and no !", least)
		}
		ts.Check(do(ts.Value(script{}).(*state), ts, args))
	}
}

func (s *state) exit(ts *testscript.TestScript, args []string) error {
	want, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	err = ts.Exec(args[1], args[2:]...)
	if exited, ok := errors.AsType[*exec.ExitError](err); !ok || exited.ExitCode() != want {
		return fmt.Errorf("%w, wanted was exit %d", errors.Join(err), want)
	}
	return nil
}

func takeAddress(_ *state, ts *testscript.TestScript, args []string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
	return nil
}

func expand(_ *state, ts *testscript.TestScript, args []string) error {
	return os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600)
}

func mode(perm, glob string) error {
	want, err := strconv.ParseUint(perm, 8, 32)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(glob)
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no file matches: %w", err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		if info.Mode().Perm() != fs.FileMode(want) {
			return fmt.Errorf("%s has %v", f, info.Mode())
		}
	}
	return nil
}

func (s *state) remember(ts *testscript.TestScript, args []string) error {
	var err error
	s.seen[args[0]], err = digest(ts.MkAbs(args[0]))
	return err
}

func (s *state) unchanged(ts *testscript.TestScript, args []string) error {
	now, err := digest(ts.MkAbs(args[0]))
	if err == nil && now != s.seen[args[0]] {
		return fmt.Errorf("%s has changed", args[0])
	}
	return err
}

// changed remembers the folder as it is now.
func (s *state) changed(ts *testscript.TestScript, args []string) error {
	before := s.seen[args[0]]
	if err := s.remember(ts, args); err != nil {
		return err
	}
	if s.seen[args[0]] == before {
		return fmt.Errorf("%s has not changed", args[0])
	}
	return nil
}

// digest is of the names and contents of a folder's files.
func digest(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%q %q", path, b)
		return err
	})
	return string(h.Sum(nil)), err
}
