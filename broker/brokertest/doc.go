// Package brokertest holds what the tests of the use cases stand on: a person
// who signs in at an identity provider, and a whole broker behind them.
package brokertest
