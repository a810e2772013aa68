package journal

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// TraceTTL is how long a trace is kept.
const TraceTTL = 7 * 24 * time.Hour

type traceRecord struct {
	Started time.Time          `json:"started"`
	Steps   []broker.TraceStep `json:"steps"`
}

// Start makes a trace with a fresh id. It does not touch the store.
func (j *Journal) Start() *broker.Trace {
	return &broker.Trace{ID: traceID(j.c.Rand), Started: j.c.Now()}
}

// Keep keeps t for [TraceTTL], replacing an earlier state of it.
func (j *Journal) Keep(ctx context.Context, t *broker.Trace) error {
	b, err := json.Marshal(traceRecord{Started: t.Started, Steps: t.Steps()})
	if err != nil {
		return fmt.Errorf("journal: encode trace: %w", err)
	}
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	return j.c.State.Put(ctx, "trace/"+t.ID, b, TraceTTL)
}

// Trace returns the trace with the id; CodeNotFound if there is none.
func (j *Journal) Trace(ctx context.Context, id string) (*broker.Trace, error) {
	b, err := j.c.State.Get(ctx, "trace/"+id)
	if err != nil {
		return nil, err
	}
	var rec traceRecord
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, fmt.Errorf("journal: decode trace: %w", err)
	}
	return broker.RestoreTrace(id, rec.Started, rec.Steps), nil
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
