//go:build !unix

package main

import "os"

// handOver runs rolegate and ends as it does.
func handOver(args []string) int {
	path := find()
	if path == "" {
		return fail("the program rolegate is neither beside this one nor in the path")
	}
	p, err := os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return fail(path + ": " + err.Error())
	}
	state, err := p.Wait()
	if err != nil {
		return fail(path + ": " + err.Error())
	}
	return state.ExitCode()
}
