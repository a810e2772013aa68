package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/rolegate/rolegate/cmd/internal/rolecache"
)

func main() {
	if out := cached(os.Args[1:], os.Getenv, time.Now()); out != nil {
		if _, err := os.Stdout.Write(out); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(handOver(append([]string{"credentials"}, os.Args[1:]...)))
}

// cached returns what to print for ACCOUNT ROLE, nil if rolegate must be asked.
func cached(args []string, env func(string) string, now time.Time) []byte {
	if len(args) != 2 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[1], "-") {
		return nil
	}
	dir, err := rolecache.Dir(env)
	if err != nil {
		return nil
	}
	key, err := rolecache.ReadKey(dir)
	if err != nil {
		return nil
	}
	e, err := rolecache.Read(dir, key, rolecache.Name(args[0], args[1], ""))
	if err != nil || !e.Fresh(now) {
		return nil
	}
	return e.Output
}

// find returns the rolegate program: beside this one, or in the path.
func find() string {
	name := "rolegate"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), name); isFile(p) {
			return p
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if p := filepath.Join(dir, name); filepath.IsAbs(p) && isFile(p) {
			return p
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path) //nolint:gosec // G703: the person's own path, as a shell searches it
	return err == nil && info.Mode().IsRegular()
}

func fail(text string) int {
	_, _ = os.Stderr.WriteString("rolegate-credentials: " + text + "\n")
	return 1
}
