package broker

import "context"

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
