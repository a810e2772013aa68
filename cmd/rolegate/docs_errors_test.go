package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// said is a sentence for people in the source.
type said struct {
	where, text string
	code        broker.Code // "" if the source does not say it in the same place
}

// apart lists what speaks to nobody who reads docs/errors.md: the sandbox, and
// tests that live in packages.
var apart = []string{"broker/sandbox", "internal/demo", "internal/e2e", "internal/formbrowser", "testdata", "storetest", "brokertest"}

var verb = regexp.MustCompile(`%(\.\d+)?[a-z]`)

// sentences finds the public messages of the source: the first argument after
// the code of Errorf, the field Message of an Error, the field message of a
// verdict on AWS's answers, and the variables and parameters of that name that
// are handed on.
func sentences(t *testing.T) []said {
	t.Helper()
	var out []said
	add := func(fset *token.FileSet, e ast.Expr, code broker.Code) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		if text = verb.ReplaceAllString(text, "…"); text != "…" && text != "" {
			out = append(out, said{fset.Position(lit.Pos()).String(), text, code})
		}
	}
	for _, root := range []string{"../../broker", "."} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			slashed := filepath.ToSlash(path)
			if slices.ContainsFunc(apart, func(a string) bool { return strings.Contains(slashed, a) }) || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") {
				return nil
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					switch name(n.Fun) {
					case "Errorf":
						if len(n.Args) > 1 && codes[name(n.Args[0])] != "" {
							add(fset, n.Args[1], codes[name(n.Args[0])])
						}
					case "bad": // the store's address
						if strings.HasSuffix(slashed, "sqlstore/postgres.go") && len(n.Args) == 1 {
							add(fset, n.Args[0], broker.CodeInvalid)
						}
					}
				case *ast.CompositeLit:
					fields := map[string]ast.Expr{}
					for _, e := range n.Elts {
						if kv, ok := e.(*ast.KeyValueExpr); ok {
							fields[name(kv.Key)] = kv.Value
						}
					}
					if code := codes[name(fields["Code"])]; code != "" {
						add(fset, fields["Message"], code)
					}
					if code := codes[name(fields["result"])]; code != "" {
						add(fset, fields["message"], code)
					}
				case *ast.AssignStmt:
					for i, left := range n.Lhs {
						if n.Tok == token.ADD_ASSIGN || i >= len(n.Rhs) || name(left) != "message" && name(left) != "Message" && name(left) != "problem" {
							continue
						}
						switch right := n.Rhs[i].(type) {
						case *ast.BinaryExpr: // the text, and a name in it
							add(fset, joined(right), "")
						case *ast.CallExpr: // fmt.Sprintf
							if len(right.Args) > 0 {
								add(fset, right.Args[0], "")
							}
						default:
							add(fset, right, "")
						}
					}
				case *ast.ValueSpec:
					for i, left := range n.Names {
						if left.Name == "noContext" {
							add(fset, n.Values[i], broker.CodeUnauthenticated)
						}
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(out) < 150 {
		t.Fatalf("only %d sentences found in the source", len(out))
	}
	return out
}

// joined is the literals of a sum, with "…" for what is between them.
func joined(e ast.Expr) ast.Expr {
	sum, ok := e.(*ast.BinaryExpr)
	if !ok {
		return e
	}
	text := ""
	for _, side := range []ast.Expr{joined(sum.X), sum.Y} {
		part := "…"
		if lit, ok := side.(*ast.BasicLit); ok {
			part, _ = strconv.Unquote(lit.Value) // of a file that parses
		}
		text += part
	}
	return &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(text), ValuePos: e.Pos()}
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// codes is every code by its name in the source.
var codes = map[string]broker.Code{
	"CodeInvalid": broker.CodeInvalid, "CodeUnauthenticated": broker.CodeUnauthenticated, "CodeDenied": broker.CodeDenied, "CodeStepUp": broker.CodeStepUp,
	"CodeNotFound": broker.CodeNotFound, "CodeConflict": broker.CodeConflict, "CodeRateLimited": broker.CodeRateLimited, "CodePending": broker.CodePending,
	"CodeSlowDown": broker.CodeSlowDown, "CodeUnavailable": broker.CodeUnavailable, "CodeInternal": broker.CodeInternal,
}

