// Package storetest is the one conformance suite that every store passes: what
// the store interfaces of package broker promise, under concurrency, by an
// injected clock, with two nodes on the same data, and after a restart. It
// knows nothing of SQL.
package storetest
