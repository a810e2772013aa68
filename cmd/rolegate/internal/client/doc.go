// Package client is the command line's side of a rolegate server: signing in,
// its files on this computer, and the AWS files it writes for other programs.
//
// All its files are in one folder (see [Home]), sealed, mode 0600, and replaced
// whole: a process that dies leaves the old file or the new one. Processes that
// want the same thing at once wait for one another's file lock, so that the
// server is asked once.
//
// Errors are [broker.Error] with the code that the server gave or that fits, so
// that exit codes mean the same on both sides.
package client
