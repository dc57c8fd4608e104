package rotatetest

import (
	"context"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Platform is one runner on its platform, and the hands of whoever else touches it. It outlives the processes that work on
// it. Its methods are called by one goroutine, but at the same time as those of its Runners.
//
// Clean up with t.Cleanup. All that the platform does must be in memory and end by then, for it lives in a bubble of
// testing/synctest: an idle network connection would stop its clock.
type Platform interface {
	// Runner makes the Runner anew, clients and all, as a new process does. Every call that it makes to its cloud, now
	// or later, goes through process. What a Runner knows must come from such calls, not from the Platform's memory.
	Runner(ctx context.Context, process *Process) (rotate.Runner, error)

	// Stored is what an instance that starts now would read.
	Stored() maia.Credentials
	// Put has another writer, Terraform or a person, write another client_secret into the store, as they would, and
	// nothing else.
	Put(secret string)
	// Replace has another writer, a person or the cloud, replace all instances. The new ones read the store.
	Replace()
	// BreakRestarts makes the next n replacements of the instances fail: the new ones do not come up. 0 repairs that.
	BreakRestarts(n int)

	// Wish has an operator write what is wished, in place of what was, as the command line does: also while a run holds the lock. A
	// platform that keeps no requests writes the hold alone.
	Wish(wishes rotate.Wishes) error

	// Kept is all text that can be read by someone who may not read secrets: labels, annotations, notes, descriptions of
	// releases, names of versions. It is searched for secrets.
	Kept() string
	// Foreign renders all that is not the runner's secret, its instances or the note: other keys of the store's document
	// with their spacing, other stores, services, labels and tags, replica counts. It must be the same at the end.
	Foreign() string
}

// Whole is what a Platform implements too whose store has several places that must agree. It says what is wrong with them in the
// end; empty if nothing is.
type Whole interface{ Whole() string }

// Setup is what a Platform is made for.
type Setup struct {
	AgentID  string
	ClientID string // that the store must hold …
	Secret   string // … with this
	// Quirks names those of its table that the platform is to play, see [WithQuirks].
	Quirks []string

	world *world
}

// Start logs an instance in that has started with what it read from the store. Every instance of the platform calls it, the
// first one before newPlatform returns. Err says that Maia refuses it; what the instance does then is the platform's business.
// stop ends the instance, logged in or not: call it when the instance stops or is to stop.
func (s Setup) Start(clientID, secret string) (stop func(), err error) {
	return s.world.startInstance(clientID, secret)
}
