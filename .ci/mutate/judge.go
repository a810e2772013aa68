package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/packages"
	"golang.org/x/tools/go/types/typeutil"
)

// verdict is what a body does with what came to it.
type verdict int

const (
	neither verdict = iota
	refusal
	acceptance
	guard // a refusal stands further inside
)

// judge says what refuses and what is plumbing, over all packages at hand.
type judge struct {
	module string
	decls  map[*types.Func]declared
	known  map[*types.Func]bool // can it refuse?
}

type declared struct {
	pkg *packages.Package
	fn  *ast.FuncDecl
}

func newJudge(pkgs []*packages.Package) *judge {
	j := &judge{decls: map[*types.Func]declared{}, known: map[*types.Func]bool{}}
	for _, p := range pkgs {
		if p.Module != nil {
			j.module = p.Module.Path
		}
		for _, f := range p.Syntax {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					if obj, ok := p.TypesInfo.Defs[fn.Name].(*types.Func); ok {
						j.decls[obj] = declared{p, fn}
					}
				}
			}
		}
	}
	return j
}

var errorType = types.Universe.Lookup("error").Type().Underlying().(*types.Interface)

func isError(t types.Type) bool { return t != nil && types.Implements(t, errorType) }

// verdict is of a list of statements: what the last does, or the others.
func (j *judge) verdict(p *packages.Package, sc scope, list []ast.Stmt) verdict {
	if len(list) == 0 {
		return neither
	}
	switch last := list[len(list)-1].(type) {
	case *ast.ReturnStmt:
		if v := j.returns(p, sc, last); v == refusal || v == acceptance && (sc.refuses) {
			return v
		}
		// A handler that answers and leaves.
		if len(sc.results) == 0 && len(list) > 1 {
			return refusal
		}
	case *ast.BranchStmt:
		if last.Tok == token.CONTINUE {
			return refusal
		}
	}
	for _, st := range list {
		if v := j.notes(p, sc, st); v != neither {
			return v
		}
	}
	if j.holdsRefusal(p, sc, &ast.BlockStmt{List: list}) {
		return guard
	}
	return neither
}

// returns is what a return does: by its error, else by its truth value, else
// by whether it returns nothing.
func (j *judge) returns(p *packages.Package, sc scope, ret *ast.ReturnStmt) verdict {
	if len(ret.Results) == 1 && len(sc.results) > 1 {
		return j.handsOver(p, sc, ret.Results[0])
	}
	if len(ret.Results) == 0 || len(ret.Results) != len(sc.results) {
		return neither
	}
	e, t := ast.Unparen(ret.Results[len(ret.Results)-1]), sc.results[len(sc.results)-1]
	name := ""
	if id, ok := e.(*ast.Ident); ok {
		name = id.Name
	}
	switch {
	case isError(t):
		if name == "nil" {
			return acceptance
		}
		if j.fromPlumbing(p, sc, e) {
			return neither
		}
		return refusal
	case t == types.Typ[types.Bool]:
		switch name {
		case "true":
			return acceptance
		case "false":
			return refusal
		}
	case len(sc.results) == 1 && name == "nil":
		return refusal
	case len(sc.results) == 1:
		if lit, ok := e.(*ast.BasicLit); ok && lit.Value == `""` {
			return refusal
		}
	}
	return neither
}

// handsOver is what a return does that leaves all results to a literal which it
// calls by its name, as fail(err) does: what that does at its end.
func (j *judge) handsOver(p *packages.Package, sc scope, e ast.Expr) verdict {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return neither
	}
	id, ok := call.Fun.(*ast.Ident)
	if !ok {
		return neither
	}
	lit, ok := j.assigned(p, sc, id).(*ast.FuncLit)
	if !ok || len(lit.Body.List) == 0 {
		return neither
	}
	ret, ok := lit.Body.List[len(lit.Body.List)-1].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != len(sc.results) {
		return neither
	}
	return j.returns(p, sc, ret)
}

