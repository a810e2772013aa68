// Command rolegate is a federation broker for AWS: people sign in at their
// corporate identity provider and get console links and credentials for the
// roles that their verified claims give them.
//
// Data goes to standard output, everything for people to standard error. The
// exit codes stand in exit.go.
package main
