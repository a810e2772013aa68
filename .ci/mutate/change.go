package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// change makes one mutant: what stands at n is wrapped. The texts get the
// mutant's number for each verb.
func (s *searcher) change(n ast.Node, condition, change, before, after string) {
	k := key{s.name, s.decl, condition, change}
	s.twice[k]++
	if nth := s.twice[k]; nth > 1 {
		k.Condition = fmt.Sprintf("%s #%d", condition, nth)
	}
	m := &mutant{key: k, id: len(s.mutants) + 1, at: s.place(n)}
	s.mutants = append(s.mutants, m)
	edits := s.edits[s.path]
	if edits == nil {
		edits = &fileEdits{}
		s.edits[s.path] = edits
	}
	from, to := s.offsets(n)
	edits.wrap(from, to, numbered(before, m.id), after)
}

func numbered(text string, id int) string {
	var args []any
	for i := range len(text) - 1 {
		if text[i] == '%' && text[i+1] == 'd' {
			args = append(args, id)
		}
	}
	return fmt.Sprintf(text, args...)
}

func (s *searcher) never(e ast.Expr, condition string) {
	if s.isBool(e) {
		s.change(e, condition, "never", "mutateNever__(%d, ", ")")
	}
}

func (s *searcher) always(e ast.Expr, condition string) {
	if s.isBool(e) {
		s.change(e, condition, "always", "mutateAlways__(%d, ", ")")
	}
}

// operands changes what stands inside a condition.
func (s *searcher) operands(e ast.Expr, condition string) {
	switch e := ast.Unparen(e).(type) {
	case *ast.UnaryExpr:
		if e.Op == token.NOT {
			s.operands(e.X, condition)
		}
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			s.border(e, condition)
			return
		}
		for _, side := range []ast.Expr{e.X, e.Y} {
			s.operand(side, e.Op, condition)
		}
	}
}

// operand changes one side of && or ||. A side of the same operator is no
// operand but holds some.
func (s *searcher) operand(side ast.Expr, op token.Token, condition string) {
	b, binary := ast.Unparen(side).(*ast.BinaryExpr)
	if binary && b.Op == op {
		s.operands(side, condition)
		return
	}
	if s.isBool(side) && !s.isPlumbing(s.pkg, s.scope, side) {
		drop := "drop " + s.text(side)
		if op == token.LAND {
			s.change(side, condition, drop, "mutateAlways__(%d, ", ")")
		} else {
			s.change(side, condition, drop, "mutateNever__(%d, ", ")")
		}
		if binary && comparison[b.Op] {
			s.change(side, condition, "negate "+s.text(side), "mutateNegate__(%d, ", ")")
		}
	}
	s.operands(side, condition)
}

var comparison = map[token.Token]bool{
	token.EQL: true, token.NEQ: true, token.LSS: true, token.LEQ: true, token.GTR: true, token.GEQ: true,
}

// borders says which comparison differs in what is equal.
var borders = map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}

func (s *searcher) border(e *ast.BinaryExpr, condition string) {
	other, ok := borders[e.Op]
	if !ok {
		return
	}
	// The comparison is written twice. Where its operands call something, only
	// one of the two is made, and whether they differ is not known.
	x, _ := s.offsets(e.X)
	_, y := s.offsets(e.Y)
	op := s.pkg.Fset.File(e.Pos()).Offset(e.OpPos)
	moved := escaped(string(s.src[x:op])) + other + escaped(string(s.src[op+len(e.Op.String()):y]))
	moved = oneLine(moved)
	if s.calls(e) {
		s.change(e, condition, "border "+s.text(e), "(mutate__(%d, true) && ("+moved+") || !mutate__(%d, true) && (", "))")
		return
	}
	s.change(e, condition, "border "+s.text(e), "mutateBorder__(%d, "+moved+", ", ")")
}

// calls says whether e calls anything but len and the like, or converts.
func (s *searcher) calls(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			t := s.pkg.TypesInfo.Types[c.Fun]
			found = found || !t.IsBuiltin() && !t.IsType()
		}
		return !found
	})
	return found
}

func escaped(text string) string {
	var out []byte
	for i := range len(text) {
		if text[i] == '%' {
			out = append(out, '%')
		}
		out = append(out, text[i])
	}
	return string(out)
}

// oneLine is safe for what stands on several lines, too, as those break after
// an operator or a bracket only; comments within make the build fail, loudly.
func oneLine(text string) string {
	out := []byte(text)
	for i, c := range out {
		if c == '\n' {
			out[i] = ' '
		}
	}
	return string(out)
}

// skip changes the value that a case of a switch stands for. Constants need
// their type spelled; where the file cannot, the case is left alone.
func (s *searcher) skip(tag, value ast.Expr, condition string) {
	t := s.pkg.TypesInfo.TypeOf(tag)
	if types.IsInterface(t) {
		return
	}
	known := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == s.pkg.Types {
			return ""
		}
		n, ok := s.imports[p.Path()]
		known = known && ok && n != "_" && n != "."
		return n
	})
	if known {
		s.change(value, condition, "skip "+s.text(value), "mutateOther__[("+escaped(name)+")](%d, ", ")")
	}
}

// pass takes the refusal out of a return.
func (s *searcher) pass(ret *ast.ReturnStmt, condition string) {
	if len(ret.Results) != len(s.scope.results) {
		return // of a literal, which has its own
	}
	e := ret.Results[len(ret.Results)-1]
	t := s.scope.results[len(s.scope.results)-1]
	switch {
	case types.Identical(t, types.Universe.Lookup("error").Type()):
		s.change(e, condition, "pass", "mutateErr__(%d, ", ")")
	case t == types.Typ[types.Bool] && isLiteral(e):
		s.change(e, condition, "pass", "mutateAlways__(%d, ", ")")
	}
}