// fromPlumbing: an error that is returned as it came.
func (j *judge) fromPlumbing(p *packages.Package, sc scope, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		call := j.callOf(p, sc, e)
		return call != nil && !j.isCheck(p, call)
	case *ast.CallExpr:
		f := typeutil.StaticCallee(p.TypesInfo, e)
		return f != nil && f.Pkg() != nil && !j.own(f) && !makesErrors(f) && !j.isCheck(p, e)
	}
	return false
}

func makesErrors(f *types.Func) bool {
	return f.Pkg().Path() == "errors" || f.FullName() == "fmt.Errorf"
}

func (j *judge) own(f *types.Func) bool {
	return f.Pkg() != nil && (f.Pkg().Path() == j.module || strings.HasPrefix(f.Pkg().Path(), j.module+"/"))
}

// notes is what a statement keeps for later: what it assigns, or what the
// literal does that it calls by its name.
func (j *judge) notes(p *packages.Package, sc scope, st ast.Stmt) verdict {
	e, ok := st.(*ast.ExprStmt)
	if !ok {
		return j.assigns(p, st)
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok {
		return neither
	}
	id, ok := call.Fun.(*ast.Ident)
	if !ok {
		return neither
	}
	if lit, ok := j.assigned(p, sc, id).(*ast.FuncLit); ok {
		for _, inner := range lit.Body.List {
			if v := j.assigns(p, inner); v != neither {
				return v
			}
		}
	}
	return neither
}

// assigns is what a statement notes: an error, one more error, or a truth.
func (j *judge) assigns(p *packages.Package, st ast.Stmt) verdict {
	a, ok := st.(*ast.AssignStmt)
	if !ok || len(a.Lhs) != len(a.Rhs) {
		return neither
	}
	for i, left := range a.Lhs {
		t := p.TypesInfo.TypeOf(left)
		right := ast.Unparen(a.Rhs[i])
		id, _ := right.(*ast.Ident)
		call, _ := right.(*ast.CallExpr)
		switch {
		case t == nil || a.Tok == token.DEFINE:
		case isError(t) && call != nil:
			return refusal
		case t == types.Typ[types.Bool] && id != nil && id.Name == "true":
			return acceptance
		case t == types.Typ[types.Bool] && id != nil && id.Name == "false":
			return refusal
		default:
			if s, ok := t.Underlying().(*types.Slice); ok && isError(s.Elem()) && call != nil {
				return refusal
			}
		}
	}
	return neither
}

// holdsRefusal says whether a refusal stands somewhere in the block: a return
// that refuses, but not where the only condition is plumbing.
func (j *judge) holdsRefusal(p *packages.Package, sc scope, block *ast.BlockStmt) bool {
	found := false
	ast.Inspect(block, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.IfStmt:
			if j.isPlumbing(p, sc, n.Cond) {
				if n.Else != nil {
					found = found || j.holdsRefusal(p, sc, &ast.BlockStmt{List: []ast.Stmt{n.Else}})
				}
				return false
			}
		case *ast.ReturnStmt:
			if j.returns(p, sc, n) == refusal {
				found = true
			} else if len(n.Results) == len(sc.results) {
				for i, e := range n.Results {
					found = found || sc.results[i] == types.Typ[types.Bool] && !isLiteral(e)
				}
			}
		case ast.Stmt:
			found = found || j.notes(p, sc, n) == refusal
		}
		return !found
	})
	return found
}

// isPlumbing: the condition is only that an error which no check made came
// along.
func (j *judge) isPlumbing(p *packages.Package, sc scope, cond ast.Expr) bool {
	call, ok := j.errorOf(p, sc, cond)
	return ok && call != nil && !j.isCheck(p, call)
}

// origin is the statement or call that made the error of a condition X != nil
// or X == nil, for the key: "err != nil" alone says nothing.
func (j *judge) origin(p *packages.Package, sc scope, cond ast.Expr) ast.Node {
	call, ok := j.errorOf(p, sc, cond)
	if !ok || call == nil || call.Pos() >= cond.Pos() && call.End() <= cond.End() {
		return nil
	}
	return call
}

