package config

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
// is [Problems] when the file could be read. Nothing is written anywhere.
func Load(path string, env func(string) string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	info, err := f.Stat()
	b, readErr := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err = errors.Join(err, readErr, f.Close()); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c := &Config{file: path, dir: filepath.Dir(path), env: env}
	problem, warning := exposed(info.Mode(), public)
	if problem != "" {
		return nil, Problems{{File: path, Message: problem}}
	}
	if warning != "" {
		c.warnings = Problems{{File: path, Message: warning}}
	}
	return parse(context.Background(), c, b)
}

// Parse is [Load] with the bytes given; path serves messages and relative paths.
func Parse(path string, b []byte, env func(string) string) (*Config, error) {
	return parse(context.Background(), &Config{file: path, dir: filepath.Dir(path), env: env}, b)
}

// ParseDetached is [Parse] for a text that somebody else wrote, to simulate it.
// It reads no file and no environment variable, so that its problems tell
// nothing about this machine. It ends with the context, whose error it returns.
func ParseDetached(ctx context.Context, name string, b []byte) (*Config, error) {
	return parse(ctx, &Config{file: name, dir: ".", env: func(string) string { return "" }, detached: true}, b)
}

func parse(ctx context.Context, c *Config, b []byte) (*Config, error) {
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
	problems, warnings := c.check(ctx)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if ps = append(ps, problems...); len(ps) > 0 {
		return nil, sorted(ps)
	}
	c.warnings = sorted(append(c.warnings, warnings...))
	return c, nil
}

// Warnings lists what is no mistake but most likely not meant: it stops nothing.
func (c *Config) Warnings() Problems { return c.warnings }

// sorted orders by line and drops what was said before about the same place:
// several adapters may look at one setting.
func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int { return a.Line - b.Line })
	said := map[string]bool{}
	return slices.DeleteFunc(ps, func(p Problem) bool {
		text := p.Error()
		defer func() { said[text] = true }()
		return said[text]
	})
}
