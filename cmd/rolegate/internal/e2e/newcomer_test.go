package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var firstShell = regexp.MustCompile("(?s)## From nothing to AWS\n.*?```sh\n(.*?)```")

// TestNewcomersPath runs the commands of docs/cli-login.md by which a new user
// comes from nothing to sts:GetCallerIdentity: fewer than ten, each as it stands
// there. Only the two that fetch and build the program, and the one that starts
// the demo, are done by the test in its own way, and a browser of the test's
// opens for the sign-in.
func TestNewcomersPath(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/cli-login.md")
	if err != nil {
		t.Fatal(err)
	}
	m := firstShell.FindSubmatch(page)
	if m == nil {
		t.Fatal("docs/cli-login.md has no commands under its first heading")
	}
	lines := strings.Split(strings.TrimSpace(string(m[1])), "\n")
	if len(lines) >= 10 {
		t.Errorf("%d commands", len(lines))
	}
	l := newLaptop(t)
	arn := ""
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " #")
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		switch {
		case words[0] == "git", words[0] == "make", line == "rolegate demo &", words[0] == "export" && strings.HasPrefix(words[1], "AWS_ENDPOINT_URL_STS="):
			// done above: the laptop has the programs, a demo, and the address of its STS
		case words[0] == "rolegate" && words[1] == "login" && len(words) == 3:
			l.login()
		case words[0] == "rolegate":
			l.rolegate(l.env(), words[1:]...)
		case words[0] == "aws":
			cli := filepath.Join(filepath.Dir(need(t, "ROLEGATE_TEST_BOTOCORE")), "aws")
			out, errs, err := l.run(l.env(), cli, words[1:]...)
			if err != nil {
				t.Fatalf("%s: %v\n%s%s", line, err, out, errs)
			}
			var caller struct{ Arn string }
			if err := json.Unmarshal([]byte(out), &caller); err != nil {
				t.Fatal(err, out)
			}
			arn = caller.Arn
		default:
			t.Errorf("the test does not know the command %q", line)
		}
	}
	if arn != wantARN || !strings.Contains(string(page), `"Arn": "`+arn+`"`) {
		t.Errorf("the caller is %q; the page shows another, or it is not bob", arn)
	}
}