// errorOf returns the call that made the error which cond compares with nil;
// ok if cond is such a comparison.
func (j *judge) errorOf(p *packages.Package, sc scope, cond ast.Expr) (call *ast.CallExpr, ok bool) {
	b, isBinary := ast.Unparen(cond).(*ast.BinaryExpr)
	if !isBinary || b.Op != token.NEQ && b.Op != token.EQL || !isError(p.TypesInfo.TypeOf(b.X)) {
		return nil, false
	}
	if id, isIdent := b.Y.(*ast.Ident); !isIdent || id.Name != "nil" {
		return nil, false
	}
	switch x := ast.Unparen(b.X).(type) {
	case *ast.CallExpr:
		return x, true
	case *ast.Ident:
		return j.callOf(p, sc, x), true
	}
	return nil, true
}

// callOf is the call whose result a variable has here; nil if it was something
// else.
func (j *judge) callOf(p *packages.Package, sc scope, use *ast.Ident) *ast.CallExpr {
	call, _ := j.assigned(p, sc, use).(*ast.CallExpr)
	return call
}

// assigned is what was assigned last, in the source, to a variable before it is
// used here.
func (j *judge) assigned(p *packages.Package, sc scope, use *ast.Ident) ast.Expr {
	obj := p.TypesInfo.Uses[use]
	if obj == nil || sc.enclosed == nil {
		return nil
	}
	var last ast.Expr
	ast.Inspect(sc.enclosed, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || a.Pos() >= use.Pos() {
			return true
		}
		for i, left := range a.Lhs {
			id, ok := left.(*ast.Ident)
			if !ok || p.TypesInfo.ObjectOf(id) != obj {
				continue
			}
			if len(a.Lhs) == len(a.Rhs) {
				last = a.Rhs[i]
			} else {
				last = a.Rhs[0]
			}
		}
		return true
	})
	return last
}

// checking are how names of functions begin that judge what they are given;
// the last of them are of XML, YAML and passkey libraries.
var checking = []string{"verify", "valid", "check", "parse", "decode", "decrypt", "open", "unmarshal", "match", "compare", "authenticate",
	"queryunescape", "readfrombytes", "rawtoken", "load", "createcredential"}

// moving are how names of functions begin that only store or send.
var moving = []string{"save", "put", "write", "delete", "store", "insert", "update", "set", "close", "flush", "encode", "send", "publish",
	"marshal", "render", "execute", "copy", "sync", "begin", "commit", "rollback", "ping", "shutdown"}

// outside are the packages whose errors speak of the world, whatever the name.
var outside = map[string]bool{"os": true, "io": true, "net": true, "net/http": true, "database/sql": true, "path/filepath": true, "bufio": true}

func startsWith(name string, prefixes []string) bool {
	name = strings.ToLower(name)
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// isCheck says whether an error of this call is the verdict of a check.
func (j *judge) isCheck(p *packages.Package, call *ast.CallExpr) bool {
	f, ok := typeutil.Callee(p.TypesInfo, call).(*types.Func)
	if !ok || f.Pkg() == nil {
		return true // a function value: who knows
	}
	f = f.Origin()
	if d, ok := j.decls[f]; ok {
		return j.canRefuse(f, d)
	}
	if j.own(f) {
		only := f.Signature().Results().Len() == 1
		return startsWith(f.Name(), checking) || only && !startsWith(f.Name(), moving)
	}
	return startsWith(f.Name(), checking) && !outside[f.Pkg().Path()]
}

func (j *judge) canRefuse(f *types.Func, d declared) bool {
	if v, ok := j.known[f]; ok {
		return v
	}
	j.known[f] = false // what calls itself does not refuse by that
	sc := scope{body: d.fn.Body, enclosed: d.fn}
	for v := range f.Signature().Results().Variables() {
		sc.results = append(sc.results, v.Type())
	}
	j.known[f] = j.holdsRefusal(d.pkg, sc, d.fn.Body)
	return j.known[f]
}
