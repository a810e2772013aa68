package broker

import (
	"fmt"
	"sync"
	"time"
)

// maxTraceSteps bounds what one sign-in can write.
const maxTraceSteps = 100

// Trace is what happened in one sign-in attempt or one failed request, step by
// step, for an admin to read. Its ID is three plain words and two digits, safe
// to read over the phone. Details hold no secret and no raw document. It is
// safe for concurrent use, and a nil Trace drops what it is given.
type Trace struct {
	ID      string
	Started time.Time

	mu    sync.Mutex
	steps []TraceStep
}

// TraceStep is one line of a trace.
type TraceStep struct {
	Name   string `json:"name"` // e.g. "saml.signature"
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// Pass notes a step that went well.
func (t *Trace) Pass(name, format string, args ...any) { t.add(name, true, format, args...) }

// Fail notes the step that refused or broke.
func (t *Trace) Fail(name, format string, args ...any) { t.add(name, false, format, args...) }

func (t *Trace) add(name string, ok bool, format string, args ...any) {
	if t == nil {
		return
	}
	detail := fmt.Sprintf(format, args...)
	if len(detail) > 500 {
		detail = detail[:500] + "…"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) < maxTraceSteps {
		t.steps = append(t.steps, TraceStep{Name: name, OK: ok, Detail: detail})
	}
}

// RestoreTrace returns a trace as it was kept.
func RestoreTrace(id string, started time.Time, steps []TraceStep) *Trace {
	return &Trace{ID: id, Started: started, steps: steps}
}

// Prepend puts the steps of an earlier request of the same attempt first.
func (t *Trace) Prepend(steps []TraceStep) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(append([]TraceStep(nil), steps...), t.steps...)
}

// Steps returns a copy of the steps.
func (t *Trace) Steps() []TraceStep {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]TraceStep(nil), t.steps...)
}
