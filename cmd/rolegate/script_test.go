package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
)

// TestScripts runs the scripts in testdata, each in a folder of its own with the
// files of its archive (the txtar format: text, then "-- NAME --" and a file).
//
//	rolegate ARGS…           run the program; it must exit with 0; '' is an empty word
//	exit N rolegate ARGS…    it must exit with N
//	[!] stdout PATTERN       of the last run; the rest of the line is a regular expression
//	[!] stderr PATTERN
//	cmp stdout|stderr FILE   the whole output, $WORK for the folder
//	mode PERM GLOB           permissions of all files that match, one at least
//	remember DIR, unchanged DIR, changed DIR
//	env NAME=VALUE           for the runs that follow
//	listen NAME              listen on loopback; $NAME is the address
//	expand FILE              replace $NAME in FILE
//	demo                     start a demo; $PORTAL and $STS are its addresses
//	stop                     stop it
//	browser PERSON yes|no N rolegate ARGS…
//	                         run the program, which must exit with N; PERSON signs in at the
//	                         address it prints, and answers
//	store FILE PEOPLE        make a store at FILE with what the JSON file PEOPLE says
//	held FILE PROVIDER/ID N M
//	                         the person has N factors and M sessions there
//	events FILE ACTION TARGET N
//	                         there are N events of the action about the target
//	rm FILE, chmod PERM FILE, link OLD NEW, copy FROM TO
//	grep PATTERN FILE        a line of FILE matches; absent PATTERN FILE: none does
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{T: t, env: map[string]string{"WORK": t.TempDir()}, seen: map[string]string{}}
			commands := s.unpack(string(text))
			t.Chdir(s.env["WORK"])
			for n, line := range strings.Split(commands, "\n") {
				line = strings.TrimSpace(line)
				if line == "" || line[0] == '#' {
					continue
				}
				if err := s.do(line); err != nil {
					t.Fatalf("%s:%d: %s\n%v\nexit %d\nstdout:\n%s\nstderr:\n%s", file, n+1, line, err, s.code, s.out.String(), s.err.String())
				}
			}
		})
	}
}

type script struct {
	*testing.T
	env      map[string]string
	out, err bytes.Buffer
	code     int
	seen     map[string]string // digest of a folder
	demo     *demo.Demo
}

var fileMark = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

// unpack writes the archive's files and returns what stands before them.
func (s *script) unpack(text string) string {
	marks := fileMark.FindAllStringSubmatchIndex(text, -1)
	end := len(text)
	for i := len(marks) - 1; i >= 0; i-- {
		m := marks[i]
		path := filepath.Join(s.env["WORK"], text[m[2]:m[3]])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text[m[1]:end]), 0o600)); err != nil {
			s.Fatal(err)
		}
		end = m[0]
	}
	return text[:end]
}

func (s *script) expand(text string) string {
	return os.Expand(text, func(name string) string {
		if v, ok := s.env[name]; ok {
			return v
		}
		return "$" + name
	})
}

func (s *script) do(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	negated := word == "!"
	if negated {
		word, rest, _ = strings.Cut(rest, " ")
	}
	switch word {
	case "stdout", "stderr":
		out := map[string]*bytes.Buffer{"stdout": &s.out, "stderr": &s.err}[word]
		pattern, err := regexp.Compile("(?m)" + rest)
		if err != nil {
			return err
		}
		if pattern.Match(out.Bytes()) == negated {
			return errors.New("the output is another")
		}
		return nil
	}
	args := words(s.expand(rest))
	switch {
	case negated:
		return errors.New("! is for stdout and stderr")
	case word == "rolegate":
		return s.run(0, args)
	case word == "exit" && len(args) > 1 && args[1] == "rolegate":
		want, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return s.run(want, args[2:])
	case word == "cmp" && len(args) == 2:
		return s.cmp(args[0], args[1])
	case word == "mode" && len(args) == 2:
		return mode(args[0], args[1])
	case word == "env" && len(args) == 1:
		name, value, _ := strings.Cut(args[0], "=")
		s.env[name] = value
		return nil
	case word == "listen" && len(args) == 1:
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Cleanup(func() { _ = l.Close() })
		s.env[args[0]] = l.Addr().String()
		return nil
	case word == "expand" && len(args) == 1:
		b, err := os.ReadFile(args[0])
		return errors.Join(err, os.WriteFile(args[0], []byte(s.expand(string(b))), 0o600))
	case word == "demo" && len(args) == 0:
		return s.startDemo()
	case word == "stop" && len(args) == 0:
		return s.demo.Close()
	case word == "browser" && len(args) > 3 && args[3] == "rolegate":
		want, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return s.browse(args[0], args[1], want, args[4:])
	case word == "store" && len(args) == 2:
		return s.fill(args[0], args[1])
	case word == "held" && len(args) == 4:
		return s.held(args[0], args[1], args[2]+" "+args[3])
	case word == "events" && len(args) == 4:
		return s.recorded(args[0], args[1], args[2], args[3])
	case word == "rm" && len(args) == 1:
		return os.Remove(args[0])
	case word == "link" && len(args) == 2:
		return os.Symlink(args[0], args[1])
	case word == "copy" && len(args) == 2:
		b, err := os.ReadFile(args[0])
		return errors.Join(err, os.WriteFile(args[1], b, 0o600))
	case word == "chmod" && len(args) == 2:
		perm, err := strconv.ParseUint(args[0], 8, 32)
		return errors.Join(err, os.Chmod(args[1], fs.FileMode(perm)))
	case (word == "grep" || word == "absent") && len(args) > 1:
		b, err := os.ReadFile(args[len(args)-1])
		if err != nil {
			return err
		}
		pattern, err := regexp.Compile("(?m)" + strings.Join(args[:len(args)-1], " "))
		if err != nil {
			return err
		}
		if pattern.Match(b) != (word == "grep") {
			return fmt.Errorf("the file is another:\n%s", b)
		}
		return nil
	case (word == "remember" || word == "unchanged" || word == "changed") && len(args) == 1:
		return s.folder(word, args[0])
	}
	return errors.New("no such command")
}

// words splits a line; ” is an empty word.
func words(line string) []string {
	out := strings.Fields(line)
	for i, w := range out {
		if w == "''" {
			out[i] = ""
		}
	}
	return out
}

func (s *script) run(want int, args []string) error {
	s.out.Reset()
	s.err.Reset()
	s.code = run(s.Context(), args, func(name string) string { return s.env[name] }, strings.NewReader(""), &s.out, &s.err)
	if s.code != want {
		return fmt.Errorf("want exit %d", want)
	}
	return nil
}

func (s *script) cmp(name, file string) error {
	want, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	got := s.out.String()
	if name == "stderr" {
		got = s.err.String()
	}
	if got = strings.ReplaceAll(got, s.env["WORK"], "$WORK"); got != string(want) {
		return fmt.Errorf("want:\n%s", want)
	}
	return nil
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

// folder notes what a folder holds, or compares it with the note.
func (s *script) folder(word, dir string) error {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%q %q", path, b)
		return err
	})
	if err != nil {
		return err
	}
	before, now := s.seen[dir], string(h.Sum(nil))
	s.seen[dir] = now
	if word != "remember" && (before == now) != (word == "unchanged") {
		return fmt.Errorf("%s is not %s", dir, word)
	}
	return nil
}
