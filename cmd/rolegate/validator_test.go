package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// whole is a configuration without a problem, with every part that a row of
// [TestCheckIsServe] breaks.
const whole = `public_url: https://sso.example.com
listen: 127.0.0.1:0
store: sqlite:rolegate.db
session: {idle: 30m, absolute: 9h}
identity_providers:
  - {id: corp, email_domains: [example.com], saml: {metadata_file: idp.xml}, identity: {groups: claims.groups}}
  - {id: op, oidc: {issuer: "https://login.example.com", client_id: rolegate, client_secret_file: secret}, identity: {groups: claims.groups}}
accounts:
  - {id: "111122223333", name: prod, color: red}
roles:
  - {name: Admin, iam_role: RolegateAdmin}
rules:
  - {name: platform, groups: [aws-platform], accounts: [prod], roles: [Admin]}
`

const (
	samlPart = "saml: {metadata_file: idp.xml}"
	oidcPart = `oidc: {issuer: "https://login.example.com", client_id: rolegate, client_secret_file: secret}`
)

// broken is a mistake in [whole].
type broken struct {
	name, old, new string
	line           string // the beginning of its line after the file's name, e.g. "1: public_url: "
	says           string
	prepare        func(t *testing.T, dir string)
}

// files makes a preparation that writes files, in pairs of name and content, and
// gives the first a mode.
func files(mode fs.FileMode, pairs ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			path := filepath.Join(dir, pairs[i])
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(pairs[i+1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(dir, pairs[0]), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func aws(text string) string { return "aws: {" + text + "}\nroles:" }

func brokenConfigurations(t *testing.T) []broken {
	pair := testPair(t)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("none")}))
	saml := func(text string) string { return "saml: {" + text + "}" }
	oidc := func(text string) string { return "oidc: {client_secret_file: secret, " + text + "}" }
	const issuer, client = `issuer: "https://login.example.com"`, "client_id: rolegate"
	return []broken{
		// What every adapter wants of the public URL.
		{"no public_url", "public_url: https://sso.example.com", "", "", "public_url: it is missing", nil},
		{"public_url under .localhost", "https://sso.example.com", "http://rolegate.localhost:8080", "1: public_url: ", "must be https", nil},
		{"plain http", "https://sso.example.com", "http://sso.example.com", "1: public_url: ", "must be https", nil},
		{"public_url with a path", "https://sso.example.com", "https://sso.example.com/x", "1: public_url: ", "without a path", nil},
		{"a password in public_url", "https://sso.example.com", "https://svc:hunter2@sso.example.com", "1: public_url: ", `"https://…@sso`, nil},
		{"public_url with a query", "https://sso.example.com", "https://sso.example.com?x=hunter2", "1: public_url: ", `?…"`, nil},
		// SAML.
		{"provider id", "id: corp", "id: Corp", "6: identity_providers[0].id: ", "lower-case letters", nil},
		{"no metadata", samlPart, saml("binding: post"), "6: identity_providers[0].saml: ", "one of metadata_url and metadata_file", nil},
		{"metadata twice", samlPart, saml(`metadata_file: idp.xml, metadata_url: "https://idp.example.com"`), "6: identity_providers[0].saml: ", "one of metadata_url and metadata_file", nil},
		{"metadata over http", samlPart, saml(`metadata_url: "http://idp.example.com"`), "6: identity_providers[0].saml.metadata_url: ", "must be https", nil},
		{"metadata under .localhost", samlPart, saml(`metadata_url: "http://idp.localhost"`), "6: identity_providers[0].saml.metadata_url: ", "must be https", nil},
		{"secrets in metadata_url", samlPart, saml(`metadata_url: "https://svc:hunter2@idp.example.com/metadata?token=hunter2"`), "6: identity_providers[0].saml.metadata_url: ", `"https://…@idp.example.com/metadata?…" has a user name or password`, nil},
		{"metadata_file that is not there", "idp.xml", "absent.xml", "6: identity_providers[0].saml.metadata_file: ", "no such file", nil},
		{"metadata_file that others change", "", "", "6: identity_providers[0].saml.metadata_file: ", "run chmod go-w", files(0o666, "idp.xml", "")},
		{"binding", samlPart, saml("metadata_file: idp.xml, binding: artifact"), "6: identity_providers[0].saml.binding: ", "is not one of redirect, post", nil},
		{"signature", samlPart, saml("metadata_file: idp.xml, signature: none"), "6: identity_providers[0].saml.signature: ", "is not one of assertion", nil},
		{"SAML clock skew", samlPart, saml("metadata_file: idp.xml, clock_skew: 1h"), "6: identity_providers[0].saml.clock_skew: ", "5m at most", nil},
		{"max_response", samlPart, saml("metadata_file: idp.xml, max_response: -1"), "6: identity_providers[0].saml.max_response: ", "is negative", nil},
		{"metadata certificate", samlPart, saml("metadata_file: idp.xml, metadata_certificate_file: c.pem"), "6: identity_providers[0].saml.metadata_certificate_file: ", "x509", files(0o600, "c.pem", certificate)},
		// OpenID Connect.
		{"HMAC", oidcPart, oidc(issuer + ", " + client + ", algorithms: [RS256, HS256]"), "7: identity_providers[1].oidc.algorithms[1]: ", `"HS256" is not one of RS256`, nil},
		{"http issuer on localhost", oidcPart, oidc(`issuer: "http://localhost:9000", ` + client), "7: identity_providers[1].oidc.issuer: ", "or insecure_http must be set", nil},
		{"http issuer elsewhere", oidcPart, oidc(`issuer: "http://op.example.com", insecure_http: true, ` + client), "7: identity_providers[1].oidc.issuer: ", "must be https", nil},
		{"issuer with a query", oidcPart, oidc(`issuer: "https://login.example.com?tenant=hunter2", ` + client), "7: identity_providers[1].oidc.issuer: ", "has a query", nil},
		{"a password in the issuer", oidcPart, oidc(`issuer: "https://svc:hunter2@login.example.com", ` + client), "7: identity_providers[1].oidc.issuer: ", `"https://…@login`, nil},
		{"no client", oidcPart, oidc(issuer), "7: identity_providers[1].oidc.client_id: ", "it is missing", nil},
		{"scopes", oidcPart, oidc(issuer + ", " + client + ", scopes: [email]"), "7: identity_providers[1].oidc.scopes: ", "openid is missing", nil},
		{"two ways to authenticate", oidcPart, oidc(issuer + ", " + client + ", private_key_jwt: true"), "7: identity_providers[1].oidc: ", "one of client_secret_file", nil},
		{"a secret in the file", "client_secret_file: secret", "client_secret: hunter2", "7: identity_providers[1].oidc.client_secret: ", "a secret does not belong", nil},
		{"a secret that others read", "", "", "7: identity_providers[1].oidc.client_secret_file: ", "everybody may read this secret (mode 0644)", files(0o644, "secret", "hunter2")},
		{"a secret that is empty", "", "", "7: identity_providers[1].oidc.client_secret_file: ", "it is empty", files(0o600, "secret", "\n")},
		{"a secret of the wrong type", "client_secret_file: secret", "private_key_jwt: hunter9", "7: identity_providers[1].oidc.private_key_jwt: ", "true or false is needed", nil},
		{"a secret that is a list", "client_secret_file: secret", "client_secret: [hunter9]", "7: identity_providers[1].oidc.client_secret: ", "one value is needed", nil},
		// How we appear to AWS.
		{"OIDC issuer with a port", "roles:", aws(`oidc: {issuer: "https://sso.example.com:8443"}`), "10: aws.oidc.issuer: ", "https without port", nil},
		{"OIDC issuer that is needed", "{name: Admin, iam_role: RolegateAdmin}", "{name: Admin, iam_role: RolegateAdmin, via: oidc}\naws: {oidc: {issuer: 'https://sso.example.com/'}}", "12: aws.oidc.issuer: ", "trailing slash", nil},
		{"OIDC audience", "roles:", aws(`oidc: {audience: "a b"}`), "10: aws.oidc.audience: ", "without spaces", nil},
		{"entity_id", "roles:", aws(`saml: {entity_id: "a b"}`), "10: aws.saml.entity_id: ", "without spaces", nil},
		{"recipient", "roles:", aws(`partitions: {aws-us-gov: {recipient: "http://signin.example.com"}}`), "10: aws.partitions.aws-us-gov.recipient: ", "https address", nil},
		{"SAML audience", "roles:", aws(`partitions: {aws: {audience: "a b"}}`), "10: aws.partitions.aws.audience: ", "without spaces", nil},
		{"provider in IAM", "roles:", aws(`saml: {provider: "a b"}`), "10: aws.saml.provider: ", "in IAM", nil},
		// AWS's endpoints.
		{"sts_regions", "roles:", aws("partitions: {aws: {sts_regions: [us-east-1, nowhere]}}"), "10: aws.partitions.aws.sts_regions[1]: ", `"nowhere" is not the name of a region`, nil},
		{"signin_regions", "roles:", aws("partitions: {aws: {signin_regions: [cn-north-1]}}"), "10: aws.partitions.aws.signin_regions[0]: ", "not the name of a region", nil},
		{"partition", "roles:", aws("partitions: {aws-moon: {}}"), "10: aws.partitions.aws-moon: ", `there is no partition "aws-moon"`, nil},
		{"endpoint", "roles:", "insecure_aws_endpoints: {sts: 'http://svc:hunter2@localhost:1'}\nroles:", "10: insecure_aws_endpoints.sts: ", `"http://…@localhost:1"`, nil},
		{"endpoint that would end a policy", "roles:", "insecure_aws_endpoints: {signin: 'http://a;b'}\nroles:", "10: insecure_aws_endpoints: ", "is not an origin", nil},
		// Rules, roles, accounts.
		{"misspelt field", "groups: [aws-platform]", "when: identity.grops == 1", "13: rules[0].when: ", `no field "grops"`, nil},
		{"unknown role", "roles: [Admin]", "roles: [Admni]", "13: rules[0].roles[0]: ", `did you mean "Admin"?`, nil},
		{"unknown account", "accounts: [prod]", "accounts: [prdo]", "13: rules[0].accounts[0]: ", `did you mean "prod"?`, nil},
		{"role session too long", "iam_role: RolegateAdmin", "iam_role: RolegateAdmin, max_duration: 13h", "11: roles[0].max_duration: ", "between 15 minutes and 12 hours", nil},
		{"colour", "color: red", "color: pink", "9: accounts[0].color: ", `"pink" is not one of red, orange, green, blue, purple`, nil},
		{"colour as a number", "color: red", "color: '#ff0000'", "9: accounts[0].color: ", "is not one of red", nil},
		{"second factor", samlPart, samlPart + ", mfa: {preset: google}", "6: identity_providers[0].mfa.preset: ", "own_factor", nil},
		// The server.
		{"unknown key", "listen:", "lisen:", "2: lisen: ", `unknown key (did you mean "listen"?)`, nil},
		{"not YAML", "accounts:", "accounts: [", "", "did not find expected", nil},
		{"a secret as an anchor", "client_secret_file: secret", "client_secret: *hunter2", "7: ", "needs quotation marks", nil},
		{"listen", "127.0.0.1:0", "8080", "2: listen: ", "ADDRESS:PORT", nil},
		{"listen on no port", "127.0.0.1:0", "127.0.0.1:99999", "2: listen: ", "ADDRESS:PORT", nil},
		{"metrics where people are served", "listen: 127.0.0.1:0", "listen: 127.0.0.1:8080\nmetrics: {listen: 127.0.0.1:8080}", "3: metrics.listen: ", "a listener of their own", nil},
		{"store of another kind", "sqlite:rolegate.db", "mysql:x", "3: store: ", "or a postgres:// URL", nil},
		{"a password in store", "sqlite:rolegate.db", "postgres://svc:hunter2@localhost/d", "3: store: ", "holds a password", nil},
		{"store in a folder that is not there", "sqlite:rolegate.db", "sqlite:absent/rolegate.db", "3: store: ", "make the folder", nil},
		{"store that is a folder", "", "", "3: store: ", "is not a regular file", files(0o600, "rolegate.db/x", "")},
		{"a password for PostgreSQL in the file", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_password: hunter2", "4: store_password: ", "env:NAME", nil},
		{"PostgreSQL that proves nothing", "sqlite:rolegate.db", "postgres://u@db.example.com/d?sslmode=disable", "3: store: ", "verify-full", nil},
		{"pooler", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_pooler: transactions", "4: store_pooler: ", `did you mean "transaction"?`, nil},
		{"limit", "roles:", "limits: {sign_in: {per: 2h}}\nroles:", "10: limits.sign_in.per: ", "between 10s and 1h", nil},
		{"session", "idle: 30m", "idle: 10h", "4: session.idle: ", "longer than absolute", nil},
		{"proxy", "listen:", "trusted_proxies: [here]\nlisten:", "2: trusted_proxies: ", "neither a network", nil},
		{"ca_file without a certificate", "listen:", "outbound: {ca_file: secret}\nlisten:", "2: outbound.ca_file: ", "holds no certificate", nil},
		{"no TLS key", "listen:", "tls: {cert_file: t.pem, key_file: absent}\nlisten:", "2: tls.key_file: ", "no such file", files(0o644, "t.pem", pair)},
		{"a TLS key that others read", "listen:", "tls: {cert_file: t.pem, key_file: t.pem}\nlisten:", "2: tls.key_file: ", "everybody may read this secret", files(0o644, "t.pem", pair)},
		{"a TLS key that its group changes", "listen:", "tls: {cert_file: t.pem, key_file: t.pem}\nlisten:", "2: tls.key_file: ", "the group of this file may change it (mode 0660)", files(0o660, "t.pem", pair)},
		{"no TLS key pair", "listen:", "tls: {cert_file: secret, key_file: secret}\nlisten:", "2: tls: ", "PEM", nil},
		{"a configuration that others change", "", "", "", "run chmod go-w on it", files(0o602, "rolegate.yaml", whole)},
		// The keys.
		{"keys that are none", "", "", "1: keys.dir: ", "keys.yaml", files(0o600, "certs/aws-saml.x.pem", "x")},
		{"a key that others read", "", "", "1: keys.dir: ", "may be read or changed by others (mode 0644)", files(0o644, "certs/aws-saml.x.pem", "x", "certs/keys.yaml", "active: {}\nnext: {}\n")},
		{"something else for keys", "listen:", "keys: {dir: other}\nlisten:", "2: keys.dir: ", "it is not empty", files(0o600, "other/diary.txt", "x")},
	}
}

// TestCheckIsServe ensures that check and serve say the same of a configuration
// that is broken, and that serve ends at once and makes nothing.
func TestCheckIsServe(t *testing.T) {
	for _, tt := range brokenConfigurations(t) {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.old != "" && !strings.Contains(whole, tt.old) {
				t.Fatalf("no %q to replace", tt.old)
			}
			files(0o600, "rolegate.yaml", strings.Replace(whole, tt.old, tt.new, 1), "idp.xml", "<x/>", "secret", "hunter2")(t, dir)
			if tt.prepare != nil {
				tt.prepare(t, dir)
			}
			before := listing(t, dir)
			checked, checkSays := runIn(t, dir, "check")
			served, serveSays := runIn(t, dir, "serve")
			t.Logf("%-36s %d %d  %s", tt.name, checked, served, strings.ReplaceAll(strings.TrimSpace(checkSays), dir+"/", ""))
			if checked != exitInvalid || served != exitInvalid {
				t.Errorf("check ends with %d, serve with %d", checked, served)
			}
			if checkSays != serveSays {
				t.Errorf("check says\n%sserve says\n%s", checkSays, serveSays)
			}
			found := false
			for line := range strings.Lines(checkSays) {
				said, mine := strings.CutPrefix(line, filepath.Join(dir, "rolegate.yaml")+":")
				if !mine {
					t.Errorf("%q does not begin with the file", line)
				}
				found = found || strings.HasPrefix(said, tt.line) && strings.Contains(said, tt.says)
			}
			if !found {
				t.Errorf("no line %q … %q in\n%s", tt.line, tt.says, checkSays)
			}
			if strings.Contains(checkSays, "hunter") || strings.Contains(checkSays, "svc") {
				t.Errorf("a secret is told: %s", checkSays)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("before\n%safter\n%s", before, after)
			}
		})
	}
}

