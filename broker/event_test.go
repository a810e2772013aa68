package broker_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
)

// TestActionsAreListed ensures that administrators can choose every action, and
// that the documentation of events says what each is about.
func TestActionsAreListed(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Action") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if !slices.Contains(broker.Actions(), broker.Action(text)) {
			t.Errorf("%s is not in Actions", text)
		}
		if !strings.Contains(string(doc), "| `"+text+"` |") {
			t.Errorf("docs/operations.md does not say what %s is", text)
		}
		return true
	})
	if n < 20 || n != len(broker.Actions()) {
		t.Errorf("%d actions, %d listed", n, len(broker.Actions()))
	}
}
