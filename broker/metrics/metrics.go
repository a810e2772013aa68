package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rolegate/rolegate/broker"
)

// unknown stands for a label's value that is none of the configured ones.
const unknown = "unknown"

// State is what is asked for at each scrape.
type State struct {
	Providers    []Provider
	Certificates []Certificate
}

// Provider is an identity provider's metadata or discovery document.
type Provider struct {
	ID     broker.ProviderID
	Status broker.ProviderStatus
}

// Certificate is one whose end matters.
type Certificate struct {
	Use         string // what it is for
	Provider    broker.ProviderID
	Fingerprint string
	NotAfter    time.Time
}

// Config is what the metrics work with. Zero values mean the defaults named.
type Config struct {
	State   func() State     // nil: no gauges of providers and certificates
	Now     func() time.Time // nil: time.Now
	Version string
}

// Metrics holds the counters. It is safe for concurrent use. A nil *Metrics
// counts nothing.
type Metrics struct {
	c         Config
	registry  *prometheus.Registry
	providers atomic.Pointer[[]broker.ProviderID]

	requests, signIns, mints, storeErrors, reloads *prometheus.CounterVec
	reloaded, reloadedAt                           prometheus.Gauge
}

// New returns metrics with a registry of their own.
func New(c Config) *Metrics {
	if c.Now == nil {
		c.Now = time.Now
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rolegate", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "rolegate", Name: name, Help: help})
	}
	m := &Metrics{
		c: c, registry: prometheus.NewRegistry(),
		requests:    counter("http_requests_total", "Requests answered, by route and class of status.", "route", "status"),
		signIns:     counter("sign_ins_total", "Sign-ins, by identity provider and outcome.", "provider", "outcome"),
		mints:       counter("mints_total", "Assertions and tokens for AWS that were used or refused, by the way to STS and outcome.", "via", "outcome"),
		storeErrors: counter("store_errors_total", "Operations that the store could not do.", "operation"),
		reloads:     counter("config_reloads_total", "Tries to load the configuration again, by result.", "result"),
		reloaded:    gauge("config_last_reload_successful", "1 if the last reload of the configuration worked, or there was none."),
		reloadedAt:  gauge("config_last_reload_success_timestamp_seconds", "When the configuration in use was loaded."),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "rolegate", Name: "build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": c.Version},
	})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.signIns, m.mints, m.storeErrors, m.reloads, m.reloaded, m.reloadedAt, build, &collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.reloaded.Set(1)
	m.reloadedAt.Set(float64(c.Now().Unix()))
	for _, result := range []string{"ok", "refused"} {
		m.reloads.WithLabelValues(result)
	}
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// SetProviders says which identity providers there are; no other name becomes
// a label.
func (m *Metrics) SetProviders(ids []broker.ProviderID) {
	if m != nil {
		ids = slices.Clone(ids)
		m.providers.Store(&ids)
	}
}

// provider returns id as a label. The id in an event may come out of a request.
func (m *Metrics) provider(id string) string {
	if known := m.providers.Load(); known != nil && slices.Contains(*known, broker.ProviderID(id)) {
		return id
	}
	return unknown
}

// Request counts an answer. route is the pattern that took the request, "" if
// none did.
func (m *Metrics) Request(route string, status int) {
	if m == nil {
		return
	}
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(route, fmt.Sprintf("%dxx", status/100)).Inc()
}

// Reload counts a try to load the configuration again.
func (m *Metrics) Reload(err error) {
	switch {
	case m == nil:
	case err != nil:
		m.reloads.WithLabelValues("refused").Inc()
		m.reloaded.Set(0)
	default:
		m.reloads.WithLabelValues("ok").Inc()
		m.reloaded.Set(1)
		m.reloadedAt.Set(float64(m.c.Now().Unix()))
	}
}

// count counts what an event is about.
func (m *Metrics) count(e broker.Event) {
	switch e.Action {
	case broker.ActionSignIn:
		m.signIns.WithLabelValues(m.provider(e.Target), string(e.Outcome)).Inc()
	case broker.ActionCredentials, broker.ActionConsole:
		via := e.Detail["via"]
		if !slices.Contains([]broker.Via{broker.ViaSAML, broker.ViaOIDC, broker.ViaIDPToken}, broker.Via(via)) {
			via = unknown // refused before a role was found
		}
		m.mints.WithLabelValues(via, string(e.Outcome)).Inc()
	default:
	}
}
