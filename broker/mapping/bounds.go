package mapping

import (
	"context"
	"fmt"
	"regexp/syntax"
	"sync/atomic"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/rolegate/rolegate/broker"
)

// What a whole configuration may make of its text. A line of it is a few bytes
// and could stand for gigabytes.
const (
	maxPatternSize = 2_000      // of one pattern: instructions and ranges of characters
	maxRegexTotal  = 1_000_000  // of all patterns and regular expressions in conditions
	maxCovered     = 10_000_000 // accounts of all rules
	maxGrants      = 200_000    // of one rule at once, and of one person
)

// regexBudget is what is left for regular expressions. It is safe for
// concurrent use.
type regexBudget struct{ left atomic.Int64 }

func newRegexBudget() *regexBudget {
	b := &regexBudget{}
	b.left.Store(maxRegexTotal)
	return b
}

func (b *regexBudget) take(size int) error {
	if b.left.Add(-int64(size)) < 0 {
		return fmt.Errorf("the regular expressions of the configuration are too large together (%d instructions are allowed)", maxRegexTotal)
	}
	return nil
}

// regexSize is about how many instructions and ranges of characters a program
// for re has. It does not make the program.
func regexSize(re *syntax.Regexp) int {
	instructions, ranges := regexParts(re)
	return instructions + ranges
}

// regexParts is both; a repetition repeats instructions, which share their
// ranges.
func regexParts(re *syntax.Regexp) (instructions, ranges int) {
	const enough = 1 << 24 // no sum of such overflows
	instructions = 1
	for _, sub := range re.Sub {
		i, r := regexParts(sub)
		instructions, ranges = min(enough, instructions+i), ranges+r
	}
	switch re.Op {
	case syntax.OpLiteral:
		instructions += len(re.Rune)
	case syntax.OpCharClass:
		ranges += len(re.Rune) / 2
	case syntax.OpRepeat:
		instructions = min(enough, instructions*(max(re.Min, re.Max)+1))
	default:
	}
	return instructions, ranges
}

// parsePattern returns the parsed pattern, or why it cannot be one.
func parsePattern(pattern string) (*syntax.Regexp, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if n := regexSize(re); n > maxPatternSize {
		return nil, fmt.Errorf("is too large: about %d instructions, %d are allowed; repeat less, or use smaller classes of characters", n, maxPatternSize)
	}
	return re, nil
}

// regexLiterals is the size of all regular expressions in a condition.
func regexLiterals(root ast.Expr) int {
	size := 0
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return
		}
		for _, arg := range e.AsCall().Args() {
			if arg.Kind() != ast.LiteralKind {
				continue
			}
			if s, ok := arg.AsLiteral().(types.String); ok {
				if re, err := syntax.Parse(string(s), syntax.Perl); err == nil { // else it was refused before
					size += regexSize(re)
				}
			}
		}
	}))
	return size
}

// compiling reports the end of the context of a compilation.
func compiling(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("mapping: compilation ended: %w", err)
	}
	return nil
}

func tooManyGrants() error {
	return broker.Errorf(broker.CodeDenied, "The rules give you more than %d roles, which is more than can be listed.", maxGrants).
		Fix("Ask your administrator to name fewer accounts or roles in a rule.")
}
