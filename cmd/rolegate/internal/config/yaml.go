package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/broker"
)

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
	if wide := wideMapping(&root); wide != nil {
		return Problems{{File: c.file, Line: wide.Line, Message: fmt.Sprintf("a mapping of more than %d keys", maxKeys)}}
	}
	c.root = root.Content[0]
	if err := yaml.Load(b, c, yaml.WithKnownFields()); err != nil {
		return c.yamlProblems(err)
	}
	return nil
}

// maxKeys bounds one mapping, of which the library compares all keys with one
// another. Ours have names, labels and tags for keys.
const maxKeys = 2_000

// wideMapping returns a mapping that is wider, nil if there is none.
func wideMapping(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode && len(n.Content) > 2*maxKeys {
		return n
	}
	for _, inner := range n.Content {
		if wide := wideMapping(inner); wide != nil {
			return wide
		}
	}
	return nil
}

var (
	unknownField = regexp.MustCompile(`^field (\S+) not found in type config\.(\S+)`)
	lineNumber   = regexp.MustCompile(`^line (\d+): `)
	goType       = regexp.MustCompile(`(?s).* into (\S+)(?: \(TextUnmarshaler\))?$`)
)

// maxHints bounds the problems whose path and nearest key are looked for: whoever
// made very many has more to do than to read hints.
const maxHints = 100

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
		if len(ps) < maxHints {
			p.Path = c.pathAt(e.Mark.Line, e.Mark.Column)
		}
		text := e.Message
		if e.Mark.Line == 0 { // so it is for a value with a type of its own before it, like !!int
			if n := tagged(c.root); n != nil {
				p.Line, p.Path = n.Line, c.pathAt(n.Line, n.Column)
			}
		}
		if m := lineNumber.FindStringSubmatch(text); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
			text = strings.TrimPrefix(text, m[0])
		}
		p.Message = readable(text, len(ps) < maxHints)
		ps = append(ps, p)
	}
	return ps
}

// tagged returns the first node with an explicit tag, nil if there is none.
func tagged(n *yaml.Node) *yaml.Node {
	if n == nil || n.Style&yaml.TaggedStyle != 0 {
		return n
	}
	for _, x := range n.Content {
		if found := tagged(x); found != nil {
			return found
		}
	}
	return nil
}

// readable says in our words what the library says, with a hint where one is
// wanted. It shows no value: what cannot be read may be a secret in the wrong
// place.
func readable(text string, hint bool) string {
	if m := unknownField.FindStringSubmatch(text); m != nil {
		near := ""
		if hint {
			near = broker.Nearest(m[1], keysOf(m[2]))
		}
		if near != "" {
			near = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return "unknown key" + near
	}
	switch {
	case strings.HasPrefix(text, "unknown anchor"):
		return "a value that begins with * needs quotation marks around it"
	case !strings.HasPrefix(text, "cannot construct"):
		return text
	}
	into := ""
	if m := goType.FindStringSubmatch(text); m != nil {
		into = m[1]
	}
	switch {
	case into == "config.Duration":
		return "a duration is needed, like 90s, 15m, 8h or 400d"
	case strings.HasPrefix(into, "int"):
		return "a whole number is needed"
	case into == "bool":
		return "true or false is needed"
	case into == "string":
		return "one value is needed, not a list and no keys with values"
	case strings.HasPrefix(into, "[]"):
		return "a list is needed, like [a, b]"
	case strings.HasPrefix(into, "map["), strings.HasPrefix(into, "config."):
		return "keys with values are needed, like {key: value}"
	}
	return "this is not the kind of value that is needed here"
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
