package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

// mutant is one change of one condition.
type mutant struct {
	key
	id   int
	at   string // FILE:LINE below the root
	fate fate
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s: %s: %s: %s", m.at, m.Func, m.Condition, m.Change)
}

// findings is what the packages hold.
type findings struct {
	packages []string // below the root
	mutants  []*mutant
	plumbing []string
	edits    map[string]*fileEdits // by path
}

// load reads the packages with their types, without their tests.
func load(ctx context.Context, root string, patterns []string) ([]*packages.Package, error) {
	pkgs, err := packages.Load(&packages.Config{
		Context: ctx, Dir: root,
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo |
			packages.NeedImports | packages.NeedCompiledGoFiles | packages.NeedModule,
	}, patterns...)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, p := range pkgs {
		for _, e := range p.Errors {
			errs = append(errs, e)
		}
	}
	return pkgs, errors.Join(errs...)
}

// find looks for the conditions of all packages.
func find(pkgs []*packages.Package, root string) *findings {
	found := &findings{edits: map[string]*fileEdits{}}
	judge := newJudge(pkgs)
	for _, p := range pkgs {
		if len(p.GoFiles) == 0 {
			continue
		}
		name, err := filepath.Rel(root, filepath.Dir(p.GoFiles[0]))
		if err != nil {
			name = p.PkgPath
		}
		name = filepath.ToSlash(name)
		found.packages = append(found.packages, name)
		s := &searcher{findings: found, judge: judge, pkg: p, name: name, root: root, twice: map[key]int{}}
		for _, file := range p.Syntax {
			s.file(file)
		}
	}
	return found
}

// searcher goes through the files of one package.
type searcher struct {
	*findings
	*judge
	pkg        *packages.Package
	name, root string
	twice      map[key]int

	path    string
	src     []byte
	imports map[string]string // path to name, of the file
	decl    string            // the function at hand, as the key has it
	scope   scope
}

// scope is a function or function literal.
type scope struct {
	results  []types.Type
	body     *ast.BlockStmt
	refuses  bool // it can
	enclosed ast.Node
}

func (s *searcher) file(f *ast.File) {
	tf := s.pkg.Fset.File(f.Pos())
	s.path = tf.Name()
	src, err := os.ReadFile(s.path)
	if err != nil {
		return
	}
	s.src, s.imports = src, map[string]string{}
	for _, i := range f.Imports {
		if obj := s.pkg.TypesInfo.PkgNameOf(i); obj != nil {
			s.imports[obj.Imported().Path()] = obj.Name()
		}
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			s.decl = funcName(fn)
			s.function(s.pkg.TypesInfo.Defs[fn.Name].Type(), fn.Body, fn)
		}
	}
}

// funcName is NAME or RECEIVER.NAME.
func funcName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	var b bytes.Buffer
	_ = printer.Fprint(&b, token.NewFileSet(), t) // a buffer does not fail
	return b.String() + "." + fn.Name.Name
}

func (s *searcher) function(t types.Type, body *ast.BlockStmt, decl ast.Node) {
	outer := s.scope
	defer func() { s.scope = outer }()
	sc := scope{body: body, enclosed: decl}
	if sig, ok := t.Underlying().(*types.Signature); ok {
		for v := range sig.Results().Variables() {
			sc.results = append(sc.results, v.Type())
		}
	}
	if outer.enclosed != nil {
		sc.enclosed = outer.enclosed // a literal sees the variables around it
	}
	s.scope = sc
	s.scope.refuses = s.holdsRefusal(s.pkg, s.scope, body)
	ast.Inspect(body, s.node)
	s.last(body)
}

// node is called for every node in the order of the source, so that outer
// edits are made before inner ones.
func (s *searcher) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncLit:
		s.function(s.pkg.TypesInfo.TypeOf(n), n.Body, n)
		return false
	case *ast.IfStmt:
		s.ifStmt(n)
	case *ast.SwitchStmt:
		s.switchStmt(n)
	case *ast.TypeSwitchStmt:
		for _, c := range n.Body.List {
			s.passClause(c.(*ast.CaseClause), s.caseOf(c.(*ast.CaseClause)))
		}
	case *ast.ReturnStmt:
		s.truth(n)
	case *ast.AssignStmt:
		if s.scope.refuses {
			for i, e := range n.Rhs {
				if len(n.Lhs) == len(n.Rhs) && s.isOperator(e) {
					s.both(e, s.text(n.Lhs[i])+" "+n.Tok.String()+" "+s.text(e))
				}
			}
		}
	}
	return true
}

