package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/federation"
)

// TestDestinationsAreDocumented ensures that docs/portal.md lists the places of
// the console that a deep link may name, and no other.
func TestDestinationsAreDocumented(t *testing.T) {
	_, text, _ := strings.Cut(pages(t)["../../docs/portal.md"], "`destination` is one of")
	text, _, _ = strings.Cut(text, ";")
	var listed []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		listed = append(listed, m[1])
	}
	var want []string
	for _, s := range federation.Services() {
		if s.Path != "" {
			want = append(want, s.Path)
		}
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("docs/portal.md lists %q, the program opens %q", listed, want)
	}
}

// TestConfigurationIsDocumented ensures that docs/configuration.md names every
// key of docs/config.schema.json in a table, an example or a sentence, as code.
func TestConfigurationIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"$defs"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(b, &schema); err != nil {
		t.Fatal(err)
	}
	text := pages(t)["../../docs/configuration.md"]
	var code strings.Builder
	for _, m := range regexp.MustCompile("(?ms)^```yaml$.*?^```$|`[^`\n]+`").FindAllString(text, -1) {
		code.WriteString(m + "\n")
	}
	count := 0
	for def, object := range schema.Defs {
		for _, key := range slices.Sorted(maps.Keys(object.Properties)) {
			count++
			if !regexp.MustCompile(`(^|[^a-z_])` + regexp.QuoteMeta(key) + `([^a-z_]|$)`).MatchString(code.String()) {
				t.Errorf("%s.%s is missing", def, key)
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d keys found in the schema", count)
	}
}

// TestAnchorsExist ensures that links to a heading of a page name one that is
// there, as GitHub and GitLab write their anchors.
func TestAnchorsExist(t *testing.T) {
	all := pages(t)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchors := map[string][]string{}
	for path, text := range all {
		for _, m := range heading.FindAllStringSubmatch(text, -1) {
			anchors[path] = append(anchors[path], anchor(m[1]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		for _, m := range regexp.MustCompile(`\]\(([^)#: ]*)#([^)]+)\)`).FindAllStringSubmatch(all[path], -1) {
			to := path
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(path), m[1])
			}
			if found, known := anchors[to]; known && !slices.Contains(found, m[2]) {
				t.Errorf("%s: %s has no heading #%s", path, to, m[2])
			}
		}
	}
}

// anchor is the name that a heading gets.
func anchor(heading string) string {
	s := strings.ToLower(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(heading, ""))
	return strings.ReplaceAll(s, " ", "-")
}
