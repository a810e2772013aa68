package sqlstore_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	afterType = regexp.MustCompile(`(?m) +`)
	goDown    = regexp.MustCompile(`(?i)\+goose down`)
)

// Both engines have the same migrations, which differ in types only and go
// forward only.
func TestMigrationsAreTheSame(t *testing.T) {
	names := files(t, "migrations/sqlite")
	if diff := cmp.Diff(names, files(t, "migrations/postgres")); diff != "" {
		t.Fatalf("(-sqlite +postgres):\n%s", diff)
	}
	toPostgres := strings.NewReplacer(" blob ", " bytea ", " integer ", " bigint ", ") strict;", ");")
	seen := map[string]string{}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		if len(number) != 5 || seen[number] != "" {
			t.Errorf("%s: five digits are needed that no other has (%s)", name, seen[number])
		}
		seen[number] = name
		lite, pg := read(t, "migrations/sqlite/"+name), read(t, "migrations/postgres/"+name)
		if goDown.MatchString(lite + pg) {
			t.Errorf("%s goes down", name)
		}
		if strings.Contains(pg, "concurrently") {
			continue
		}
		squeeze := func(s string) string { return afterType.ReplaceAllString(s, " ") }
		if diff := cmp.Diff(squeeze(toPostgres.Replace(squeeze(lite))), squeeze(pg)); diff != "" {
			t.Errorf("%s (-sqlite +postgres):\n%s", name, diff)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
