package wire

import (
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind int

// The kinds of faults. In those named "after" the operation is done and only its answer is lost.
const (
	NoFault        Kind = iota // only the hooks of the fault are called
	DropBefore                 // the connection is closed, nothing is done
	DropAfter                  // done, then the connection is closed
	Status5xx                  // refused with the service's internal error
	Status5xxAfter             // done, then answered with the internal error
	Throttle                   // refused as one of too many
	AccessDenied               // refused for want of a right
	Slow                       // done after Delay, even if the caller is gone by then
	Conflict                   // refused because another operation is in progress; not in awsjson
	BadRequest                 // refused as not valid; not in awsjson
)

func (k Kind) String() string {
	names := []string{"none", "drop before", "drop after", "5xx", "5xx after", "throttle", "access denied", "slow", "conflict", "bad request"}
	return names[k]
}

// Refuses reports whether the operation is not done, and an error answered.
func (k Kind) Refuses() bool {
	switch k {
	case Status5xx, Throttle, AccessDenied, Conflict, BadRequest:
		return true
	}
	return false
}

// Fault is something that goes wrong with some of the calls.
type Fault struct {
	Operation string                // "" is any
	Match     func(raw []byte) bool // reports whether a request's body is meant; nil: every one is

	// The first call that goes wrong, counted from 1 among the calls that match from now on, and how many do. Nth 0 starts at once,
	// and then Times 0 is without end; with Nth, Times 0 is that one call.
	Nth, Times int

	Kind       Kind
	Delay      time.Duration // of Slow
	RetryAfter time.Duration // of Throttle, where the service says so, to the second

	// Before and After are called around the operation of a call that goes
	// wrong (without the operation if it is not done), before the answer.
	Before, After func()
}

// Inject adds a fault and returns what removes it. Of several faults that hit
// the same call the first injected one is carried out.
func (t *Traffic) Inject(f Fault) (remove func()) {
	added := &Hit{Fault: f}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = append(t.faults, added)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.faults = slices.DeleteFunc(t.faults, func(f *Hit) bool { return f == added })
	}
}

// Hit is a fault that is injected into a call.
type Hit struct {
	Fault
	seen int
}

// hits reports whether the n-th matching call, from 1, goes wrong.
func (f *Hit) hits(n int) bool {
	switch {
	case f.Nth == 0:
		return f.Times == 0 || n <= f.Times
	default:
		return n >= f.Nth && n < f.Nth+max(f.Times, 1)
	}
}

func (f *Hit) Begin() {
	if f.Before != nil {
		f.Before()
	}
}

func (f *Hit) End() {
	if f.After != nil {
		f.After()
	}
}

// Match counts the call for every fault that it matches and returns the one to carry out, or one that does nothing.
func (t *Traffic) Match(operation string, raw []byte) *Hit {
	t.mu.Lock()
	defer t.mu.Unlock()
	hit := &Hit{}
	for _, f := range slices.Backward(t.faults) {
		if f.Operation != "" && f.Operation != operation || f.Match != nil && !f.Match(raw) {
			continue
		}
		f.seen++
		if f.hits(f.seen) {
			hit = f
		}
	}
	return hit
}
