package broker

import (
	"context"
	"time"
)

type contextKey int

const (
	keyTrace contextKey = iota
	keyRequest
)

// Request is what the use cases need to know of the HTTP request they serve.
type Request struct {
	ID        string // random 128 bits, hex
	Remote    string // client address without port
	UserAgent string // as the browser said, at most 200 bytes of printable ASCII
}

// WithRequest returns a context that carries r.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, keyRequest, r)
}

// RequestFrom returns the request in ctx, or the zero Request.
func RequestFrom(ctx context.Context) Request {
	r, _ := ctx.Value(keyRequest).(Request)
	return r
}

// WithTrace returns a context that carries t.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, keyTrace, t)
}

// TraceFrom returns the trace in ctx, or nil. A nil *Trace takes notes and
// drops them.
func TraceFrom(ctx context.Context) *Trace {
	t, _ := ctx.Value(keyTrace).(*Trace)
	return t
}

// AfterTheFact is how long what must still happen after a point of no return may
// take.
const AfterTheFact = 10 * time.Second

// Detached returns a context for what must happen whether or not the person
// still waits: it carries what ctx does, does not end with it, and ends by
// itself after [AfterTheFact].
func Detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), AfterTheFact)
}
