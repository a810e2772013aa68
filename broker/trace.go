package broker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"sync"
	"time"
)

// TraceTTL is how long a trace is kept.
const TraceTTL = 7 * 24 * time.Hour

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

// prepend puts the steps of an earlier request of the same attempt first.
func (t *Trace) prepend(steps []TraceStep) {
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

type traceRecord struct {
	Started time.Time   `json:"started"`
	Steps   []TraceStep `json:"steps"`
}

// Traces starts and keeps traces.
type Traces struct {
	State StateStore
	Now   func() time.Time
	Rand  io.Reader // nil: crypto/rand
}

// Start makes a trace with a fresh id. It does not touch the store.
func (ts Traces) Start() *Trace {
	return &Trace{ID: traceID(ts.Rand), Started: ts.Now()}
}

// Save keeps t for [TraceTTL], replacing an earlier save.
func (ts Traces) Save(ctx context.Context, t *Trace) error {
	b, err := json.Marshal(traceRecord{Started: t.Started, Steps: t.Steps()})
	if err != nil {
		return fmt.Errorf("broker: encode trace: %w", err)
	}
	return ts.State.Put(ctx, "trace/"+t.ID, b, TraceTTL)
}

// Find returns the trace with the id; CodeNotFound if there is none.
func (ts Traces) Find(ctx context.Context, id string) (*Trace, error) {
	b, err := ts.State.Get(ctx, "trace/"+id)
	if err != nil {
		return nil, err
	}
	var rec traceRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, fmt.Errorf("broker: decode trace: %w", err)
	}
	return &Trace{ID: id, Started: rec.Started, steps: rec.Steps}, nil
}

func traceID(r io.Reader) string {
	if r == nil {
		r = rand.Reader
	}
	pick := func(n int) int {
		v, err := rand.Int(r, big.NewInt(int64(n)))
		if err != nil {
			// crypto/rand does not fail (Go 1.24); a test reader that does
			// gets a constant id rather than a half-made one.
			return 0
		}
		return int(v.Int64())
	}
	return fmt.Sprintf("%s-%s-%s-%02d", traceWords[pick(len(traceWords))],
		traceWords[pick(len(traceWords))], traceWords[pick(len(traceWords))], pick(100))
}
