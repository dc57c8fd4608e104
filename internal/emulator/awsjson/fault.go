package awsjson

import (
	"net/http"
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind int

// The kinds of faults. In those named "after" the operation is done and only
// its answer is lost.
const (
	NoFault        Kind = iota // only the hooks of the fault are called
	DropBefore                 // the connection is closed, nothing is done
	DropAfter                  // done, then the connection is closed
	Status5xx                  // refused with the service's internal error
	Status5xxAfter             // done, then answered with the internal error
	Throttle                   // refused with ThrottlingException
	AccessDenied               // refused with AccessDeniedException
	Slow                       // done after Delay, even if the caller is gone by then
)

func (k Kind) String() string {
	names := []string{"none", "drop before", "drop after", "5xx", "5xx after", "throttle", "access denied", "slow"}
	return names[k]
}

// Fault is something that goes wrong with some of the calls.
type Fault struct {
	Operation string                // "" is any
	Match     func(raw []byte) bool // looks at the request; nil takes every one

	// The first call that goes wrong, counted from 1 among the calls that match
	// from now on, and how many do. Nth 0 starts at once, and then Times 0 is
	// without end; with Nth, Times 0 is that one call.
	Nth, Times int

	Kind  Kind
	Delay time.Duration // of Slow

	// Before and After are called around the operation of a call that goes
	// wrong (without the operation if it is not done), before the answer.
	Before, After func()
}

// Inject adds a fault and returns what removes it. Of several faults that hit
// the same call the first injected one is carried out.
func (h *Handler) Inject(f Fault) (remove func()) {
	added := &fault{Fault: f}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, added)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.faults = slices.DeleteFunc(h.faults, func(f *fault) bool { return f == added })
	}
}

type fault struct {
	Fault
	seen int
}

// hits says whether the n-th matching call, from 1, goes wrong.
func (f *fault) hits(n int) bool {
	switch {
	case f.Nth == 0:
		return f.Times == 0 || n <= f.Times
	default:
		return n >= f.Nth && n < f.Nth+max(f.Times, 1)
	}
}

func (f *fault) before() {
	if f.Before != nil {
		f.Before()
	}
}

func (f *fault) after() {
	if f.After != nil {
		f.After()
	}
}

// match counts the call for every fault that it matches and returns the one to
// carry out, or one that does nothing.
func (h *Handler) match(operation string, raw []byte) *fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	hit := &fault{}
	for _, f := range slices.Backward(h.faults) {
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

// refusal is the error of a kind that refuses the operation, or nil.
func (h *Handler) refusal(k Kind, operation, resource string) error {
	switch k {
	case Status5xx:
		return h.internal()
	case Throttle:
		return Errorf("ThrottlingException", "Rate exceeded")
	case AccessDenied:
		return Errorf("AccessDeniedException",
			"User: arn:aws:sts::123456789012:assumed-role/function/session is not authorized to perform: %s:%s on resource: %s because no identity-based policy allows the %[1]s:%[2]s action",
			h.config.SigningName, operation, resource)
	default:
		return nil
	}
}

func (h *Handler) internal() *Error {
	return &Error{Code: h.config.ServerError, Message: "An error occurred on the server side.", Status: http.StatusInternalServerError}
}
