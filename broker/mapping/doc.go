// Package mapping turns what an identity provider vouched for into an identity,
// and an identity into AWS role assignments.
//
// [Engine] is compiled once from a [Config] and is then immutable and safe for
// concurrent use. [Engine.Identity] applies a provider's identity expressions
// to verified claims; [Engine.Assignments] evaluates the rules;
// [Engine.Explain] says, rule by rule, why a person has what they have;
// [Diff] compares two engines over recorded identities.
//
// Three kinds of condition select people: a list of groups, a pattern over
// group names, and a CEL expression. A rule's conditions must all hold. Rules
// with a list of groups are found through an index, so that a person's sign-in
// costs what their own groups cost and not what the configuration holds.
//
// Expressions see typed variables only, so a misspelt name fails when the
// configuration is loaded. They are limited in length, in depth and in their
// worst-case cost over the largest identity that the package accepts. What
// cannot be decided for one person (a claim that is missing, a tag that AWS
// would refuse) never grants: the rule does not match, or the assignment is
// refused, and Explain gives the reason.
//
// The package has no clock of its own and reads nothing but the time zone
// database.
package mapping
