// Package metrics counts what rolegate does and shows it to Prometheus.
//
// One [Metrics] has a registry of its own; nothing is global. It stands around
// the event recorder and the stores as a decorator, is told of each answered
// request and each reload, and asks for the state of identity providers and
// certificates when it is scraped.
//
// No label holds a user name, an e-mail address, an ARN, or any other text that
// comes from outside: routes are our patterns, providers are those of the
// configuration, everything else is a word of ours.
package metrics
