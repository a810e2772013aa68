// Package journal is the desk that writes down what happened. It is the one
// place that makes and records events and refusals, and that keeps traces.
//
// An event is durable when [Journal.Record] returns. That the browser left does
// not stop it: what happened is written down all the same.
package journal
