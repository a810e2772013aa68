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

// room is one package tree of the house: what floor it stands on, which other
// trees of the house it may import, and why.
type room struct {
	path   string // below the module; covers every package beneath it
	floor  int
	may    []string
	reason string
}

// house is the plan. A package that is not in it fails the test.
var house = []room{
	{"templates", 0, nil, "embedded files only"},
	{"static", 0, nil, "embedded files only"},
	{"broker/saml", 1, []string{"broker"}, "an adapter knows the domain and its protocol"},
	{"broker/oidc", 1, []string{"broker"}, "an adapter knows the domain and its protocol"},
	{"broker/mapping", 1, []string{"broker"}, "an adapter knows the domain and CEL"},
	{"broker/issuer", 1, []string{"broker"}, "holds private keys, so it must not reach AWS"},
	{"broker/federation", 1, []string{"broker"}, "talks to AWS, so it must not reach a private key"},
	{"broker/mfa", 1, []string{"broker"}, "an adapter knows the domain, WebAuthn and RFC 6238; it keeps nothing"},
	{"broker/sqlstore", 1, []string{"broker"}, "an adapter knows the domain and SQL"},
	{"broker/metrics", 1, []string{"broker"}, "counts what the domain records, and knows Prometheus"},
	{"broker/api", 1, []string{"broker"}, "wire types, shared by server and client"},
	{"broker/brokertest", 2, []string{"broker"}, "what the tests of the use cases stand on; no program links it"},
	{"broker/web", 2, []string{"broker", "broker/api", "templates", "static"}, "pages and routes over the use cases"},
	{"broker/sandbox", 2, []string{"broker"}, "shares no verifying or minting code with what it tests; broker.Secret only"},
	{"broker", 0, nil, "the domain: standard library only"},
	{"cmd/internal/rolecache", 0, nil, "read by a program that must start as fast as an empty one"},
	{"cmd/rolegate-credentials", 3, []string{"cmd/internal/rolecache"}, "starts for every AWS command: nothing but the cache"},
	{"cmd/rolegate", 3, []string{"broker", "templates", "static"}, "the composition root wires everything"},
}

func roomOf(importPath string) (room, bool) {
	rel := strings.TrimPrefix(importPath, module+"/")
	for _, r := range house {
		if rel == r.path || strings.HasPrefix(rel, r.path+"/") && r.path != "broker" {
			return r, true
		}
	}
	return room{}, false
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
	GoFiles    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,GoFiles", module+"/...").Output()
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

// TestFloors ensures that imports point down only and siblings do not know one
// another, and that the domain stands on the standard library.
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
			if !strings.HasPrefix(imp, module+"/") {
				if r.floor == 0 && strings.Contains(strings.Split(imp, "/")[0], ".") {
					t.Errorf("%s imports %s: floor 0 is the standard library only", p.ImportPath, imp)
				}
				continue
			}
			to, ok := roomOf(imp)
			if !ok || to.path == r.path {
				continue
			}
			if to.floor > r.floor {
				t.Errorf("%s imports %s: imports point down", p.ImportPath, imp)
			}
			if r.floor < 3 && !slices.Contains(r.may, to.path) {
				t.Errorf("%s imports %s: %s", p.ImportPath, imp, r.reason)
			}
		}
	}
	for _, r := range house {
		if !seen[r.path] {
			t.Errorf("room %s is empty: take it out of the house", r.path)
		}
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
