package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/module"
)

// What the linker is told for where Go cannot know it: a build without the
// repository, as in a container image, or from a worktree.
var version, commit, date string

const unknown = "unknown"

// build says what this program was built from. What is not known is "unknown",
// a version "dev".
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Date     string `json:"date"` // of the commit, RFC 3339
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild is what Go recorded, and else what the linker was told.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return buildOf(info, build{Version: version, Commit: commit, Date: date, Modified: strings.HasSuffix(version, "-dirty")})
}

// buildOf reads what Go recorded: of a checkout its commit, of an installed
// module its version, which holds both if it was made from a commit.
func buildOf(info *debug.BuildInfo, told build) build {
	b := build{Version: info.Main.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if plain, _, _ := strings.Cut(b.Version, "+"); b.Commit == "" && module.IsPseudoVersion(plain) {
		if rev, err := module.PseudoVersionRev(plain); err == nil {
			b.Commit = rev
		}
		if at, err := module.PseudoVersionTime(plain); err == nil {
			b.Date = at.Format(time.RFC3339)
		}
	}
	if b.Version == "(devel)" {
		b.Version = ""
	}
	if b.Commit == "" {
		b.Modified = told.Modified
	}
	b.Version = first(b.Version, told.Version, "dev")
	b.Commit = first(b.Commit, told.Commit, unknown)
	b.Date = first(b.Date, told.Date, unknown)
	return b
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// String is one line for people.
func (b build) String() string {
	changed := ""
	if b.Modified {
		changed = " with local changes"
	}
	return fmt.Sprintf("rolegate %s, commit %s%s, %s, %s %s", b.Version, b.Commit, changed, b.Date, b.Go, b.Platform)
}

func versionText() string { return thisBuild().Version }

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version, commit and date", Args: exactly(0, "rolegate version"),
		RunE: func(*cobra.Command, []string) error {
			if p.json {
				return p.printJSON(thisBuild())
			}
			fmt.Fprintln(p.stdout, thisBuild())
			return nil
		},
	}
}
