package mapping

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// The largest input that expressions see. The worst-case cost of an expression
// is judged with these, so they are enforced: a person with more groups is
// refused, and a larger claim is not visible to expressions.
const (
	maxGroups = 10_000
	maxClaims = 1_000
	maxText   = 2_048 // bytes of one group or claim value
)

// Limits of one expression. Costs are in CEL units, some tens of nanoseconds
// each.
const (
	maxExprLength  = 4_096
	maxExprNodes   = 2_000
	maxExprDepth   = 50
	maxNesting     = 2 // comprehensions within comprehensions
	maxRegexSize   = 500
	maxStaticCost  = 1_000_000_000 // worst case over the largest input: a loop passes, a loop in a loop does not
	trackAboveCost = 200_000       // cheaper worst cases need no meter while they run
	maxRunCost     = 1_000_000     // of one metered expression
	maxTotalCost   = 10_000_000    // of all metered expressions for one identity
)

var (
	stringList  = cel.ListType(cel.StringType)
	stringsType = reflect.TypeFor[[]string]()
)

// identityFields are the fields of `identity`. They are declared one by one
// under their dotted names: that is the fastest form to evaluate.
var identityFields = []struct {
	name string
	typ  *cel.Type
}{
	{"subject", cel.StringType}, {"provider", cel.StringType}, {"username", cel.StringType}, {"email", cel.StringType},
	{"groups", stringList}, {"claims", cel.MapType(cel.StringType, stringList)}, {"mfa", cel.BoolType},
}

// envs are the three environments that expressions are compiled in.
type envs struct {
	claims, identity, rule *cel.Env
}

func newEnvs() (envs, error) {
	base, err := cel.NewEnv(
		ext.Strings(),
		cel.ParserExpressionSizeLimit(maxExprLength),
		cel.ExpressionNodeLimit(maxExprNodes),
		cel.ParserRecursionLimit(maxExprDepth),
		cel.RegexProgramSizeLimit(maxRegexSize),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(maxNesting)),
		// now carries the rule's time zone, and now.getHours() is to use it.
		cel.DefaultUTCTimeZone(false),
	)
	if err != nil {
		return envs{}, fmt.Errorf("mapping: expression environment: %w", err)
	}
	vars := make([]cel.EnvOption, 0, len(identityFields))
	for _, f := range identityFields {
		vars = append(vars, cel.Variable("identity."+f.name, f.typ))
	}
	var e envs
	var errs [3]error
	e.claims, errs[0] = base.Extend(cel.Variable("claims", cel.MapType(cel.StringType, stringList)), cel.Variable("subject", cel.StringType))
	e.identity, errs[1] = base.Extend(vars...)
	e.rule, errs[2] = base.Extend(append(vars, cel.Variable("now", cel.TimestampType))...)
	if err := errors.Join(errs[:]...); err != nil {
		return envs{}, fmt.Errorf("mapping: expression environment: %w", err)
	}
	return e, nil
}

// expr is a compiled expression.
type expr struct {
	prg    cel.Program
	groups []string // literals it looks for in identity.groups, for explanations
}

// compile checks and plans src, which must give a value of the type want. The
// error text is one sentence for the admin.
func compile(env *cel.Env, src string, want *cel.Type, regexes *regexBudget) (*expr, error) {
	if !utf8.ValidString(src) {
		return nil, errors.New("is not valid UTF-8")
	}
	a, issues := env.Compile(src)
	if err := issues.Err(); err != nil {
		return nil, errors.New(describe(issues))
	}
	if !want.IsExactType(a.OutputType()) {
		return nil, fmt.Errorf("gives %s, but %s is needed", a.OutputType(), want)
	}
	if comparesMaps(a) {
		return nil, errors.New("compares all claims at once, of which some may be unreadable; compare single claims")
	}
	est, err := env.EstimateCost(a, sizes{})
	if err != nil {
		return nil, fmt.Errorf("its cost cannot be estimated: %w", err)
	}
	if est.Max > maxStaticCost {
		return nil, fmt.Errorf("can cost too much (%d units for the largest identity, %d are allowed); nest fewer loops, or put a shorter text or fewer groups in", est.Max, maxStaticCost)
	}
	if err := regexes.take(regexLiterals(a.NativeRep().Expr())); err != nil {
		return nil, err
	}
	opts := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if est.Max > trackAboveCost {
		opts = append(opts, cel.CostLimit(maxRunCost))
	}
	prg, err := env.Program(a, opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot be prepared: %w", err)
	}
	return &expr{prg: prg, groups: groupLiterals(a.NativeRep().Expr())}, nil
}

