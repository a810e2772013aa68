package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestBuildOf holds what each way to build records.
func TestBuildOf(t *testing.T) {
	const rev = "97134fd0c2f5f3f4b1a1d9a4c0b1e2f3a4b5c6d7"
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: rev},
			{Key: "vcs.time", Value: "2026-11-25T00:16:10Z"}, {Key: "vcs.modified", Value: modified}}
	}
	told := build{Version: "v1.2.3", Commit: "abc", Date: "2026-01-01T00:00:00Z"}
	for _, tt := range []struct {
		name     string
		version  string
		settings []debug.BuildSetting
		told     build
		want     build
	}{
		{"a checkout at a tag", "v1.4.0", vcs("false"), build{}, build{Version: "v1.4.0", Commit: rev, Date: "2026-11-25T00:16:10Z"}},
		{"a checkout between tags", "v1.4.1-0.20261125001610-97134fd0c2f5", vcs("false"), build{},
			build{Version: "v1.4.1-0.20261125001610-97134fd0c2f5", Commit: rev, Date: "2026-11-25T00:16:10Z"}},
		{"a changed checkout", "v0.0.0-20261125001610-97134fd0c2f5+dirty", vcs("true"), build{},
			build{Version: "v0.0.0-20261125001610-97134fd0c2f5+dirty", Commit: rev, Date: "2026-11-25T00:16:10Z", Modified: true}},
		{"the repository is believed before the linker", "v1.4.0", vcs("false"), told, build{Version: "v1.4.0", Commit: rev, Date: "2026-11-25T00:16:10Z"}},
		{"an installed commit", "v0.0.0-20261125001610-97134fd0c2f5", nil, build{},
			build{Version: "v0.0.0-20261125001610-97134fd0c2f5", Commit: "97134fd0c2f5", Date: "2026-11-25T00:16:10Z"}},
		{"an installed tag", "v1.4.0", nil, build{}, build{Version: "v1.4.0", Commit: unknown, Date: unknown}},
		{"an image, told by the linker", "(devel)", nil, told, told},
		{"an image that was told the commit only", "(devel)", nil, build{Commit: "abc"}, build{Version: "dev", Commit: "abc", Date: unknown}},
		{"a worktree, told by make", "(devel)", nil, build{Version: "v1.2.3-dirty", Commit: "abc", Date: "d", Modified: true},
			build{Version: "v1.2.3-dirty", Commit: "abc", Date: "d", Modified: true}},
		{"no repository, nothing told", "(devel)", nil, build{}, build{Version: "dev", Commit: unknown, Date: unknown}},
		{"no build information", "", nil, build{}, build{Version: "dev", Commit: unknown, Date: unknown}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := buildOf(&debug.BuildInfo{Main: debug.Module{Version: tt.version}, Settings: tt.settings}, tt.told)
			if d := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(build{}, "Go", "Platform")); d != "" || got.Go == "" || got.Platform == "" {
				t.Error(d, got)
			}
		})
	}
}

// TestBuildsSayTheirCommit builds in a clone in each way that the documentation
// names, and asks the program.
func TestBuildsSayTheirCommit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clone")
	do := func(in string, env []string, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir, cmd.Env = in, append(os.Environ(), env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	for _, needed := range []string{"git", "make"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip(err)
		}
	}
	if exec.CommandContext(t.Context(), "git", "clone", "-q", "../..", dir).Run() != nil {
		t.Skip("this is no repository")
	}
	head := do(dir, nil, "git", "rev-parse", "HEAD")
	date := do(dir, []string{"TZ=UTC"}, "git", "show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
	without := []string{"CGO_ENABLED=0", "GOFLAGS=-buildvcs=false"}
	image := `-ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/ ./cmd/rolegate ./cmd/rolegate-credentials` + "\n"
	if b, err := os.ReadFile("../../Dockerfile"); err != nil || !strings.Contains(string(b), image) {
		t.Errorf("the image is built otherwise than here: %v", err)
	}
	for _, tt := range []struct {
		name     string
		build    func()
		modified bool
	}{
		{"go build", func() {
			do(dir, []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath"}, "go", "build", "./cmd/rolegate")
		}, false},
		{"make build", func() { do(dir, without, "make", "build") }, false},
		{"the image", func() {
			do(dir, without, "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v9 -X main.commit="+head+" -X main.date="+date, "./cmd/rolegate")
		}, false},
		{"make build, changed", func() {
			if err := os.WriteFile(filepath.Join(dir, "SECURITY.md"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			do(dir, without, "make", "build")
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.build()
			out := do(dir, nil, filepath.Join(dir, "rolegate"), "version", "--json")
			var got build
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			if got.Commit != head || got.Date != date || got.Modified != tt.modified || got.Version == "dev" {
				t.Errorf("at %s of %s: %s", head, date, out)
			}
			if line := do(dir, nil, filepath.Join(dir, "rolegate"), "version"); !strings.Contains(line, head) || !strings.Contains(line, date) {
				t.Error(line)
			}
		})
	}
}
