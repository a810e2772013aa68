//go:build unix

package main

import (
	"os"
	"syscall"
)

// handOver becomes rolegate.
func handOver(args []string) int {
	path := find()
	if path == "" {
		return fail("the program rolegate is neither beside this one nor in the path")
	}
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ()) //nolint:gosec // G204: our own program
	return fail(path + ": " + err.Error())
}
