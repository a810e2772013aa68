// Package wire holds what the rooms for programs share: reading a form or a
// JSON document once and strictly, and errors in a protocol's own shape. The
// shell renders the errors, so that they are logged like all others.
package wire
