package journal_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/journal"
)

// TestNewRefusesMissingParts ensures that there is no journal that could write
// nowhere.
func TestNewRefusesMissingParts(t *testing.T) {
	s := brokertest.NewStore(t, time.Now)
	for _, tt := range []struct {
		name string
		c    journal.Config
	}{
		{"nothing", journal.Config{}},
		{"no place for events", journal.Config{State: s}},
		{"no place for traces", journal.Config{Events: s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if j, err := journal.New(tt.c); err == nil || j != nil {
				t.Errorf("%v, %v", j, err)
			}
		})
	}
}

// TestRefuse ensures that a refusal leaves its event and its trace and is handed
// on, that one of the limiter leaves none, and that a store which cannot keep
// either is heard of.
func TestRefuse(t *testing.T) {
	denied := broker.Errorf(broker.CodeDenied, "no")
	slow := broker.Errorf(broker.CodeRateLimited, "Too many.")
	for _, tt := range []struct {
		name      string
		err       error
		trace     bool
		noTraces  bool
		noEvents  bool
		want      error
		events    int
		wantTrace bool
	}{
		{name: "with a trace", err: denied, trace: true, want: denied, events: 1, wantTrace: true},
		{name: "without a trace", err: denied, want: denied, events: 1},
		{name: "slowed down", err: slow, trace: true, want: slow},
		{name: "slowed down, and no event could be kept", err: slow, trace: true, noEvents: true, want: slow},
		{name: "the trace cannot be kept", err: denied, trace: true, noTraces: true, want: brokertest.ErrDown},
		{name: "the event cannot be kept", err: denied, trace: true, noEvents: true, want: brokertest.ErrDown, wantTrace: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := brokertest.NewStore(t, time.Now)
			var state broker.StateStore = s
			if tt.noTraces {
				state = brokertest.Failing{Store: s, Call: "put"}
			}
			j, err := journal.New(journal.Config{Events: s, State: state})
			if err != nil {
				t.Fatal(err)
			}
			trace := j.Start()
			trace.Fail("signin.refused", "planted-step")
			e := journal.Entry{Action: broker.ActionSignIn, Target: "okta", Err: tt.err}
			if tt.trace {
				e.Trace = trace
			}
			s.LoseEvents(tt.noEvents)
			if err := j.Refuse(t.Context(), e); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			s.LoseEvents(false)
			if got := s.AllEvents(); len(got) != tt.events {
				t.Errorf("%d events, want %d", len(got), tt.events)
			}
			kept, err := j.Trace(t.Context(), trace.ID)
			if tt.wantTrace != (err == nil) {
				t.Fatalf("its trace: %v", err)
			}
			if err == nil && (len(kept.Steps()) != 1 || !strings.Contains(kept.Steps()[0].Detail, "planted-step")) {
				t.Errorf("steps %+v", kept.Steps())
			}
		})
	}
}

// TestRecordSaysWhatWasNotKept ensures that no caller takes an event or a trace
// for kept that is not, and that what is no trace is not taken for one.
func TestRecordSaysWhatWasNotKept(t *testing.T) {
	s := brokertest.NewStore(t, time.Now)
	j, err := journal.New(journal.Config{Events: s, State: s})
	if err != nil {
		t.Fatal(err)
	}
	trace := j.Start()
	s.SetState("trace/"+trace.ID, []byte("{"))
	_, err = j.Trace(t.Context(), trace.ID)
	brokertest.WantCode(t, "what is no trace", broker.CodeInternal, err)
	s.Down(true)
	e := journal.Entry{Action: broker.ActionSignIn}
	brokertest.WantCode(t, "an event", broker.CodeUnavailable, j.Record(t.Context(), e))
	brokertest.WantCode(t, "an event with something else", broker.CodeUnavailable, j.RecordWith(t.Context(), e, s.Record))
	brokertest.WantCode(t, "a trace", broker.CodeUnavailable, j.Keep(t.Context(), trace))
	_, err = j.Trace(t.Context(), trace.ID)
	brokertest.WantCode(t, "reading a trace", broker.CodeUnavailable, err)
}
