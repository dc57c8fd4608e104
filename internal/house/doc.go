// Package house holds no code: its tests hold the rules of this repository that a machine can check, for every package at once.
//
// They are: the words of docs/glossary.md (words_test.go), which package may import which (imports_test.go), the length of a line and
// a comment for each package (form_test.go), and no state in packages (state_test.go). A rule that has to be broken is broken in a list of
// exceptions, each with its reason.
package house
