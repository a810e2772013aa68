package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// key names a mutant whatever line it stands on.
type key struct{ Package, Func, Condition, Change string }

func (k key) String() string {
	return fmt.Sprintf("%s %s: %s: %s", k.Package, k.Func, k.Condition, k.Change)
}

// entry is one reason in the file; it may stand for several changes of one
// condition.
type entry struct {
	Package   string   `yaml:"package"`
	Func      string   `yaml:"func"`
	Condition string   `yaml:"condition"`
	Changes   []string `yaml:"changes"`
	Reason    string   `yaml:"reason"`
}

// reasons are why survivors are accepted.
type reasons map[key]string

func readReasons(path string) (reasons, error) {
	known := reasons{}
	if path == "" {
		return known, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []entry
	if err := yaml.Load(raw, &entries, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, e := range entries {
		for _, change := range e.Changes {
			k := key{e.Package, e.Func, e.Condition, change}
			if strings.TrimSpace(e.Reason) == "" {
				return nil, fmt.Errorf("%s: no reason for %s", path, k)
			}
			if _, twice := known[k]; twice {
				return nil, fmt.Errorf("%s: two reasons for %s", path, k)
			}
			known[k] = e.Reason
		}
	}
	return known, nil
}

func (r reasons) accepts(k key) bool {
	_, ok := r[k]
	return ok
}

// stale lists the reasons that no survivor of the packages at hand needs.
func (r reasons) stale(found *findings) []string {
	needed := map[key]bool{}
	for _, m := range found.mutants {
		if m.fate.lives() {
			needed[m.key] = true
		}
	}
	var out []string
	for k := range r {
		if slices.Contains(found.packages, k.Package) && !needed[k] {
			out = append(out, k.String())
		}
	}
	slices.Sort(out)
	return out
}

// writeTodo prints entries for the survivors, those of one condition together.
func writeTodo(out io.Writer, open []*mutant) error {
	var entries []entry
	for _, m := range open {
		if n := len(entries) - 1; n >= 0 && entries[n].Package == m.Package && entries[n].Func == m.Func && entries[n].Condition == m.Condition {
			entries[n].Changes = append(entries[n].Changes, m.Change)
			continue
		}
		entries = append(entries, entry{m.Package, m.Func, m.Condition, []string{m.Change}, ""})
	}
	if len(entries) == 0 {
		return nil
	}
	raw, err := yaml.Dump(entries)
	if err != nil {
		return err
	}
	_, err = out.Write(raw)
	return err
}
