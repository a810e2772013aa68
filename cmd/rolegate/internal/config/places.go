package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/broker"
)

var pathStep = regexp.MustCompile(`([A-Za-z0-9_-]+)|\[(\d+)\]`)

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

// pathAt returns the path of the key or value that begins at the place, "" if
// none does.
func (c *Config) pathAt(line, column int) string {
	var find func(n *yaml.Node, path string) string
	find = func(n *yaml.Node, path string) string {
		if n.Line == line && n.Column == column && path != "" {
			return path
		}
		for i := 0; i < len(n.Content); i++ {
			at := path + "[" + strconv.Itoa(i) + "]"
			if n.Kind == yaml.MappingNode {
				at = strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
				if n.Content[i].Line == line && n.Content[i].Column == column {
					return at
				}
				if i++; i >= len(n.Content) {
					return ""
				}
			}
			if found := find(n.Content[i], at); found != "" {
				return found
			}
		}
		return ""
	}
	if c.root == nil {
		return ""
	}
	return find(c.root, "")
}

func (c *Config) problem(path, format string, args ...any) Problem {
	return Problem{File: c.file, Line: c.line(path), Path: path, Message: fmt.Sprintf(format, args...)}
}

// At returns err as a problem of the key at path.
func (c *Config) At(path string, err error) Problems {
	return Problems{c.problem(path, "%s", plain(err))}
}

// plain is the text of an error for the operator, without the name of the
// package that it comes from.
func plain(err error) string {
	text := strings.TrimPrefix(err.Error(), "issuer: ")
	if e, ok := errors.AsType[*broker.Error](err); ok {
		text = strings.TrimSpace(e.Message + " " + e.Remedy)
	}
	return text
}

var fieldIndex = regexp.MustCompile(`\[([^\]]*)\]`)

// problemsOf returns what an adapter says of its settings, each at its place in
// the file.
func (c *Config) problemsOf(err error, below string, places map[string]string) Problems {
	found, ok := errors.AsType[broker.Problems](err)
	if err != nil && !ok {
		return Problems{{File: c.file, Message: plain(err)}}
	}
	var out Problems
	for _, p := range found {
		path := p.Field
		if places != nil {
			path = place(p.Field, below, places)
		}
		out = append(out, c.problem(path, "%s", p.Message))
	}
	return out
}

// place returns where a field is in the file. For one that the table lacks it is
// the place of the nearest field above.
func place(field, below string, places map[string]string) string {
	known, ok := "", false
	for name := field; ; {
		if known, ok = places[fieldIndex.ReplaceAllString(name, "[*]")]; ok || name == "" {
			break
		}
		name = name[:max(0, strings.LastIndexAny(name, ".["))]
	}
	for _, m := range fieldIndex.FindAllStringSubmatch(field, -1) {
		known = strings.Replace(known, "*", m[1], 1)
	}
	if top, ok := strings.CutPrefix(known, "/"); ok {
		return top
	}
	return strings.TrimSuffix(below+"."+known, ".")
}
