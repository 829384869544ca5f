// Package lint holds the rules of this module that no compiler checks, as tests: which
// package may import which, that what is exported is documented, how long a function and a
// file may be, that no file names a path of one machine, and that the links and the Go code of the
// Markdown pages are right. Each rule is also
// run against a small module that breaks it, so that a rule that sees nothing is noticed.
//
// Nested modules are out of sight, but for the machine paths.
package lint
