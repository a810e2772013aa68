package storetest

import (
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
)

func event(n int, a broker.Action, o broker.Outcome, s broker.Subject) broker.Event {
	return broker.Event{
		Time: Start.Add(time.Duration(n) * time.Second), Action: a, Outcome: o, Actor: s, Username: "u" + s.ID,
		TraceID: fmt.Sprintf("trace-%d", n), RequestID: fmt.Sprintf("request-%d", n), Remote: "192.0.2.1", Target: "okta",
		Detail: map[string]string{"n": fmt.Sprint(n), "odd": "'\"\x00\u2028é"},
	}
}

func events(f fixture) {
	ctx := f.Context()
	full := event(0, broker.ActionSignIn, broker.OutcomeRefused, alice)
	full.Code = broker.CodeStepUp
	bare := broker.Event{Time: Start, Action: broker.ActionSignOut, Outcome: broker.OutcomeOK}
	want := []broker.Event{full, bare, full} // three of one microsecond stay in order
	for _, e := range want {
		f.must(f.Record(ctx, e))
	}
	got, err := f.Events(ctx, sqlstore.EventFilter{})
	f.must(err)
	f.equal(want, got)

	together(func(i int) {
		if err := f.Record(ctx, event(i+1, broker.ActionConsole, broker.OutcomeOK, bob)); err != nil {
			f.Error(err)
		}
	})
	got, err = f.Events(ctx, sqlstore.EventFilter{Action: broker.ActionConsole})
	f.must(err)
	f.equal(50, len(got))
}

func eventFilters(f fixture) {
	ctx := f.Context()
	all := []broker.Event{
		event(0, broker.ActionSignIn, broker.OutcomeOK, alice),
		event(1, broker.ActionSignIn, broker.OutcomeRefused, bob),
		event(2, broker.ActionConsole, broker.OutcomeOK, carol),
		event(3, broker.ActionConsole, broker.OutcomeFailed, alice),
	}
	for _, i := range []int{2, 0, 3, 1} { // told in the order of their times, not of their arrival
		f.must(f.Record(ctx, all[i]))
	}
	for _, tt := range []struct {
		filter sqlstore.EventFilter
		want   []int
	}{
		{sqlstore.EventFilter{}, []int{0, 1, 2, 3}},
		{sqlstore.EventFilter{Limit: 2}, []int{2, 3}},
		{sqlstore.EventFilter{Since: all[1].Time, Until: all[3].Time}, []int{1, 2}},
		{sqlstore.EventFilter{Action: broker.ActionSignIn}, []int{0, 1}},
		{sqlstore.EventFilter{Outcome: broker.OutcomeOK}, []int{0, 2}},
		{sqlstore.EventFilter{Actor: alice}, []int{0, 3}},
		{sqlstore.EventFilter{Actor: alice, Action: broker.ActionConsole, Limit: 5}, []int{3}},
		{sqlstore.EventFilter{Username: "u00u-bob"}, []int{1}},
		{sqlstore.EventFilter{TraceID: "trace-2"}, []int{2}},
		{sqlstore.EventFilter{RequestID: "request-3"}, []int{3}},
		{sqlstore.EventFilter{TraceID: "' or 1=1 --"}, nil},
	} {
		got, err := f.Events(ctx, tt.filter)
		f.must(err)
		var want []broker.Event
		for _, i := range tt.want {
			want = append(want, all[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			f.Errorf("%+v (-want +got):\n%s", tt.filter, diff)
		}
	}
}
