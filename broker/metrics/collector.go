package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rolegate/rolegate/broker"
)

var (
	metadataAge = prometheus.NewDesc("rolegate_metadata_age_seconds",
		"Time since the provider's metadata or discovery document was read; -1 if never.", []string{"provider"}, nil)
	providerUp = prometheus.NewDesc("rolegate_provider_up",
		"1 if the provider's metadata, or discovery document and keys, could be read at the last try, 0 if not; absent before the first.",
		[]string{"provider"}, nil)
	refreshFailures = prometheus.NewDesc("rolegate_provider_refresh_failures_total",
		"Tries to read the provider's metadata, or discovery document and keys, that failed.", []string{"provider"}, nil)
	certificateEnd = prometheus.NewDesc("rolegate_certificate_not_after_timestamp_seconds",
		"When a certificate ends.", []string{"use", "provider", "fingerprint"}, nil)
)

// collector asks for the state at each scrape.
type collector struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (*collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- metadataAge
	ch <- providerUp
	ch <- refreshFailures
	ch <- certificateEnd
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	if c.m.c.State == nil {
		return
	}
	s := c.m.c.State()
	for _, p := range s.Providers {
		age := -1.0
		if !p.Status.Refreshed.IsZero() {
			age = c.m.c.Now().Sub(p.Status.Refreshed).Seconds()
		}
		if up := 1.0; p.Status.Reach != broker.ReachUnknown {
			if p.Status.Down() {
				up = 0
			}
			ch <- prometheus.MustNewConstMetric(providerUp, prometheus.GaugeValue, up, string(p.ID))
		}
		ch <- prometheus.MustNewConstMetric(refreshFailures, prometheus.CounterValue, float64(p.Status.Failures), string(p.ID))
		ch <- prometheus.MustNewConstMetric(metadataAge, prometheus.GaugeValue, age, string(p.ID))
	}
	seen := map[Certificate]bool{}
	for _, x := range s.Certificates {
		if seen[x] {
			continue // a second sample of the same name and labels would fail the scrape
		}
		seen[x] = true
		ch <- prometheus.MustNewConstMetric(certificateEnd, prometheus.GaugeValue, float64(x.NotAfter.Unix()), x.Use, string(x.Provider), x.Fingerprint)
	}
}
