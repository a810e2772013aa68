package broker_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/rolegate/rolegate"

// room is one package of the house: what floor it stands on, which other rooms
// it may import, which more its tests may, and why. A path that ends in /...
// covers the packages below it too.
type room struct {
	path   string // below the module
	floor  int
	may    []string
	tests  []string
	reason string
}

// What several rooms may import.
var (
	words  = []string{"broker"}
	desks  = []string{"broker", "broker/session", "broker/journal", "broker/limit"}
	pages  = []string{"broker", "broker/web/page", "broker/web/cookie", "broker/web/door"}
	anyone = []string{"..."}
)

// and returns the rooms of a list and some more.
func and(rooms []string, more ...string) []string { return slices.Concat(rooms, more) }

// house is the plan. A package that is not in it fails the test.
var house = []room{
	{"broker", 0, nil, []string{"broker/brokertest"}, "words and ports: standard library only"},
	{"templates", 0, nil, nil, "embedded files only"},
	{"static", 0, nil, nil, "embedded files only"},

	{"broker/journal", 1, words, anyone, "a desk: what it writes down concerns nobody else"},
	{"broker/session", 1, and(words, "broker/journal"), anyone, "a desk: the end of a session is an event, and written before it"},
	{"broker/limit", 1, and(words, "broker/journal"), anyone, "a desk: who is slowed down is an event"},

	{"broker/saml", 1, words, nil, "an adapter knows the words and its protocol"},
	{"broker/oidc", 1, words, nil, "an adapter knows the words and its protocol"},
	{"broker/mapping", 1, words, nil, "an adapter knows the words and CEL"},
	{"broker/issuer", 1, words, nil, "holds private keys, so it must not reach AWS"},
	{"broker/federation", 1, words, nil, "talks to AWS, so it must not reach a private key"},
	{"broker/mfa", 1, words, nil, "an adapter knows the words, WebAuthn and RFC 6238; it keeps nothing"},
	{"broker/sqlstore", 1, words, []string{"broker/sqlstore/storetest"}, "an adapter knows the words and SQL"},
	{"broker/sqlstore/storetest", 1, and(words, "broker/sqlstore"), nil, "what every store has to do"},
	{"broker/metrics", 1, words, nil, "counts what happens to the words, and knows Prometheus"},
	{"broker/api", 1, words, nil, "wire types, shared by server and client"},

	{"broker/signin", 2, desks, []string{"broker/brokertest"}, "a use case: it knows the desks and no other use case"},
	{"broker/access", 2, desks, []string{"broker/brokertest"}, "a use case: it knows the desks and no other use case"},
	{"broker/program", 2, desks, []string{"broker/brokertest", "broker/access"}, "a use case: it knows the desks and no other use case"},
	{"broker/factor", 2, desks, []string{"broker/brokertest", "broker/signin"}, "a use case: it knows the desks and no other use case"},
	{"broker/admin", 2, desks, []string{"broker/brokertest"}, "a use case: it knows the desks and no other use case"},

	{"broker/web", 3, and(desks, "broker/api", "broker/signin", "broker/access", "broker/program", "broker/factor", "broker/admin",
		"broker/web/page", "broker/web/wire", "broker/web/cookie", "broker/web/door", "broker/web/idp", "broker/web/portal", "broker/web/admin", "broker/web/oauth",
		"broker/web/awssso", "templates", "static"), []string{"broker/brokertest", "broker/limit", "broker/mfa", "broker/sqlstore"}, "joins the pages to one handler; it knows no adapter"},
	{"broker/web/page", 3, words, []string{"templates"}, "what all pages share"},
	{"broker/web/wire", 3, and(words, "broker/program"), nil, "what all JSON shares"},
	{"broker/web/cookie", 3, and(words, "broker/access"), nil, "cookies, and whose session they open"},
	{"broker/web/door", 3, and(words, "broker/web/page", "broker/web/cookie", "broker/signin", "broker/factor"), nil, "who may pass, and the way to more proof"},
	{"broker/web/idp", 3, and(pages, "broker/signin"), nil, "routes that identity providers and IAM read"},
	{"broker/web/portal", 3, and(pages, "broker/access", "broker/factor", "broker/session", "broker/signin"), nil, "pages of everybody"},
	{"broker/web/admin", 3, and(pages, "broker/admin", "broker/session", "broker/signin"), nil, "pages of administrators"},
	{"broker/web/oauth", 3, and(pages, "broker/program", "broker/web/wire"), nil, "routes of programs"},
	{"broker/web/awssso", 3, and(words, "broker/access", "broker/program", "broker/web/oauth", "broker/web/wire"), nil, "the wire formats of AWS SDKs"},

	{"broker/sandbox/aws/...", 3, []string{"broker", "broker/sandbox/aws"}, nil, "shares no verifying or minting code with what it tests"},
	{"broker/sandbox/idp", 3, words, nil, "shares no verifying or minting code with what it tests"},
	{"broker/brokertest", 3, anyone, nil, "what the tests of the use cases stand on; no program links it"},

	{"cmd/internal/rolecache", 0, nil, nil, "read by a program that must start as fast as an empty one"},
	{"cmd/rolegate-credentials", 4, []string{"cmd/internal/rolecache"}, nil, "starts for every AWS command: nothing but the cache"},
	{"cmd/rolegate/...", 4, anyone, anyone, "the composition root wires everything"},
}

