package awsjson

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

// Call is one call that reached the service. It holds no value of a secret.
type Call struct {
	Time      time.Time // when it arrived
	Service   string    // "secretsmanager", "ecs"
	Operation string
	Resource  string // the resource as the caller named it
	RequestID string
	Status    int    // what the service answered, or would have; 0 if it was dropped undone
	Code      string // code of the error, if one was answered
	Fault     Kind   // the fault it met, if any
}

// Calls returns all calls so far, the oldest first.
func (h *Handler) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// OnCall has f called with every call from now on, after it was done and before
// its caller has the answer. Hooks run in the calls' goroutines.
func (h *Handler) OnCall(f func(Call)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hooks = append(h.hooks, f)
}

func (h *Handler) record(c Call) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	hooks := slices.Clone(h.hooks)
	h.mu.Unlock()
	for _, f := range hooks {
		f(c)
	}
}

// NewID returns a random UUID (version 4), as AWS names requests and versions.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
