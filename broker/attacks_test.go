package broker_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	attackTest  = regexp.MustCompile("`([a-z/]+) (Test[A-Za-z0-9]+)`([^`|]*)")
	attackRow   = regexp.MustCompile(`"([^"]+)"`)
	attackTitle = regexp.MustCompile(`(?m)^### (.*)$`)
)

// declared is what one test function holds: every string that can be the name
// of a row, and the functions that it calls by their name.
type declared struct {
	texts map[string]bool
	calls []string
}

// testFunctions returns the functions in the test files of a package.
func testFunctions(t *testing.T, dir string) map[string]declared {
	t.Helper()
	out := map[string]declared{}
	files, err := filepath.Glob(filepath.Join("..", dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", dir, err)
	}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil {
				continue
			}
			one := declared{texts: map[string]bool{}}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
						one.texts[s] = true
					}
				case *ast.CallExpr:
					if id, ok := n.Fun.(*ast.Ident); ok {
						one.calls = append(one.calls, id.Name)
					}
				}
				return true
			})
			out[fn.Name.Name] = one
		}
	}
	return out
}

// holds reports whether the function, or one that it calls itself for its rows,
// holds the text.
func holds(all map[string]declared, name, text string) bool {
	if all[name].texts[text] {
		return true
	}
	for _, called := range all[name].calls {
		if all[called].texts[text] {
			return true
		}
	}
	return false
}

// TestAttackTable ensures that every test and every row that docs/security.md
// names exists, that none is named twice for one attack, and that its counts
// are those of the table.
func TestAttackTable(t *testing.T) {
	b, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, doc, found := strings.Cut(string(b), "\n## Attacks that are tested\n")
	if !found {
		t.Fatal("no section of attacks")
	}
	if end := strings.Index(doc, "\n## "); end >= 0 {
		doc = doc[:end]
	}
	packages := map[string]map[string]declared{}
	counts := map[string][2]int{} // title to lines of the table, and tests named
	titles := attackTitle.FindAllStringSubmatchIndex(doc, -1)
	for i, at := range titles {
		end := len(doc)
		if i+1 < len(titles) {
			end = titles[i+1][0]
		}
		title, lines := doc[at[2]:at[3]], 0
		distinct := map[string]bool{}
		for line := range strings.Lines(doc[at[1]:end]) {
			if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| test |") {
				continue
			}
			lines++
			named := attackTest.FindAllStringSubmatch(line, -1)
			if len(named) == 0 {
				t.Errorf("no test in %s", line)
			}
			seen := map[string]bool{}
			for _, m := range named {
				all, ok := packages[m[1]]
				if !ok {
					all = testFunctions(t, m[1])
					packages[m[1]] = all
				}
				if _, ok := all[m[2]]; !ok {
					t.Errorf("%s has no %s", m[1], m[2])
				}
				rows := attackRow.FindAllStringSubmatch(m[3], -1)
				if len(rows) == 0 {
					rows = [][]string{{"", ""}}
				}
				for _, r := range rows {
					key := m[1] + " " + m[2] + " " + r[1]
					if seen[key] {
						t.Errorf("%s twice in %s", key, line)
					}
					seen[key], distinct[key] = true, true
					if r[1] != "" && !holds(all, m[2], r[1]) {
						t.Errorf("%s %s has no row %q", m[1], m[2], r[1])
					}
				}
			}
		}
		counts[title] = [2]int{lines, len(distinct)}
	}
	for title, floor := range map[string]int{"SAML": 45, "OpenID Connect": 25, "Logout": 40, "The store": 20, "What must pass": 10} {
		if counts[title][1] < floor {
			t.Errorf("%s: %d tests, at least %d are wanted", title, counts[title][1], floor)
		}
	}
	want := fmt.Sprintf("%d attacks on SAML in %d tests, %d on OpenID Connect in %d, %d on logout in\n%d, %d on the store in %d, and %d legal varieties in %d.",
		counts["SAML"][0], counts["SAML"][1], counts["OpenID Connect"][0], counts["OpenID Connect"][1], counts["Logout"][0], counts["Logout"][1],
		counts["The store"][0], counts["The store"][1],
		counts["What must pass"][0], counts["What must pass"][1])
	if !strings.Contains(doc, want) {
		t.Errorf("the counts are: %s", want)
	}
}

var (
	securityRow   = regexp.MustCompile(`^\| [0-9][0-9., to]* \| ([^|]*) \| `)
	securityState = map[string]bool{"met": true, "partly": true, "not met": true, "not yet": true, "n/a": true}
)

// TestSecurityDocument ensures that every test and row that docs/security.md
// names outside of its table of attacks exists, that every file exists, and
// that what is not built says what it waits for.
func TestSecurityDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, _, found := strings.Cut(string(b), "\n## Attacks that are tested\n")
	if !found {
		t.Fatal("no section of attacks")
	}
	packages := map[string]map[string]declared{}
	named, items := 0, 0
	for line := range strings.Lines(doc) {
		for _, m := range attackTest.FindAllStringSubmatch(line, -1) {
			named++
			if packages[m[1]] == nil {
				packages[m[1]] = testFunctions(t, m[1])
			}
			if _, ok := packages[m[1]][m[2]]; !ok {
				t.Errorf("%s has no %s", m[1], m[2])
			}
			for _, r := range attackRow.FindAllStringSubmatch(m[3], -1) {
				if !holds(packages[m[1]], m[2], r[1]) {
					t.Errorf("%s %s has no row %q", m[1], m[2], r[1])
				}
			}
		}
		for _, m := range documentPath.FindAllStringSubmatch(line, -1) {
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%v in %s", err, line)
			}
		}
		if strings.Contains(line, "not yet |") && !strings.Contains(line, "<!-- pending: ") {
			t.Errorf("nothing is said to be pending in %s", line)
		}
		if m := securityRow.FindStringSubmatch(line); m != nil {
			items++
			if !securityState[m[1]] {
				t.Errorf("state %q in %s", m[1], line)
			}
			if m[1] == "met" && !strings.Contains(line, "Test") && !strings.Contains(line, "by reading") && !strings.Contains(line, "no accounts of our own") {
				t.Errorf("met without a test: %s", line)
			}
		}
	}
	if named < 100 || items < 50 {
		t.Errorf("%d tests named for %d items of the ASVS: too few were looked at", named, items)
	}
}

var documentPath = regexp.MustCompile("`((?:broker|cmd)/[a-z0-9/]+(?:\\.go)?)`")