// testOnly are rooms that no program links.
var testOnly = []string{"broker/brokertest", "broker/sqlstore/storetest"}

func roomOf(importPath string) (room, bool) {
	rel := strings.TrimPrefix(importPath, module+"/")
	for _, r := range house {
		tree, below := strings.CutSuffix(r.path, "/...")
		if rel == tree || below && strings.HasPrefix(rel, tree+"/") {
			return r, true
		}
	}
	return room{}, false
}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,GoFiles", module+"/...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// TestFloors ensures that imports point down only and rooms know no other ones
// than the plan says, that tests keep to it too, and that the words stand on the
// standard library.
func TestFloors(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		r, ok := roomOf(p.ImportPath)
		if !ok {
			t.Errorf("%s is in no room: add it to the house with a reason, or move it", p.ImportPath)
			continue
		}
		seen[r.path] = true
		for _, imp := range p.Imports {
			if problem := r.judge(imp, false); problem != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, problem)
			}
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if problem := r.judge(imp, true); problem != "" {
				t.Errorf("a test of %s imports %s: %s", p.ImportPath, imp, problem)
			}
		}
	}
	for _, r := range house {
		if !seen[r.path] {
			t.Errorf("room %s is empty: take it out of the house", r.path)
		}
	}
}

// judge says what is wrong about an import, "" if nothing is.
func (r room) judge(imp string, test bool) string {
	rel, ours := strings.CutPrefix(imp, module+"/")
	if !ours {
		if !test && r.floor == 0 && strings.Contains(strings.Split(imp, "/")[0], ".") {
			return "floor 0 is the standard library only"
		}
		return ""
	}
	to, ok := roomOf(imp)
	switch {
	case !ok:
		return "it is in no room"
	case to.path == r.path:
		return ""
	case !test && slices.Contains(testOnly, rel):
		return "it is for tests"
	case test && (slices.Contains(r.tests, rel) || slices.Equal(r.tests, anyone)):
		return ""
	case to.floor > r.floor:
		return "imports point down"
	case !slices.Contains(r.may, rel) && !slices.Equal(r.may, anyone):
		return r.reason
	}
	return ""
}

// TestForbiddenImports ensures that the plan refuses what it is there to refuse.
func TestForbiddenImports(t *testing.T) {
	tests := []struct {
		from, imp string
		test      bool
		want      string
	}{
		{"broker/signin", "broker/access", false, "no other use case"},
		{"broker/access", "broker/program", true, "no other use case"},
		{"broker/session", "broker/signin", false, "point down"},
		{"broker/saml", "broker/oidc", false, "its protocol"},
		{"broker/issuer", "broker/federation", false, "must not reach AWS"},
		{"broker/federation", "broker/issuer", true, "must not reach a private key"},
		{"broker/sandbox/idp", "broker/saml", false, "shares no verifying"},
		{"broker/web/portal", "broker/sqlstore", false, "pages of everybody"},
		{"broker/web", "broker/brokertest", false, "for tests"},
		{"broker/program", "broker/brokertest", true, ""},
		{"broker/web", "broker/saml", false, "adapter"},
		{"broker/web/admin", "broker/web/portal", false, "administrators"},
	}
	for _, tt := range tests {
		r, ok := roomOf(module + "/" + tt.from)
		if !ok {
			t.Fatalf("no room %s", tt.from)
		}
		got := r.judge(module+"/"+tt.imp, tt.test)
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s imports %s: %q, want %q", tt.from, tt.imp, got, tt.want)
		}
	}
	r, _ := roomOf(module + "/broker")
	if r.judge("github.com/crewjam/saml", false) == "" {
		t.Error("the words may stand on a library")
	}
}

// forbidden lists packages that must not be linked by some part of the house.
var forbidden = []struct{ from, dep, reason string }{
	{"broker/saml", "github.com/crewjam/saml/samlsp", "its sessions and middleware log whole responses"},
	{"broker/issuer", "github.com/aws/aws-sdk-go-v2", "who holds the keys does not talk to AWS"},
	{"broker/federation", "github.com/russellhaering/goxmldsig", "who talks to AWS does not sign"},
	{"cmd/rolegate", "github.com/santhosh-tekuri/jsonschema", "1.7 MB at package init; tests only"},
	{"cmd/rolegate-credentials", "net/http", "it must start as fast as an empty program"},
	{"cmd/rolegate-credentials", "encoding/json", "it must start as fast as an empty program"},
	{"cmd/rolegate", "github.com/google/cel-go", "the dead module path: a second type system"},
}

// TestForbiddenDependencies ensures that the named packages stay out, however
// deep.
func TestForbiddenDependencies(t *testing.T) {
	for _, f := range forbidden {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/"+f.from+"/...").Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", f.from, err)
		}
		for dep := range strings.Lines(string(out)) {
			dep = strings.TrimSpace(dep)
			if dep == f.dep || strings.HasPrefix(dep, f.dep+"/") {
				t.Errorf("%s links %s: %s", f.from, dep, f.reason)
			}
		}
	}
}

// TestPackageDocs ensures that each package says what it is for in doc.go.
func TestPackageDocs(t *testing.T) {
	for _, p := range listPackages(t) {
		if len(p.GoFiles) > 0 && !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
	}
}
