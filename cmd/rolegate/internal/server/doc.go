// Package server is the composition root: it makes one running rolegate out of
// a configuration. What a sandbox or a test changes about the outside world
// (names, roots, the clock) comes in as [Options]; nothing else differs from
// production.
package server
