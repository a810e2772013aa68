package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/web/portal"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

func env(name string) string { return map[string]string{"ENTRA_SECRET": "planted"}[name] }

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s: %s", path, d)
	}
}

// TestGoldenProblems ensures that all mistakes are listed at once, with line
// and nearest key, and that a secret written into the file is not repeated.
func TestGoldenProblems(t *testing.T) {
	for _, name := range []string{"wrong", "syntax"} {
		_, err := config.Load(filepath.Join("testdata", name+".yaml"), env)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is in the message: %v", err)
		}
		golden(t, filepath.Join("testdata", name+".golden"), []byte(err.Error()+"\n"))
	}
}

func TestFull(t *testing.T) {
	c, err := config.Load("testdata/full.yaml", env)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.ClientSecret(c.IdentityProviders[1].OIDC)
	if err != nil || s.Reveal() != "planted" {
		t.Error(s, err)
	}
	if c.Engine() == nil || time.Duration(c.Session.Idle) != 30*time.Minute || c.Path("certs") != "testdata/certs" || c.UsesIDPToken() || len(c.Relaxations()) != 0 {
		t.Errorf("%+v", c)
	}
	if d := cmp.Diff([][]string{{"mfa"}, {"pwd", "otp"}}, c.IdentityProviders[1].Policy().AMR); d != "" {
		t.Error(d)
	}
}

