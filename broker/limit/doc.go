// Package limit is the desk that counts: how often an address, an account or a
// guess may come. It slows down who does too much and keeps nobody else out.
package limit