// TestWholeConfigurationIsServed ensures that what [TestCheckIsServe] breaks was
// whole before, and that it would notice what serve makes.
func TestWholeConfigurationIsServed(t *testing.T) {
	dir := t.TempDir()
	files(0o644, "rolegate.yaml", whole, "idp.xml", "<x/>", "secret", "hunter2")(t, dir)
	before := listing(t, dir)
	if code, says := runIn(t, dir, "check"); code != exitOK || !strings.Contains(says, "no problem found") {
		t.Errorf("check ends with %d: %s", code, says)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("check made something:\n%s", after)
	}
	if code, says := runIn(t, dir, "serve"); code == exitInvalid {
		t.Errorf("serve ends with %d: %s", code, says)
	}
	if after := listing(t, dir); !strings.Contains(after, "certs/keys.yaml") {
		t.Errorf("serve made no keys:\n%s", after)
	}
}

// TestWarningsAreLogged ensures that serve logs what check warns of.
func TestWarningsAreLogged(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(whole, "accounts: [prod], ", "accounts: [prod, 'env=gone'], ", 1)
	files(0o664, "rolegate.yaml", strings.Replace(text, "rules:", "  - {name: Nobody, iam_role: Nobody}\nrules:", 1), "idp.xml", "<x/>", "secret", "hunter2")(t, dir)
	code, checked := runIn(t, dir, "check")
	_, served := runIn(t, dir, "serve")
	for _, want := range []string{"selects no account", "no rule gives the role", "the group of this file may change it"} {
		if !strings.Contains(checked, want) || !strings.Contains(served, want) {
			t.Errorf("%q is missing: check says\n%sserve\n%s", want, checked, served)
		}
	}
	if warnings := strings.Count(served, `"msg":"configuration warning"`); code != exitOK || warnings != 3 {
		t.Errorf("exit %d, %d warnings are logged\n%s", code, warnings, served)
	}
}

