package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/broker"
)

// maxFile bounds the configuration file.
const maxFile = 4 << 20

// Problem is one mistake in the file.
type Problem struct {
	File    string
	Line    int    // 0 if the place is not known
	Path    string // e.g. rules[2].when; "" if the line says it all
	Message string
}

// Error returns file:line: path: message.
func (p Problem) Error() string {
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(p.Line)
	}
	if p.Path != "" {
		s += ": " + p.Path
	}
	return s + ": " + p.Message
}

// Problems are all mistakes of a file, in the order of the lines.
type Problems []Problem

// Error returns one problem a line.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.Error())
	}
	return b.String()
}

// Load reads and checks the file; env looks environment variables up. The error
// is [Problems] when the file could be read.
func Load(path string, env func(string) string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return Parse(path, b, env)
}

// Parse is [Load] with the bytes given; path serves messages and relative paths.
func Parse(path string, b []byte, env func(string) string) (*Config, error) {
	return parse(&Config{file: path, dir: filepath.Dir(path), env: env}, b)
}

// ParseDetached is [Parse] for a text that somebody else wrote, to simulate it.
// It reads no file and no environment variable, so that its problems tell
// nothing about this machine.
func ParseDetached(name string, b []byte) (*Config, error) {
	return parse(&Config{file: name, dir: ".", env: func(string) string { return "" }, detached: true}, b)
}

func parse(c *Config, b []byte) (*Config, error) {
	sum := sha256.Sum256(b)
	c.digest = hex.EncodeToString(sum[:])
	if len(b) > maxFile {
		return nil, Problems{{File: c.file, Message: fmt.Sprintf("the file is larger than %d bytes", maxFile)}}
	}
	ps := c.decode(b)
	if c.root == nil {
		return nil, ps
	}
	c.defaults()
	ps = append(ps, c.check()...)
	if len(ps) > 0 {
		return nil, c.sorted(ps)
	}
	return c, nil
}

// sorted orders by line and drops what was said twice about one place.
func (c *Config) sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return a.Line - b.Line })
	return slices.CompactFunc(ps, func(a, b Problem) bool { return a.Error() == b.Error() })
}

func (c *Config) decode(b []byte) Problems {
	empty := Problems{{File: c.file, Message: "the file is empty or no mapping: it begins with public_url: …"}}
	if len(bytes.TrimSpace(b)) == 0 {
		return empty
	}
	var root yaml.Node
	if err := yaml.Load(b, &root); err != nil {
		return c.yamlProblems(err)
	}
	if len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return empty
	}
	c.root = root.Content[0]
	if err := yaml.Load(b, c, yaml.WithKnownFields()); err != nil {
		return c.yamlProblems(err)
	}
	return nil
}

var (
	unknownField = regexp.MustCompile(`field (\S+) not found in type (\S+)`)
	lineNumber   = regexp.MustCompile(`^line (\d+): `)
)

// yamlProblems turns the library's error, which may hold many, into problems.
func (c *Config) yamlProblems(err error) Problems {
	var parts []*yaml.LoadError
	if many, ok := errors.AsType[*yaml.LoadErrors](err); ok {
		parts = many.Errors
	} else if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		parts = []*yaml.LoadError{one}
	} else {
		return Problems{{File: c.file, Message: err.Error()}}
	}
	var ps Problems
	for _, e := range parts {
		p := Problem{File: c.file, Line: e.Mark.Line}
		text := strings.ReplaceAll(e.Message, "config.", "")
		if m := lineNumber.FindStringSubmatch(text); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			text = strings.TrimPrefix(text, m[0])
		}
		if m := unknownField.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("unknown key %q", m[1])
			if near := broker.Nearest(m[1], keysOf(m[2])); near != "" {
				text += fmt.Sprintf(" (did you mean %q?)", near)
			}
		}
		p.Message = text
		ps = append(ps, p)
	}
	return ps
}

// keysOf returns the YAML keys of the configuration type with the Go name.
func keysOf(goType string) []string {
	var out []string
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
			if key == "" {
				continue
			}
			if t.Name() == goType {
				out = append(out, key)
			}
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Config]())
	return out
}

var pathStep = regexp.MustCompile(`([A-Za-z0-9_]+)|\[(\d+)\]`)

// line returns where the path is in the file, or the nearest place above it.
func (c *Config) line(path string) int {
	n := c.root
	line := n.Line
	for _, m := range pathStep.FindAllStringSubmatch(path, -1) {
		next := (*yaml.Node)(nil)
		if m[2] != "" {
			if i, err := strconv.Atoi(m[2]); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
				next = n.Content[i]
			}
		} else if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == m[1] {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		}
		if next == nil {
			return line
		}
		n = next
		if m[2] != "" {
			line = n.Line
		}
	}
	return line
}

func (c *Config) problem(path, format string, args ...any) Problem {
	return Problem{File: c.file, Line: c.line(path), Path: path, Message: fmt.Sprintf(format, args...)}
}

func (c *Config) mappingProblems(err error) Problems {
	var ps Problems
	found, _ := errors.AsType[broker.Problems](err)
	for _, p := range found {
		ps = append(ps, c.problem(p.Field, "%s", p.Message))
	}
	if err != nil && len(found) == 0 {
		ps = append(ps, Problem{File: c.file, Message: err.Error()})
	}
	return ps
}
