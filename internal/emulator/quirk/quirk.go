// Package quirk describes how a real service may behave between its documented lines. Each emulator has a table of its quirks,
// which says how a rotation must end under each, and plays those that it is asked to.
package quirk

import (
	"fmt"
	"slices"
)

// Quirk is one such behaviour.
type Quirk struct {
	Name      string // as in a test's name, for example "rollout-9m"
	Behaviour string // in a sentence
	Source    string // a public report, a page of the documentation, or "not documented"
	// Refused is what a run says that ends before the refresh because of it. Empty: the runner is rotated, and is back in the end.
	Refused string
}

// Known returns an error if a name is that of no quirk.
func Known(all []Quirk, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(q Quirk) bool { return q.Name == name }) {
			return fmt.Errorf("there is no quirk %q", name)
		}
	}
	return nil
}
