// Package quirk describes how a real service may behave between its documented lines. Each emulator has a table of its quirks and
// plays those that it is told to; what a rotation must come to under each is part of the table.
package quirk

// Quirk is one such behaviour.
type Quirk struct {
	Name      string // as in a test's name, for example "rollout-9m"
	Behaviour string // in a sentence
	Source    string // a public report, a page of the documentation, or "not documented"
	// Refused is what a run says that ends before the refresh because of it. Empty: the runner is rotated, and is back in the end.
	Refused string
}
