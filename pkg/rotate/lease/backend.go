package lease

import (
	"context"
	"math"
	"time"
)

// The times of a lease.
const (
	Duration   = 45 * time.Second // without a renewal; longer than a refresh may take
	RenewEvery = 10 * time.Second
	Margin     = 5 * time.Second // by which a lease may outlast its time, as seen from here
	poll       = 2 * time.Second
)

// ByPlatform is how long a lease lasts whose end the platform itself decides: by our clock it never ends.
const ByPlatform = time.Duration(math.MaxInt64) - Margin

// Owner says whose a lock is.
type Owner int

// The owners of a lock.
const (
	Nobody Owner = iota
	ThisRun
	OtherRun
)

// State is what a read shows of the lock.
type State struct {
	Owner   Owner
	Holder  string        // the name of the other run; empty if the platform does not show it
	Renewal string        // differs after each renewal; empty if the platform does not show them
	Lasts   time.Duration // how long the other run has it without a renewal, or [ByPlatform]
	Endless error         // of a lock that is held for longer than any run does; nil if it is not
}

// same reports whether two states have the same owner, who has not renewed the lock in between.
func (s State) same(other State) bool { return s.Owner == other.Owner && s.Renewal == other.Renewal }

// Backend is the object on the platform that is the lock. Its methods are called one at a time. It changes the object only if it
// is as it was read or written last, so that it never overwrites what another run has written since.
type Backend interface {
	// Read reads the object. Where the platform does not show whose a lease is, held says whether it is this run's.
	Read(ctx context.Context, held bool) (State, error)
	// Renew makes the lock this run's for [Duration] from since, which it is already.
	Renew(ctx context.Context) (since time.Time, err error)
	// Release gives the lock back. If that fails, it ends by itself.
	Release(ctx context.Context)
}
