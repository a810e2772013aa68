package broker

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of failure an [Error] is. Every transport maps codes to
// its own status values in one table.
type Code string

// The codes. CodeInternal is the code of every error that is not an [Error].
const (
	CodeInvalid         Code = "invalid"         // the input is wrong; the message says what to change
	CodeUnauthenticated Code = "unauthenticated" // no valid session, or a proof that does not verify
	CodeDenied          Code = "denied"          // known person, not allowed
	CodeStepUp          Code = "step_up"         // stronger or fresher authentication is needed (RFC 9470)
	CodeNotFound        Code = "not_found"
	CodeConflict        Code = "conflict"
	CodeRateLimited     Code = "rate_limited"
	CodePending         Code = "pending"     // a device code that nobody has decided on yet (RFC 8628 3.5)
	CodeSlowDown        Code = "slow_down"   // the same, asked for too often
	CodeUnavailable     Code = "unavailable" // an identity provider, AWS or the store does not answer
	CodeInternal        Code = "internal"
)

// Error is the one typed error of rolegate. Message and Remedy are public and
// written by us, never taken from a wrapped error; Err is private and reaches
// traces and logs only.
type Error struct {
	Code    Code
	Message string // what went wrong, in the words of the person's world
	Remedy  string // what to do about it; may be empty
	StepUp  *StepUp
	Err     error

	RetryAfter time.Duration // when trying again may help; zero: not said
}

// Error returns the private text, cause included. Pages use [Message].
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an [Error] whose public message is the formatted text. It does
// not wrap: use [Error.Because] for the private cause.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Because returns a copy of e with err as its private cause.
func (e *Error) Because(err error) *Error {
	c := *e
	c.Err = err
	return &c
}

// Fix returns a copy of e that tells what to do.
func (e *Error) Fix(format string, args ...any) *Error {
	c := *e
	c.Remedy = fmt.Sprintf(format, args...)
	return &c
}

// CodeOf returns the code of the first [Error] in err's chain, CodeInternal if
// there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// Message returns the public text for err. For an error that is not an [Error]
// it is a fixed sentence.
func Message(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Message
	}
	return "Something went wrong on our side."
}

// Remedy returns what the person can do about err, or "".
func Remedy(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Remedy
	}
	return ""
}
