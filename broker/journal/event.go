package journal

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Config holds what a [Journal] works with. Now and Rand may be nil.
type Config struct {
	Events broker.Recorder
	State  broker.StateStore // keeps traces
	Now    func() time.Time  // nil: time.Now
	Rand   io.Reader         // of trace ids; nil: crypto/rand
}

// Journal makes and records events and keeps traces. It is safe for concurrent
// use.
type Journal struct{ c Config }

// New returns a journal, or an error for a configuration without a place to
// write to.
func New(c Config) (*Journal, error) {
	if c.Events == nil || c.State == nil {
		return nil, errors.New("journal: Events and State are needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Journal{c}, nil
}

// Entry is what a use case knows of an event. The journal adds the time, the
// request, and from Err the outcome, the code and the reason.
type Entry struct {
	Action   broker.Action
	By       *broker.Session // who acts; nil: Actor and Username say it, if anybody does
	Actor    broker.Subject
	Username string
	Target   string // role ARN, provider id, subject; bounded by the journal
	Trace    *broker.Trace
	Err      error             // why it was refused or failed; nil: it went well
	Warning  bool              // nothing is wrong yet; only without Err
	Detail   map[string]string // no secret; values are bounded by the journal, empty ones left out
}

func (j *Journal) event(ctx context.Context, e Entry) broker.Event {
	r := broker.RequestFrom(ctx)
	out := broker.Event{
		Time: j.c.Now().UTC(), Action: e.Action, Outcome: broker.OutcomeOK, Code: broker.CodeOf(e.Err), Actor: e.Actor, Username: e.Username,
		Target: bounded(e.Target), RequestID: r.ID, Remote: r.Remote,
	}
	if e.By != nil {
		out.Actor, out.Username = e.By.Identity.Subject, e.By.Identity.Username
	}
	if e.Trace != nil {
		out.TraceID = e.Trace.ID
	}
	detail := map[string]string{}
	maps.Copy(detail, e.Detail)
	switch {
	case e.Err != nil:
		out.Outcome = outcomeOf(e.Err)
		detail["reason"], detail["fix"] = broker.Message(e.Err), broker.Remedy(e.Err)
	case e.Warning:
		out.Outcome = broker.OutcomeWarning
	}
	for k, v := range detail {
		if v = bounded(v); v != "" {
			if out.Detail == nil {
				out.Detail = map[string]string{}
			}
			out.Detail[k] = v
		}
	}
	return out
}

// Record keeps the event of an entry and returns after it is durable.
// CodeUnavailable when the store does not answer.
func (j *Journal) Record(ctx context.Context, e Entry) error {
	return j.RecordWith(ctx, e, j.c.Events.Record)
}

// RecordWith does as [Journal.Record] with a store that keeps the event together
// with something else.
func (j *Journal) RecordWith(ctx context.Context, e Entry, keep func(context.Context, broker.Event) error) error {
	ctx, cancel := broker.Detached(ctx)
	defer cancel()
	return keep(ctx, j.event(ctx, e))
}

// Refuse records that something was refused or failed for e.Err, keeps the
// trace, and returns e.Err; where either cannot be kept, the store's error. What
// was slowed down is not recorded here: the limiter keeps one event a window.
func (j *Journal) Refuse(ctx context.Context, e Entry) error {
	if broker.CodeOf(e.Err) == broker.CodeRateLimited {
		return e.Err
	}
	if e.Trace != nil {
		if err := j.Keep(ctx, e.Trace); err != nil {
			return err
		}
	}
	if err := j.Record(ctx, e); err != nil {
		return err
	}
	return e.Err
}

// maxText bounds each text of an event; the longest of ours, a role ARN with its
// path, has half of it.
const maxText = 1200

func bounded(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

func outcomeOf(err error) broker.Outcome {
	switch broker.CodeOf(err) {
	case broker.CodeInternal, broker.CodeUnavailable:
		return broker.OutcomeFailed
	default:
		return broker.OutcomeRefused
	}
}
