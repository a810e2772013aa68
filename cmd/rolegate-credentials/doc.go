// Rolegate-credentials is `rolegate credentials` for credential_process: it
// prints cached credentials in about the time that a process takes to start,
// and hands over to rolegate for everything else.
package main
