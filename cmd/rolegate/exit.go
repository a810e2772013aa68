package main

import (
	"errors"
	"io/fs"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// Exit codes, one for each kind of failure a script may want to tell apart.
const (
	exitOK              = 0
	exitInternal        = 1
	exitInvalid         = 2 // bad arguments or configuration
	exitUnauthenticated = 3
	exitDenied          = 4
	exitNotFound        = 5
	exitConflict        = 6
	exitUnavailable     = 7
	exitStepUp          = 8
)

const exitHelp = `Exit codes: 0 done, 1 internal error, 2 bad arguments or configuration,
3 not signed in, 4 denied, 5 not found, 6 conflict, 7 unavailable, 8 second factor needed,
130 interrupted by Ctrl-C.`

// usageError is a mistake on the command line.
type usageError struct{ error }

func exitCode(err error) int {
	var usage usageError
	var problems config.Problems
	switch {
	case errors.As(err, &usage), errors.As(err, &problems):
		return exitInvalid
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // a file that arguments or configuration name
		return exitInvalid
	}
	switch broker.CodeOf(err) {
	case "":
		return exitOK
	case broker.CodeInvalid:
		return exitInvalid
	case broker.CodeUnauthenticated:
		return exitUnauthenticated
	case broker.CodeDenied:
		return exitDenied
	case broker.CodeNotFound:
		return exitNotFound
	case broker.CodeConflict:
		return exitConflict
	case broker.CodeRateLimited, broker.CodeUnavailable:
		return exitUnavailable
	case broker.CodeStepUp:
		return exitStepUp
	default:
		return exitInternal
	}
}