// TestOneMistake ensures what single mistakes say.
func TestOneMistake(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, old, new, says string }{
		{"http", "https://sso.example.com", "http://sso.example.com", "must be https"},
		{"path", "https://sso.example.com", "https://sso.example.com/x", "without a path"},
		{"listen", "127.0.0.1:8080", "8080", "ADDRESS:PORT"},
		{"store", "sqlite:rolegate.db", "mysql:x", "sqlite: and the path of a file"},
		{"store password", "sqlite:rolegate.db", "postgres://u:hunter2@localhost/d", "holds a password"},
		{"store without TLS", "sqlite:rolegate.db", "postgres://u@db.example.com/d?sslmode=disable", "verify-full"},
		{"store password inline", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_password: hunter2", "env:NAME"},
		{"store password unset", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_password: env:NOT_SET", "NOT_SET is not set"},
		{"store password file", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_password_file: absent", "no such file"},
		{"store password twice", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_password_file: absent\nstore_password: env:ENTRA_SECRET", "is enough"},
		{"store pooler", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_pooler: transactions", "did you mean"},
		{"store connections", "sqlite:rolegate.db", "postgres://u@localhost/d\nstore_connections: 5000", "between 1 and 1000"},
		{"pooler of a file", "sqlite:rolegate.db", "sqlite:rolegate.db\nstore_pooler: transaction", "for postgres:// only"},
		{"idle", "idle: 30m", "idle: 10h", "longer than absolute"},
		{"skew", "clock_skew: 60s", "clock_skew: 1h", "5m at most"},
		{"two ways", "identity: {username", "oidc: {issuer: https://x.example, client_id: a, private_key_jwt: true}\n    identity: {username", "one of saml and oidc"},
		{"secret unset", "env:ENTRA_SECRET", "env:NOT_SET", "NOT_SET is not set"},
		{"domain twice", "name: Entra ID", "email_domains: [EXAMPLE.com]\n    name: Entra ID", "already leads to okta"},
		{"unknown partition", "role_session:", "aws: {partitions: {aws-moon: {}}}\nrole_session:", "there is no partition"},
		{"issuer with port", "via: saml", "via: oidc", ""},
		{"proof", "[mfa, [pwd, otp]]", "mfa", "a list is needed"},
		{"duplicate key", "listen: 127", "listen: 127.0.0.1:1\nlisten: 127", "listen"},
		{"duration", "max_duration: 8h", "max_duration: 8 hours", "write it like"},
		{"endpoint", "role_session:", "insecure_aws_endpoints: {sts: \"http://localhost:1/x\"}\nrole_session:", "scheme://host:port"},
		{"no time of day", "idle: 30m", "idle: 30m, day_end: 7pm, time_zone: UTC", "write it like 19:00"},
		{"day without a zone", "idle: 30m", "idle: 30m, day_end: '19:00'", "time_zone must say"},
		{"zone without a day", "idle: 30m", "idle: 30m, time_zone: UTC", "nothing without day_end"},
		{"no such zone", "idle: 30m", "idle: 30m, day_end: '19:00', time_zone: Europe/Atlantis", "not the name of a time zone"},
		{"this machine's zone", "idle: 30m", "idle: 30m, day_end: '19:00', time_zone: Local", "not the name of a time zone"},
		{"admin condition", "role_session:", "admins: {when: 'identity.usrname == \"x\"'}\nrole_session:", "no field \"usrname\""},
		{"admin group", "role_session:", "admins: {groups: ['']}\nrole_session:", "is not a group name"},
		{"negative limit", "role_session:", "limits: {sign_in: {address: -1}}\nrole_session:", "not negative"},
		{"window", "role_session:", "limits: {sign_in: {per: 2h}}\nrole_session:", "between 10s and 1h"},
		{"empty", "", "", "empty or no mapping"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(string(full), tt.old, tt.new, 1)
			if tt.name == "empty" {
				text = ""
			}
			if tt.name == "issuer with port" {
				text = strings.Replace(text, "role_session:", "aws: {oidc: {issuer: \"https://sso.example.com:8443\"}}\nrole_session:", 1)
				tt.says = "https without port"
			}
			_, err := config.Parse("testdata/x.yaml", []byte(text), env)
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestSharedStore ensures that the password comes from where it is referred to,
// and that the relaxation is shouted.
func TestSharedStore(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(full), "sqlite:rolegate.db",
		"postgres://u@db.example.com/d?sslmode=require\nstore_password: env:ENTRA_SECRET\nstore_pooler: transaction\nstore_connections: 7\ninsecure_store_tls: true", 1)
	c, err := config.Parse("testdata/x.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := c.StoreConfig()
	if err != nil || sc.Password.Reveal() != "planted" || !sc.TransactionPooling || sc.Connections != 7 || !sc.InsecureTLS {
		t.Errorf("%+v %v", sc, err)
	}
	if !c.SharedStore() || c.StoreFile() != "" || len(c.Relaxations()) != 1 || !strings.Contains(c.Relaxations()[0], "insecure_store_tls") {
		t.Errorf("shared %t, file %q, %v", c.SharedStore(), c.StoreFile(), c.Relaxations())
	}
}

// TestGoldenSchema keeps docs/config.schema.json in step with the types, and
// checks the example against it.
func TestGoldenSchema(t *testing.T) {
	raw, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../../../docs/config.schema.json", raw)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	validate := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := yaml.Load(b, &v); err != nil {
			t.Fatal(err)
		}
		js, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		inst, err := jsonschema.UnmarshalJSON(bytes.NewReader(js))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(inst)
	}
	if err := validate("testdata/full.yaml"); err != nil {
		t.Error(err)
	}
	if validate("testdata/wrong.yaml") == nil {
		t.Error("the schema takes the wrong file too")
	}
}

func TestRelaxationsAreListed(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("want_encrypted: false", "insecure_allow_cbc: true", "client_id: abc", "client_id: abc, insecure_http: true",
		"role_session:", "insecure_aws_endpoints: {sts: \"http://localhost:1\"}\nrole_session:").Replace(string(full))
	c, err := config.Parse("testdata/x.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Relaxations(); len(r) != 3 {
		t.Errorf("%q", r)
	}
}

// FuzzParse: no bytes panic, and what is accepted has rules that compiled.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"full", "wrong", "syntax"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := config.Parse("x.yaml", b, env)
		if err == nil && c.Engine() == nil {
			t.Error("accepted without rules")
		}
	})
}

// FuzzDetached: whatever somebody writes to be simulated, its problems are the
// same whether a file that it names is there or not, and hold nothing of it.
func FuzzDetached(f *testing.F) {
	for _, name := range []string{"full", "wrong", "syntax"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, key := range []string{"outbound: {ca_file: ~FILE}", "store: {file: ~FILE}", "keys: {directory: ~FILE}", "identity_providers: [{id: a, saml: {metadata_file: ~FILE}}]", "include: ~FILE", "~FILE: 1", "public_url: 'env:~FILE'"} {
		f.Add("public_url: https://sso.example.com\n" + key + "\n")
	}
	dir := f.TempDir()
	there, missing := filepath.Join(dir, "there.pem"), filepath.Join(dir, "never.pem")
	if err := os.WriteFile(there, []byte("planted: [content\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		said := func(file string) string {
			c, err := config.ParseDetached(t.Context(), "rolegate.yaml", []byte(strings.ReplaceAll(text, "~FILE", file)))
			if err == nil && c.Engine() == nil {
				t.Error("accepted without rules")
			}
			return strings.ReplaceAll(fmt.Sprint(err), file, "~FILE")
		}
		with, without := said(there), said(missing)
		if with != without || strings.Contains(with, "planted") && !strings.Contains(text, "planted") {
			t.Errorf("with the file: %s\nwithout: %s", with, without)
		}
	})
}

// TestDetached holds what somebody who may only simulate could learn of the
// machine: whether files and environment variables exist, and what they hold.
func TestDetached(t *testing.T) {
	const probe = `
public_url: https://sso.example.com
outbound: {ca_file: /etc/%[1]s}
identity_providers:
  - {id: a, saml: {metadata_file: /etc/%[1]s, metadata_certificate_file: /etc/%[1]s}}
  - {id: b, oidc: {issuer: "https://x.example", client_id: a, client_secret_file: /etc/%[1]s}}
  - {id: c, oidc: {issuer: "https://y.example", client_id: a, client_secret: "env:ENTRA_SECRET"}}
accounts: [{id: "111122223333", name: prod}]
roles: [{name: Admin, iam_role: X}]
rules: [{name: r, groups: [g], accounts: [prod], roles: [Admin]}]
`
	for _, name := range []string{"passwd", "no-such-file"} {
		if _, err := config.ParseDetached(t.Context(), "rolegate.yaml", fmt.Appendf(nil, probe, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := config.ParseDetached(t.Context(), "rolegate.yaml", []byte("public_url: x\nnonsense: 1")); err == nil || !strings.Contains(err.Error(), "rolegate.yaml:2") {
		t.Errorf("a mistake: %v", err)
	}
}

// TestRateLimits ensures that what is set counts over the defaults, and that
// only the insecure switch takes limits away.
func TestRateLimits(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(more string) *config.Config {
		c, err := config.Parse("testdata/x.yaml", []byte(string(full)+"\n"+more), env)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	want := limit.Defaults()
	if d := cmp.Diff(want, load("").RateLimits()); d != "" {
		t.Error(d)
	}
	x := want[limit.Device]
	x.Address = 7
	want[limit.Device] = x
	if d := cmp.Diff(want, load("limits: {device: {address: 7}}").RateLimits()); d != "" {
		t.Error(d)
	}
	off := load("insecure_no_rate_limits: true")
	if off.RateLimits() != nil || len(off.Relaxations()) != 1 {
		t.Errorf("%v, %v", off.RateLimits(), off.Relaxations())
	}
}

// TestSessionLimits ensures that the end of the working day is read.
func TestSessionLimits(t *testing.T) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("testdata/x.yaml", []byte(strings.Replace(string(full), "idle: 30m", "idle: 30m, day_end: '19:30', time_zone: Europe/Berlin", 1)), env)
	if err != nil {
		t.Fatal(err)
	}
	l := c.SessionLimits()
	if l.DayEnd != 19*time.Hour+30*time.Minute || l.Zone == nil || l.Zone.String() != "Europe/Berlin" || l.Idle != 30*time.Minute {
		t.Errorf("%+v", l)
	}
}

// TestColors ensures that the schema lists the colours that the pages know.
func TestColors(t *testing.T) {
	f, ok := reflect.TypeFor[config.Account]().FieldByName("Color")
	if got, want := f.Tag.Get("jsonschema"), "enum="+strings.Join(portal.Colors(), ",enum="); !ok || got != want {
		t.Errorf("the schema has %q, the pages %q", got, want)
	}
}

// TestAttackLargeTexts ensures that a megabyte of text is refused without work
// that grows faster than the text.
func TestAttackLargeTexts(t *testing.T) {
	const base = "public_url: https://sso.example.com\nidentity_providers: [{id: a, saml: {metadata_url: 'https://idp.example.com/m'}}]\n" +
		"accounts: [{id: \"111122223333\", name: prod}]\nroles: [{name: Admin, iam_role: Admin}]\n"
	var keys, aliases strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	aliases.WriteString("x0: &x0 [z,z,z,z,z,z,z,z,z,z]\n")
	for i := range 8 {
		fmt.Fprintf(&aliases, "x%d: &x%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*x%d,", i), 10), ","))
	}
	for name, tt := range map[string]struct{ text, want string }{
		"very many keys":           {base + keys.String(), "a mapping of more than 2000 keys"},
		"very many keys inside":    {base + "admins:\n  " + strings.ReplaceAll(keys.String(), "\n", "\n  "), "a mapping of more than 2000 keys"},
		"one very long key":        {base + strings.Repeat("k", 1_000_000) + ": 1\n", "unknown key"},
		"very many misspelt names": {base + "rules: [{name: r, when: 'true', roles: [Admin], accounts: [" + strings.Repeat("prdo,", 20_000) + "]}]\n", `did you mean "prod"?`},
		"very deep":                {base + "rules: " + strings.Repeat("[", 500_000), "depth"},
		"aliases of aliases":       {base + aliases.String(), "x.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.ParseDetached(t.Context(), "x.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("want %q, not %.300v", tt.want, err)
			}
		})
	}
}