func (s *searcher) ifStmt(n *ast.IfStmt) {
	condition := s.text(n.Cond)
	if call := s.origin(s.pkg, s.scope, n.Cond); call != nil {
		condition = s.text(call) + "; " + condition
	}
	if s.isPlumbing(s.pkg, s.scope, n.Cond) {
		s.plumbing = append(s.plumbing, fmt.Sprintf("%s: %s: %s", s.place(n), s.decl, condition))
		return
	}
	v := s.verdict(s.pkg, s.scope, n.Body.List)
	refuses := v == refusal || v == guard
	if els, ok := n.Else.(*ast.BlockStmt); ok && v != acceptance {
		if ev := s.verdict(s.pkg, s.scope, els.List); ev == refusal || ev == guard {
			v = acceptance
		}
	}
	if !refuses && v != acceptance {
		return
	}
	if refuses {
		s.never(n.Cond, condition)
	}
	if v == acceptance {
		s.always(n.Cond, condition)
	}
	s.operands(n.Cond, condition)
}

// switchStmt: in a switch where one case refuses, a case that does not is an
// exception to those after it, so it accepts.
func (s *searcher) switchStmt(n *ast.SwitchStmt) {
	verdicts := map[*ast.CaseClause]verdict{}
	some := false
	for _, c := range n.Body.List {
		c := c.(*ast.CaseClause)
		verdicts[c] = s.verdict(s.pkg, s.scope, c.Body)
		some = some || verdicts[c] == refusal || verdicts[c] == guard
	}
	for _, st := range n.Body.List {
		c := st.(*ast.CaseClause)
		v := verdicts[c]
		if c.List == nil {
			s.passClause(c, "default")
			continue
		}
		for _, e := range c.List {
			condition := "case " + s.text(e)
			switch {
			case n.Tag != nil && (v == refusal || v == guard):
				s.skip(n.Tag, e, s.text(n.Tag)+": "+condition)
			case n.Tag != nil:
			case s.isPlumbing(s.pkg, s.scope, e):
				s.plumbing = append(s.plumbing, fmt.Sprintf("%s: %s: %s", s.place(e), s.decl, condition))
			case v == refusal || v == guard:
				s.never(e, condition)
				s.operands(e, condition)
			case v == acceptance || some:
				s.always(e, condition)
				s.operands(e, condition)
			}
		}
	}
}

// passClause takes away the refusal at the end of a clause whose condition
// cannot be changed.
func (s *searcher) passClause(c *ast.CaseClause, condition string) {
	if len(c.Body) == 0 {
		return
	}
	if ret, ok := c.Body[len(c.Body)-1].(*ast.ReturnStmt); ok && s.returns(s.pkg, s.scope, ret) == refusal {
		s.pass(ret, condition+": "+s.text(ret))
	}
}

// last takes away the refusal, or the last check, at the end of a function.
func (s *searcher) last(body *ast.BlockStmt) {
	if len(body.List) == 0 {
		return
	}
	if ret, ok := body.List[len(body.List)-1].(*ast.ReturnStmt); ok && s.returns(s.pkg, s.scope, ret) == refusal {
		s.pass(ret, s.text(ret))
	}
}

// truth changes the truth values that a function returns.
func (s *searcher) truth(ret *ast.ReturnStmt) {
	for _, e := range ret.Results {
		if !isLiteral(e) && s.isBool(e) {
			s.both(e, "return "+s.text(e))
		}
	}
}

// both is for a truth value of which either side may be the refusing one.
func (s *searcher) both(e ast.Expr, condition string) {
	s.never(e, condition)
	s.always(e, condition)
	s.operands(e, condition)
}

func (s *searcher) isBool(e ast.Expr) bool {
	t := s.pkg.TypesInfo.TypeOf(e)
	return t == types.Typ[types.Bool] || t == types.Typ[types.UntypedBool]
}

func isLiteral(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && (id.Name == "true" || id.Name == "false" || id.Name == "nil")
}

func (s *searcher) isOperator(e ast.Expr) bool {
	if !s.isBool(e) {
		return false
	}
	switch e := ast.Unparen(e).(type) {
	case *ast.BinaryExpr:
		return true
	case *ast.UnaryExpr:
		return e.Op == token.NOT
	}
	return false
}

func (s *searcher) text(n ast.Node) string {
	from, to := s.offsets(n)
	return strings.Join(strings.Fields(string(s.src[from:to])), " ")
}

func (s *searcher) caseOf(c *ast.CaseClause) string {
	if c.List == nil {
		return "default"
	}
	var out []string
	for _, e := range c.List {
		out = append(out, s.text(e))
	}
	return "case " + strings.Join(out, ", ")
}

func (s *searcher) offsets(n ast.Node) (from, to int) {
	f := s.pkg.Fset.File(n.Pos())
	return f.Offset(n.Pos()), f.Offset(n.End())
}

func (s *searcher) place(n ast.Node) string {
	p := s.pkg.Fset.Position(n.Pos())
	if rel, err := filepath.Rel(s.root, p.Filename); err == nil {
		p.Filename = filepath.ToSlash(rel)
	}
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}