var unknownField = regexp.MustCompile(`^undeclared reference to 'identity(?:\.([A-Za-z0-9_]+))?`)

// describe puts the first issue in our words, with its place.
func describe(issues *cel.Issues) string {
	all := issues.Errors()
	if len(all) == 0 {
		return issues.Err().Error()
	}
	msg, at := strings.TrimSuffix(all[0].Message, " (in container '')"), all[0].Location
	if m := unknownField.FindStringSubmatch(msg); m != nil {
		msg = "identity is not a value by itself; it has the fields " + strings.Join(fieldNames(), ", ")
		if m[1] != "" {
			msg = fmt.Sprintf("identity has no field %q%s; it has %s", m[1], newSpeller().nearest(m[1], fieldList()), strings.Join(fieldNames(), ", "))
		}
	}
	return fmt.Sprintf("%s (line %d, column %d of the expression)", msg, at.Line(), at.Column()+1)
}

func fieldList() *nameList {
	var l nameList
	for _, name := range fieldNames() {
		l.add(name)
	}
	return &l
}

func fieldNames() []string {
	names := make([]string, 0, len(identityFields))
	for _, f := range identityFields {
		names = append(names, f.name)
	}
	return names
}

// groupLiterals collects the "x" of each "x" in identity.groups.
func groupLiterals(root ast.Expr) []string {
	var out []string
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.In {
			return
		}
		args := e.AsCall().Args()
		if args[0].Kind() != ast.LiteralKind || !isGroups(args[1]) {
			return
		}
		if s, ok := args[0].AsLiteral().(types.String); ok && !slices.Contains(out, string(s)) {
			out = append(out, string(s))
		}
	}))
	return out
}

// comparesMaps reports whether a whole map is compared. With a claim that cannot
// be read there is no answer, and CEL would take that for a difference.
func comparesMaps(a *cel.Ast) bool {
	found := false
	ast.PostOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind {
			return
		}
		switch c := e.AsCall(); c.FunctionName() {
		case operators.Equals, operators.NotEquals, operators.In, "dyn":
			found = found || holdsMap(a.NativeRep().GetType(c.Args()[0].ID()))
		}
	}))
	return found
}

func holdsMap(t *types.Type) bool {
	return t.Kind() == types.MapKind || slices.ContainsFunc(t.Parameters(), holdsMap)
}

func isGroups(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent() == "identity.groups"
	case ast.SelectKind:
		s := e.AsSelect()
		return s.FieldName() == "groups" && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "identity"
	default:
		return false
	}
}

// sizes tells the cost estimator how large the variables can be.
type sizes struct{}

// EstimateCallCost leaves every call to the standard cost model.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize returns the largest size of a variable or of what it holds.
func (sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	var most uint64
	switch t := n.Type(); t.Kind() {
	case types.MapKind:
		most = maxClaims
	case types.ListKind:
		most = maxGroups
	case types.StringKind:
		most = maxText
	default:
		return nil
	}
	s := cost.RangedSizeEstimate(0, most)
	return &s
}

// scope is what expressions for one identity are evaluated in.
type scope struct {
	vars  cel.Activation
	spent *uint64 // cost of the metered expressions so far
}

// eval evaluates x. An error is about this one identity.
func (x *expr) eval(in scope) (ref.Val, error) {
	if *in.spent > maxTotalCost {
		return nil, errors.New("the expressions before it cost all that may be spent on one identity")
	}
	v, details, err := x.prg.Eval(in.vars)
	if c := details.ActualCost(); c != nil {
		*in.spent += *c
	}
	return v, err
}

func (x *expr) bool(in scope) (bool, error) {
	v, err := x.eval(in)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, fmt.Errorf("gave %s", v.Type().TypeName())
	}
	return bool(b), nil
}

func (x *expr) text(in scope) (string, error) {
	v, err := x.eval(in)
	if err != nil {
		return "", err
	}
	s, ok := v.(types.String)
	if !ok {
		return "", fmt.Errorf("gave %s", v.Type().TypeName())
	}
	return string(s), nil
}

func (x *expr) list(in scope) ([]string, error) {
	v, err := x.eval(in)
	if err != nil {
		return nil, err
	}
	native, err := v.ConvertToNative(stringsType)
	if err != nil {
		return nil, err
	}
	out, ok := native.([]string)
	if !ok {
		return nil, fmt.Errorf("gave %T", native)
	}
	return out, nil
}

// absent reports whether an evaluation failed because the input lacks a claim
// or a value of it.
func absent(err error) bool {
	s := err.Error()
	return strings.HasPrefix(s, "no such key") || strings.HasPrefix(s, "index out of bounds")
}