// TestSharedStoreWithoutKeys ensures that a configuration for several nodes can
// be checked where the keys are not, and that serve ends there as it does for
// any other problem.
func TestSharedStoreWithoutKeys(t *testing.T) {
	dir := t.TempDir()
	files(0o600, "rolegate.yaml", strings.Replace(whole, "sqlite:rolegate.db", "postgres://u@127.0.0.1:1/d", 1), "idp.xml", "<x/>", "secret", "hunter2")(t, dir)
	before := listing(t, dir)
	if code, says := runIn(t, dir, "check"); code != exitOK || !strings.Contains(says, "warning: "+filepath.Join(dir, "rolegate.yaml")+":1: keys.dir: there are no keys in ") {
		t.Errorf("check ends with %d: %s", code, says)
	}
	code, says := runIn(t, dir, "serve")
	if code != exitInvalid || !strings.Contains(says, filepath.Join(dir, "rolegate.yaml")+":1: keys.dir: no keys in ") {
		t.Errorf("serve ends with %d: %s", code, says)
	}
	if after := listing(t, dir); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// runIn runs a command on the configuration in dir, in a world that has already
// ended, so that a server that starts would end too.
func runIn(t *testing.T, dir, command string) (code int, says string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code = run(ctx, []string{command, "-c", filepath.Join(dir, "rolegate.yaml")}, func(string) string { return "" }, strings.NewReader(""), &out, &errs)
	if out.Len() > 0 {
		t.Errorf("%s wrote to standard output: %s", command, out.String())
	}
	return code, errs.String()
}

// listing tells names, modes and content of all that is in dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %s", strings.TrimPrefix(path, dir+"/"), info.Mode())
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(content))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