// documented reads the tables of docs/errors.md whose first column is "message":
// each message with the codes of the sections that have it, "" for a section
// that is about no code.
func documented(t *testing.T) map[string][]broker.Code {
	t.Helper()
	out := map[string][]broker.Code{}
	codeOf := regexp.MustCompile("`([a-z_]+)`")
	var here []broker.Code
	inTable := false
	for line := range strings.Lines(pages(t)["../../docs/errors.md"]) {
		cell, _, row := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		switch {
		case strings.HasPrefix(line, "## "):
			here, inTable = []broker.Code{""}, false
		case strings.HasPrefix(line, "Code"):
			here = nil
			for _, m := range codeOf.FindAllStringSubmatch(line, -1) {
				here = append(here, broker.Code(m[1]))
			}
		case strings.HasPrefix(line, "| message |"):
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case inTable && row && !strings.HasPrefix(line, "|---"):
			out[cell] = append(out[cell], here...)
		}
	}
	return out
}

// TestErrorsAreDocumented ensures that docs/errors.md has every public message
// of the source under the heading of its code, and no message that is not in
// the source.
func TestErrorsAreDocumented(t *testing.T) {
	rows := documented(t)
	used := map[string]bool{}
	for _, s := range sentences(t) {
		text := strings.TrimSpace(s.text)
		found, ok := rows[text]
		switch {
		case !ok:
			t.Errorf("%s: %q (%s) is not in docs/errors.md", s.where, text, s.code)
		case s.code != "" && !slices.Contains(found, s.code):
			t.Errorf("%s: %q is in docs/errors.md, but not under the code %s", s.where, text, s.code)
		}
		used[text] = true
	}
	for row := range rows {
		if !used[row] {
			t.Errorf("docs/errors.md has %q, which is not in the source", row)
		}
	}
}

var codeRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| \\[([^\\]]+)\\]\\([^)]+\\) \\| (\\d+)[^|]* \\| (\\d)")

// TestCodesAreDocumented ensures that the table of codes in docs/errors.md has
// each code with the exit code that the program ends with, and the title and
// status of its page.
func TestCodesAreDocumented(t *testing.T) {
	text := pages(t)["../../docs/errors.md"]
	titles := pageTitles(t)
	rows := map[broker.Code][]string{}
	for _, m := range codeRow.FindAllStringSubmatch(text, -1) {
		rows[broker.Code(m[1])] = m[2:]
	}
	if len(rows) != len(codes) || len(titles) != len(codes) {
		t.Errorf("%d codes, %d rows, %d titles", len(codes), len(rows), len(titles))
	}
	for constant, code := range codes {
		row, title := rows[code], titles[constant]
		if len(row) != 3 || len(title) != 2 {
			t.Errorf("%s: the row is %q, the title %q", code, row, title)
			continue
		}
		if row[0] != title[1] || httpStatus[title[0]] != row[1] {
			t.Errorf("%s: the page says %s %q, docs/errors.md %s %q", code, title[0], title[1], row[1], row[0])
		}
		if exit := fmt.Sprint(exitCode(broker.Errorf(code, "x"))); exit != row[2] {
			t.Errorf("%s: the program ends with %s, docs/errors.md says %s", code, exit, row[2])
		}
		heading := regexp.MustCompile(`(?mi)^## ` + regexp.QuoteMeta(title[1]) + `$|\*\*` + strings.ReplaceAll(regexp.QuoteMeta(title[1]), " ", `\s`) + `\*\*`)
		if !heading.MatchString(text) {
			t.Errorf("%s: no section %q", code, title[1])
		}
	}
	for _, page := range []string{"That was too much", "That does not work here", "Signing in did not work", "Signing out did not work"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), "**"+page+"**") {
			t.Errorf("the page %q is missing", page)
		}
	}
}

var httpStatus = map[string]string{
	"StatusBadRequest": "400", "StatusUnauthorized": "401", "StatusForbidden": "403", "StatusNotFound": "404", "StatusConflict": "409",
	"StatusTooManyRequests": "429", "StatusServiceUnavailable": "503", "StatusInternalServerError": "500",
}

// pageTitles reads the table of package web: the name of a code to the name of
// its status and its title.
func pageTitles(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../broker/web/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok || codes[name(kv.Key)] == "" {
			return true
		}
		row, ok := kv.Value.(*ast.CompositeLit)
		if !ok || len(row.Elts) != 2 {
			return true
		}
		if lit, ok := row.Elts[1].(*ast.BasicLit); ok {
			title, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out[name(kv.Key)] = []string{name(row.Elts[0]), title}
		}
		return true
	})
	return out
}
