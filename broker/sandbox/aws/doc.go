// Package aws is a strict double of the parts of AWS that rolegate talks to:
// STS (AssumeRoleWithSAML, AssumeRoleWithWebIdentity, GetCallerIdentity), the
// console federation endpoint and a console page that says who one is.
//
// It is never laxer than AWS. Where AWS's behaviour is not documented it takes
// exactly the one form that rolegate emits and refuses every other; such rows
// of the table of checks say "assumption". Every check has a name, an evidence
// and a negative test (docs/sandbox.md); a test switches each one off in turn
// and wants its negative test to fail.
//
// It imports nothing of rolegate, so that a mistake of rolegate's cannot be
// repeated here.
package aws
