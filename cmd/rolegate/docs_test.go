package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// pages returns README.md and every page under docs, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{"../../README.md"}
	for _, glob := range []string{"../../docs/*.md", "../../docs/*/*.md"} {
		found, err := filepath.Glob(glob)
		if err != nil || len(found) == 0 {
			t.Fatal(glob, err)
		}
		paths = append(paths, found...)
	}
	out := map[string]string{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[p] = string(b)
	}
	return out
}

// rest is what the examples, most of them parts of a file, leave out.
const rest = `
public_url: https://sso.example.com
identity_providers:
  - {id: corp, saml: {metadata_url: "https://idp.example.com/metadata"}, identity: {username: 'claims.uid[0]', groups: claims.groups}}
accounts:
  - {id: "111122223333", name: prod, labels: {env: production}}
roles:
  - {name: ReadOnly, iam_role: RolegateReadOnly}
  - {name: Admin, iam_role: RolegateAdmin}
`

var namedFile = regexp.MustCompile(`_file: ([\w.-]+)`)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestYAMLExamplesPass ensures that each YAML example of the documentation is
// taken: as it stands, or in the place that it is shown for.
func TestYAMLExamplesPass(t *testing.T) {
	count, pair := 0, testPair(t)
	for path, text := range pages(t) {
		for _, m := range yamlBlock.FindAllStringSubmatch(text, -1) {
			var part map[string]any
			if err := yaml.Unmarshal([]byte(m[1]), &part); err != nil {
				t.Errorf("%s: %v\n%s", path, err, m[1])
				continue
			}
			count++
			whole, err := yaml.Marshal(place(t, part))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			for _, f := range namedFile.FindAllStringSubmatch(m[1], -1) {
				content := "planted"
				if strings.HasPrefix(f[1], "tls.") || strings.HasSuffix(f[1], ".pem") {
					content = pair
				}
				if err := os.WriteFile(filepath.Join(dir, f[1]), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := config.Parse(filepath.Join(dir, "rolegate.yaml"), whole, func(string) string { return "set" }); err != nil {
				t.Errorf("%s: %v\n%s", path, err, m[1])
			}
		}
	}
	if count < 10 {
		t.Errorf("only %d examples found", count)
	}
}

// place puts keys of the top level into a whole file, and keys of an identity
// provider into the provider of that file.
func place(t *testing.T, part map[string]any) map[string]any {
	t.Helper()
	var whole map[string]any
	if err := yaml.Unmarshal([]byte(rest), &whole); err != nil {
		t.Fatal(err)
	}
	into := whole
	for _, key := range []string{"saml", "oidc", "identity", "mfa"} {
		if _, ok := part[key]; ok {
			into = whole["identity_providers"].([]any)[0].(map[string]any)
		}
	}
	if _, ok := part["oidc"]; ok {
		delete(into, "saml")
	}
	maps.Copy(into, part)
	return whole
}

// TestCommandsAreDocumented ensures that docs/cli.md names every command and
// every flag, and no command that does not exist.
func TestCommandsAreDocumented(t *testing.T) {
	text := pages(t)["../../docs/cli.md"]
	p := &program{env: func(string) string { return "" }, stdout: io.Discard, stderr: io.Discard}
	root := p.root()
	root.InitDefaultCompletionCmd()
	flags := func(command, usages string) {
		for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[\w-]+)`).FindAllStringSubmatch(usages, -1) {
			if m[1] != "--help" && m[1] != "--version" && !strings.Contains(text, "`"+m[1]) && !strings.Contains(text, m[1]+"`") {
				t.Errorf("%s %s is missing", command, m[1])
			}
		}
	}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() && !c.HasSubCommands() && c.Parent().Name() != "completion" {
			name := regexp.MustCompile("`" + c.CommandPath() + "[ `]")
			if !name.MatchString(text) {
				t.Errorf("%s is missing", c.CommandPath())
			}
			flags(c.CommandPath(), c.NonInheritedFlags().FlagUsages())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	flags(root.Name(), root.PersistentFlags().FlagUsages())
	for _, m := range regexp.MustCompile("`rolegate ([a-z][a-z ]*)").FindAllStringSubmatch(text, -1) {
		if c, _, err := root.Find(strings.Fields(m[1])); err != nil || c == root {
			t.Errorf("rolegate %s does not exist", m[1])
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#: ]+)(#[^)]*)?\)`)

// TestLinksLeadSomewhere ensures that relative links name files that exist.
func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		for _, m := range link.FindAllStringSubmatch(all[path], -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}
