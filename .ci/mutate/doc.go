// Command mutate asks whether the tests would notice if a security condition
// were gone. It takes away one at a time, runs the tests that reach it, and
// lists what no test noticed.
//
// # What is a security condition
//
// Every place where a function decides to refuse or to accept:
//
//   - an if, or a case of a switch, whose body refuses: it returns an error or
//     false or nothing, goes on to the next candidate of a loop, or notes an
//     error; or whose body holds such a place further inside
//   - one whose body accepts: it returns without error, or true
//   - the truth value that a function returns, and one that a function which
//     can refuse gives a name to
//   - the refusal or the last check at the end of a function
//
// A return that leaves all results to a literal of the function, as fail(err)
// does, is what that one does at its end.
//
// An error that is only passed on counts where it comes from a check: from a
// function of the packages at hand that can itself refuse, from any other
// function of the module that returns nothing but an error and whose name is
// no verb of storing or sending, and from a function of a library that by its
// name verifies, parses, decodes or opens. All else is plumbing (a store that
// does not answer, a value that cannot be encoded) and is only counted;
// -plumbing lists it.
//
// # How it is changed
//
//	never      the condition is false: nothing is refused here
//	always     the condition is true: everything is accepted here
//	drop X     operand X of && or || is left out
//	negate X   comparison X says the opposite, where it is an operand; alone
//	           this is weaker than never or always
//	border X   < takes in what is equal, <= leaves it out, and so on
//	skip X     value X of a switch matches nothing
//	pass       the error is nil, or the false true
//
// # How it runs
//
// All mutants of a package are compiled into one test binary, each behind a
// switch that is set by the environment, with go's -overlay: the tree is not
// touched. Each test is run once to learn which mutants it reaches. Then each
// mutant is one run of the tests that reach it, stopping at the first failure.
// One that hangs counts as noticed.
//
// A test with rows is run row by row, for the rows where the mutant differs,
// and whole if no row notices. With -also, tests of other packages are asked
// about what the package's own do not notice.
//
// A survivor needs a reason in survivors.yaml: why the change cannot be seen
// (equivalent), or which other check refuses too. The run fails where one has
// none, and where a reason has no survivor any more.
package main
