// Command mutate plants small bugs in a package, one at a time, and tells which
// of them no test notices:
//
//	go run ./tools/mutate ./logio
//
// Each planted bug is a mutant. All mutants of a package are compiled into one
// test binary for each package whose tests judge it, behind switches that an
// environment variable chooses from; the sources are not touched (go build's
// -overlay). Each test is run once by itself, to see which mutants it reaches.
// Then each mutant is run against the tests that reach it, the fastest first,
// until one fails, crashes, or takes far longer than it did before. Which
// packages are mutated, and who judges them, is in plan.go.
//
// # Mutants
//
//   - a condition that is always true, or always false. A condition is what if,
//     for (false only) and a case ask, and any other bool that is computed.
//   - an operand of && or || that has no say.
//   - < for <=, > for >=, and the reverse. With a constant, the next item does that.
//   - an integer constant, one more and one less, where it is used
//   - + for -, * for /, & for |, and the reverse
//   - a returned error that is nil
//   - a call or assignment that is left out
//   - break for continue, and the reverse
//
// A negated condition, == for !=, and && for || are implied: what notices the
// condition that is always true, or false, notices these. Left alone are
// declared constants (their uses are mutated), constants that are returned beside
// an error, the post statements of loops, durations, and switches over a value but
// for their constants.
//
// # Survivors
//
// A mutant that no test reaches, or that all tests which reach it pass, is
// printed with its place and the mutated line. Some mutants do no harm: they
// compute the same by another way, or only take longer. Those are listed, with
// the reason, in accepted.txt. The exit status is 1 if less than -min of the
// mutants are caught, not counting those.
package main
