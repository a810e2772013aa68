package metrics_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/metrics"
)

var now = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// store is a recorder and state store that fails on demand.
type store struct {
	broker.StateStore
	err error
}

func (s *store) Record(context.Context, broker.Event) error { return s.err }

func (s *store) Get(context.Context, string) ([]byte, error) { return nil, s.err }

func newMetrics() *metrics.Metrics {
	m := metrics.New(metrics.Config{Now: func() time.Time { return now }, Version: "1.2.3", State: func() metrics.State {
		end := metrics.Certificate{Use: "idp-signing", Provider: "corp", Fingerprint: "0011223344556677", NotAfter: now.Add(time.Hour)}
		return metrics.State{
			Providers: []metrics.Provider{
				{ID: "corp", Status: broker.ProviderStatus{Refreshed: now.Add(-90 * time.Second), Standing: broker.Standing{Reach: broker.ReachUp}}},
				{ID: "other", Status: broker.ProviderStatus{Standing: broker.Standing{Reach: broker.ReachDown, Failures: 3}}},
				{ID: "fresh"},
			},
			Certificates: []metrics.Certificate{end, end},
		}
	}})
	m.SetProviders([]broker.ProviderID{"corp", "other"})
	return m
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("status %d\n%s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, "\n"+l+"\n") {
			t.Errorf("no line %q", l)
		}
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?m)^(#|go_|process_).*\n`).ReplaceAllString(text, ""))
	}
}

// TestCounts ensures that what happens is counted under the names that the
// documentation gives.
func TestCounts(t *testing.T) {
	m, s := newMetrics(), &store{}
	r := m.Recorder(s)
	subject := broker.Subject{Provider: "corp", ID: "alice-0001"}
	for _, e := range []broker.Event{
		{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Target: "corp", Actor: subject, Username: "alice"},
		{Action: broker.ActionSignIn, Outcome: broker.OutcomeRefused, Target: "corp"},
		{Action: broker.ActionCredentials, Outcome: broker.OutcomeOK, Target: "arn:aws:iam::111122223333:role/Admin", Actor: subject, Username: "alice", Detail: map[string]string{"via": "saml", "session_name": "alice@example.com"}},
		{Action: broker.ActionConsole, Outcome: broker.OutcomeRefused, Target: "prod/Admin", Actor: subject},
		{Action: broker.ActionListRoles, Outcome: broker.OutcomeOK, Actor: subject},
	} {
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	m.Request("GET /{$}", http.StatusOK)
	m.Request("GET /{$}", http.StatusSeeOther)
	m.Request("", http.StatusNotFound)
	m.Reload(errors.New("x"))
	has(t, scrape(t, m),
		`rolegate_sign_ins_total{outcome="ok",provider="corp"} 1`,
		`rolegate_sign_ins_total{outcome="refused",provider="corp"} 1`,
		`rolegate_mints_total{outcome="ok",via="saml"} 1`,
		`rolegate_mints_total{outcome="refused",via="unknown"} 1`,
		`rolegate_http_requests_total{route="GET /{$}",status="2xx"} 1`,
		`rolegate_http_requests_total{route="GET /{$}",status="3xx"} 1`,
		`rolegate_http_requests_total{route="none",status="4xx"} 1`,
		`rolegate_config_reloads_total{result="refused"} 1`,
		`rolegate_config_last_reload_successful 0`,
		`rolegate_metadata_age_seconds{provider="corp"} 90`,
		`rolegate_metadata_age_seconds{provider="other"} -1`,
		`rolegate_provider_up{provider="corp"} 1`,
		`rolegate_provider_up{provider="other"} 0`,
		`rolegate_provider_refresh_failures_total{provider="corp"} 0`,
		`rolegate_provider_refresh_failures_total{provider="other"} 3`,
		`rolegate_certificate_not_after_timestamp_seconds{fingerprint="0011223344556677",provider="corp",use="idp-signing"} 1.7955144e+09`,
		`rolegate_build_info{version="1.2.3"} 1`,
	)
	if strings.Contains(scrape(t, m), `rolegate_provider_up{provider="fresh"}`) {
		t.Error("a provider that was not tried yet is up or down")
	}
	m.Reload(nil)
	has(t, scrape(t, m), `rolegate_config_last_reload_successful 1`, `rolegate_config_reloads_total{result="ok"} 1`)
}

// TestStoreErrors ensures that an event that was not recorded is counted as an
// error and as nothing else, and that a missing key is none.
func TestStoreErrors(t *testing.T) {
	m, s := newMetrics(), &store{err: broker.Errorf(broker.CodeUnavailable, "gone")}
	if err := m.Recorder(s).Record(t.Context(), broker.Event{Action: broker.ActionSignIn, Outcome: broker.OutcomeOK, Target: "corp"}); err == nil {
		t.Error("the error is lost")
	}
	if _, err := m.State(s).Get(t.Context(), "k"); err == nil {
		t.Error("the error is lost")
	}
	s.err = broker.Errorf(broker.CodeNotFound, "none")
	_, _ = m.State(s).Get(t.Context(), "k")
	text := scrape(t, m)
	has(t, text, `rolegate_store_errors_total{operation="record_event"} 1`, `rolegate_store_errors_total{operation="get_state"} 1`)
	if strings.Contains(text, "rolegate_sign_ins_total{") {
		t.Error("a sign-in without an event was counted")
	}
}

// TestForeignTextIsNoLabel ensures that nothing out of a request or about a
// person becomes a label: neither to be read nor to fill the memory.
func TestForeignTextIsNoLabel(t *testing.T) {
	m := newMetrics()
	r := m.Recorder(&store{})
	for _, planted := range []string{"planted-1", "planted-2", "planted@example.com", "arn:aws:iam::111122223333:role/planted"} {
		for _, a := range []broker.Action{broker.ActionSignIn, broker.ActionCredentials, broker.ActionConsole, broker.ActionSignOut, broker.Action(planted)} {
			e := broker.Event{
				Action: a, Outcome: broker.OutcomeRefused, Target: planted, Username: planted, Actor: broker.Subject{Provider: broker.ProviderID(planted), ID: planted},
				Detail: map[string]string{"via": planted, "reason": planted},
			}
			if err := r.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
	}
	text := scrape(t, m)
	if strings.Contains(text, "planted") {
		t.Error("foreign text is in the metrics")
	}
	has(t, text, `rolegate_sign_ins_total{outcome="refused",provider="unknown"} 4`, `rolegate_mints_total{outcome="refused",via="unknown"} 8`)
}
