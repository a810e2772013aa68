// Package session is the desk that keeps sessions: the one place that says
// whether a session is live and whose it is, and that ends it. Sessions and
// one-time state are sealed, and bound to the row that they stand in, so that
// whoever writes to the store can neither make nor move one.
package session
