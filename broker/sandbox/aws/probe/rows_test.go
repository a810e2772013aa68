package probe

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker/sandbox/aws"
)

// behaviour is one thing that AWS does, the checks that play it, and tests of
// what is no refusal.
type behaviour struct {
	what   string
	checks string // separated by spaces
	tests  string
}

// behaviours of AWS, in its order. Every check belongs to one at least.
var behaviours = []behaviour{
	{"IAM: what a SAML provider takes", "setup.metadata_length setup.metadata_bom setup.metadata_xml setup.metadata_key setup.provider_name setup.private_keys", ""},
	{"IAM: what an OIDC provider takes", "setup.oidc_url setup.client_ids setup.thumbprints", ""},
	{"SAML 1: method, content type, Action, Version", "sts.request", ""},
	{"SAML 2: parameters, their lengths, DurationSeconds", "sts.parameters sts.unknown sts.duration", ""},
	{"SAML 3: ARNs of one partition and account", "sts.arns", ""},
	{"SAML 4: a document that cannot wrap or expand", "saml.document", ""},
	{"SAML 5: provider of that account", "saml.provider", ""},
	{"SAML 6: status, one assertion, encryption mode", "saml.status saml.one_assertion saml.encrypted saml.encryption_required", ""},
	{"SAML 7: issuer", "saml.issuer", ""},
	{"SAML 8: signature by any certificate, over the element used", "saml.signature saml.algorithm", ""},
	{"SAML 9: times, redeemed within five minutes", "saml.not_before saml.not_on_or_after saml.confirmation_expiry saml.freshness", ""},
	{"SAML 10: audience", "saml.audience", ""},
	{"SAML 11: one bearer confirmation, recipient", "saml.confirmation saml.recipient", ""},
	{"SAML 12: NameID", "saml.name_id saml.name_id_form", ""},
	{"SAML 13: RoleSessionName, SourceIdentity", "saml.session_name saml.session_name_form saml.source_identity", ""},
	{"SAML 14: the role and provider pair", "saml.role_pair", ""},
	{"SAML 15: SessionDuration only shortens", "saml.session_duration", "TestEffectiveDuration"},
	{"SAML 16: session tags", "tags.count tags.text tags.single tags.transitive tags.packed", ""},
	{"SAML 17: role and trust policy, Deny wins", "role.exists trust.principal trust.action trust.tag_session trust.source_identity trust.condition trust.deny", "TestPolicies TestMultivaluedKeysNeedSetOperators"},
	{"SAML 18: AWSReservedSSO_ roles", "role.reserved", ""},
	{"SAML 19: MaxSessionDuration", "role.max_duration", ""},
	{"SAML 20: region", "sts.region", ""},
	{"SAML 21: the shortest duration wins", "", "TestEffectiveDuration"},
	{"SAML 22: the answer, its name qualifier and session token", "", "TestFromAssertionToConsole TestNameQualifierGolden TestRoleIDs"},
	{"SAML 23: a trail of successes only", "", "TestTrail"},
	{"Web identity: length and form", "web.length web.format web.provider_id web.session_name", ""},
	{"Web identity: algorithm, key and signature", "web.algorithm web.discovery web.key_count web.key web.signature", "TestKeyAndAlgorithmBelongTogether"},
	{"Web identity: issuer exactly registered", "web.provider", ""},
	{"Web identity: times", "web.timestamps web.expiry web.issued_at", ""},
	{"Web identity: subject and audience", "web.subject web.single_audience web.audience web.authorized_party", ""},
	{"Web identity: tags claim", "web.tags", ""},
	{"Federation: method and Action", "signin.method signin.action", ""},
	{"Federation: Session is three fields of issued credentials", "signin.session signin.credentials signin.expired", ""},
	{"Federation: SessionDuration, never for chained credentials", "signin.duration signin.chained", ""},
	{"Federation: the token, for 15 minutes", "signin.token signin.token_age", ""},
	{"Federation: destination", "signin.destination", ""},
	{"Federation: trail and an access key of the console's own", "", "TestConsoleTrail"},
	{"Browser POST to /saml: STS's checks, chooser, RelayState", "browser.method browser.relay_state", "TestBrowserPost"},
	{"Later calls: key, signature, clock, expiry", "call.token call.signature call.clock call.expired", "TestErrorsReadByTheSDK"},
	{"Later calls: inline policies, AWSRevokeOlderSessions", "call.denied call.allowed", "TestRevokeOlderSessions TestInlinePolicies"},
}

// TestEveryCheckBelongsToABehaviour ensures that the table leaves nothing out
// and names no check or test that is not there.
func TestEveryCheckBelongsToABehaviour(t *testing.T) {
	var named []string
	for _, b := range behaviours {
		named = append(named, strings.Fields(b.checks)...)
		if b.checks+b.tests == "" {
			t.Errorf("%s: nothing plays it", b.what)
		}
		for _, name := range strings.Fields(b.tests) {
			if !slices.Contains(testNames(t), name) {
				t.Errorf("%s: there is no %s", b.what, name)
			}
		}
	}
	for _, c := range aws.Checks() {
		if !slices.Contains(named, c.ID) {
			t.Errorf("%s belongs to no behaviour", c.ID)
		}
	}
	for _, id := range named {
		if !slices.ContainsFunc(aws.Checks(), func(c aws.Check) bool { return c.ID == id }) {
			t.Errorf("there is no check %s", id)
		}
	}
}

// testNames are the tests of this package.
func testNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range paths {
		f, err := parser.ParseFile(gotoken.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// behaviourTable is the table of docs/sandbox.md. It counts a row when each of
// its checks refuses now; its named tests pass or fail beside it.
func behaviourTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("\n| AWS | checks, each with its negative test | tests of what is not refused |\n|---|---|---|\n")
	passed := 0
	for _, row := range behaviours {
		good := true
		for _, id := range strings.Fields(row.checks) {
			if err := One(t.Context(), id); err != nil {
				t.Errorf("%s: %v", row.what, err)
				good = false
			}
		}
		if good {
			passed++
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", row.what, code(row.checks), code(row.tests))
	}
	fmt.Fprintf(&b, "\n%d of %d rows pass.\n\n", passed, len(behaviours))
	return b.String()
}

func code(names string) string {
	var out []string
	for _, n := range strings.Fields(names) {
		out = append(out, "`"+n+"`")
	}
	return strings.Join(out, ", ")
}
