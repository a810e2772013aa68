//go:build unix

package client_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

// injections are texts that a shell carries out where they are not quoted well.
// Each makes the file PWNED in the folder it runs in.
var injections = []string{
	"Admin$(touch PWNED)", "Admin`touch PWNED`", "Admin;touch PWNED", "Admin|touch PWNED", "Admin&touch PWNED", "Admin\ntouch PWNED", `Admin";touch PWNED;"`,
	`Admin';touch PWNED;'`, `Admin\";touch PWNED;\"`, "Admin>PWNED", "Admin #", "--help", "-c", "a b", "${IFS}", "$HOME", "*", "~", "%PATH%", "\u202eAdmin",
}

// TestAttackRoleNameRunsCode ensures that a server whose roles are called so
// gets nothing of it written.
func TestAttackRoleNameRunsCode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	for _, name := range injections {
		for _, sso := range []string{"", "corp"} {
			p := client.Profiles{Path: path, Region: "r", Program: []string{"/bin/x"}, SSO: sso, Server: "https://s"}
			all := roles("prod/Admin")
			all[0].Role = name
			if _, err := p.Plan(all); broker.CodeOf(err) != broker.CodeUnavailable {
				t.Errorf("the role %q: %v", name, err)
			}
		}
	}
}

// TestProcessOfTheSDK ensures, with AWS's own SDK and with sh, that the line we
// write runs our program with these two words and nothing else, wherever the
// program lies and whatever the account is called.
func TestProcessOfTheSDK(t *testing.T) {
	for _, folder := range append([]string{"plain", "two words", "it's", `a"b`, `a\b`, "(x)", "a=b,c", "{a,b}", "a[b]c", "!x", "a'b'c d"}, injections...) {
		if strings.Contains(folder, "\n") || strings.Contains(folder, " #") || strings.Contains(folder, "\u202e") {
			continue // refused, see below
		}
		t.Run(folder, func(t *testing.T) {
			home := t.TempDir()
			program := filepath.Join(home, folder, "rolegate")
			if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\nprintf '%s\\n' \"$@\" >>args\n" +
				`printf '%s' '{"Version":1,"AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"s","SessionToken":"t"}'` + "\n"
			if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(home, "config")
			all := []api.Assignment{{Account: broker.Account{ID: "111122223333", Name: "prod " + folder}, Role: "Read+Only=1,2.3@4-5"}}
			all[0].Account.Name = strings.Map(func(r rune) rune {
				if broker.Breaks(r) {
					return -1
				}
				return r
			}, all[0].Account.Name)
			c, err := client.Profiles{Path: path, Region: "eu-west-1", Program: []string{program, "credentials"}}.Plan(all)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Write(); err != nil {
				t.Fatal(err)
			}
			t.Chdir(home)
			cfg, err := config.LoadDefaultConfig(t.Context(), config.WithSharedConfigFiles([]string{path}), config.WithSharedCredentialsFiles(nil), config.WithSharedConfigProfile(c.Names[0]))
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Credentials.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "ASIAEXAMPLE" || got.Source != "ProcessProvider" {
				t.Fatalf("the SDK gets %q from %q: %v\n%s", got.AccessKeyID, got.Source, err, c.After())
			}
			_, line, _ := strings.Cut(string(c.After()), "credential_process = ")
			line, _, _ = strings.Cut(line, "\n")
			if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("sh -c %s: %v %s", line, err, out)
			}
			once := "credentials\n111122223333\nRead+Only=1,2.3@4-5\n"
			if b, err := os.ReadFile(filepath.Join(home, "args")); err != nil || string(b) != once+once {
				t.Errorf("it was told %q (%v) by %s", b, err, line)
			}
			if _, err := os.Lstat("PWNED"); err == nil {
				t.Errorf("%s was carried out", line)
			}
		})
	}
	for _, folder := range []string{"a\nb", "a #b", "a ;b", "a\u202eb"} {
		p := client.Profiles{Path: filepath.Join(t.TempDir(), "config"), Region: "r", Program: []string{"/" + folder + "/rolegate"}}
		if _, err := p.Plan(roles("prod/Admin")); broker.CodeOf(err) != broker.CodeConflict {
			t.Errorf("a folder %q: %v", folder, err)
		}
	}
}
