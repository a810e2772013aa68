package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/brokertest"
)

const day = 24 * time.Hour

// TestCertificateAlarms ensures that each threshold is told once, the most
// urgent one alone where several are crossed, over restarts and nodes alike.
func TestCertificateAlarms(t *testing.T) {
	r := brokertest.New(t)
	now := r.Clock
	certificate := admin.CertificateEnd{Use: "idp-signing", Provider: "okta", Fingerprint: "aa", NotAfter: now.Add(100 * day)}
	// Every call is that of a node that just started: only the store is the same.
	raise := func(at time.Time, all ...admin.CertificateEnd) string {
		t.Helper()
		alarms, err := admin.CertificateAlarms{State: r.Store, Journal: r.Broker().Journal, Now: func() time.Time { return at }}.Raise(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, a := range alarms {
			out = append(out, a.Fingerprint, map[int]string{60: "60", 30: "30", 7: "7"}[a.Days])
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		left time.Duration
		want string
	}{
		{100 * day, ""}, {60*day + time.Second, ""}, {60 * day, "aa 60"}, {59 * day, ""}, {30*day + time.Second, ""}, {30 * day, "aa 30"}, {8 * day, ""},
		{7 * day, "aa 7"}, {day, ""}, {0, ""}, {-day, ""}, {-30 * day, ""},
	} {
		if got := raise(certificate.NotAfter.Add(-tt.left), certificate); got != tt.want {
			t.Errorf("%s before the end: %q, want %q", tt.left, got, tt.want)
		}
	}
	late := admin.CertificateEnd{Use: "tls", Fingerprint: "bb", NotAfter: now.Add(5 * day)}
	over := admin.CertificateEnd{Use: "sp-signing", Fingerprint: "cc", NotAfter: now.Add(-day)}
	if got := raise(now, late, over); got != "cc 7 bb 7" {
		t.Errorf("seen late: %q", got)
	}
	if got := raise(now, late, over); got != "" {
		t.Errorf("again: %q", got)
	}
	renewed := late
	renewed.Fingerprint, renewed.NotAfter = "dd", now.Add(20*day)
	if got := raise(now, renewed); got != "dd 30" {
		t.Errorf("another certificate in its place: %q", got)
	}
	e := r.Store.AllEvents()[0]
	if len(r.Store.AllEvents()) != 6 || e.Action != broker.ActionCertificate || e.Outcome != broker.OutcomeWarning || e.Target != "okta" ||
		e.Detail["use"] != "idp-signing" || e.Detail["days"] != "60" || e.Detail["fingerprint"] != "aa" || e.Detail["not_after"] == "" {
		t.Errorf("%d events, the first %+v", len(r.Store.AllEvents()), e)
	}
}

// TestCertificateAlarmIsNotLost ensures that an alarm whose event was not
// recorded comes again.
func TestCertificateAlarmIsNotLost(t *testing.T) {
	r := brokertest.New(t)
	a := admin.CertificateAlarms{State: r.Store, Journal: r.Broker().Journal, Now: r.Now}
	ends := []admin.CertificateEnd{{Use: "tls", Fingerprint: "aa", NotAfter: r.Clock.Add(day)}}
	r.Store.LoseEvents(true)
	if raised, err := a.Raise(t.Context(), ends); err == nil || len(raised) != 0 {
		t.Errorf("raised %v without an event: %v", raised, err)
	}
	r.Store.LoseEvents(false)
	if raised, err := a.Raise(t.Context(), ends); err != nil || len(raised) != 1 {
		t.Errorf("raised %v %v", raised, err)
	}
}
