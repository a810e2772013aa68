// Package admin serves the administrators' pages: how identity providers, keys
// and store do, sign-in traces, everybody's sessions, the audit log, why a
// person has what they have, what a change of the configuration would do, and
// what to enter at identity providers.
//
// Every route goes through one door that asks for a session, for the rule that
// names administrators, and for a second factor; [broker.Admin] asks the same
// again below it and records what was looked at. The package reads no claims of
// its own and keeps nothing.
package admin
