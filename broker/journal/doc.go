// Package journal is the desk that writes down what happened: it makes events
// and refusals and keeps traces.
package journal
