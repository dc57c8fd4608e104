package wire

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Call is one call that reached a service. It holds no value of a secret.
type Call struct {
	Time      time.Time // when it arrived
	Service   string    // "secretsmanager", "ecs", "Microsoft.App"
	Operation string
	Action    string // the right that it needs, where that is not the operation's name
	Resource  string // the resource as the caller named it
	RequestID string
	Status    int    // what the service answered, or would have; 0 if it was dropped undone
	Code      string // code of the error, if one was answered
	Fault     Kind   // the fault it met, if any
}

// NewID returns a random UUID (version 4), as clouds name requests.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Traffic is what reaches a service: a record of its calls, and the faults that happen to them. The zero Traffic is ready;
// it is safe for use by several goroutines.
type Traffic struct {
	mu     sync.Mutex
	calls  []Call
	hooks  []func(Call)
	faults []*Hit
	closed chan struct{} // ends the waits of slow calls; nil: not needed yet
	over   bool
}

// Calls returns all calls so far, the oldest first.
func (t *Traffic) Calls() []Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.calls)
}

// OnCall has f called with every call from now on, after it was done and before its caller has the answer. Hooks run in
// the calls' goroutines.
func (t *Traffic) OnCall(f func(Call)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hooks = append(t.hooks, f)
}

// Record records a call, and calls the hooks.
func (t *Traffic) Record(call Call) {
	t.mu.Lock()
	t.calls = append(t.calls, call)
	hooks := slices.Clone(t.hooks)
	t.mu.Unlock()
	for _, f := range hooks {
		f(call)
	}
}

// End ends the waits of slow calls. From then on [Traffic.Ended] is true, and every connection is to be closed without an answer.
func (t *Traffic) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.over = true
		close(t.closing())
	}
}

// Ended reports whether End was called.
func (t *Traffic) Ended() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.over
}

// closing is the channel that End closes; t.mu is held.
func (t *Traffic) closing() chan struct{} {
	if t.closed == nil {
		t.closed = make(chan struct{})
	}
	return t.closed
}

// Wait waits for d, whether the caller still waits or not, so that a request can be carried out after its caller gave up.
func (t *Traffic) Wait(d time.Duration) {
	t.mu.Lock()
	closed := t.closing()
	t.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closed:
	}
}

// Answer is what a service answers.
type Answer struct {
	Status int
	Code   string // of the error, if it is one
	Header http.Header
	Body   []byte
}

// Serve answers one call: with what do returns, or, if a fault is injected that refuses the call, with refusal's answer.
func (t *Traffic) Serve(writer http.ResponseWriter, call Call, raw []byte, refusal func(Fault) Answer, do func() Answer) {
	if t.Ended() {
		panic(http.ErrAbortHandler)
	}
	hit := t.Match(call.Operation, raw)
	call.Fault = hit.Kind
	hit.Begin()
	switch hit.Kind {
	case DropBefore:
		hit.End()
		t.Record(call)
		panic(http.ErrAbortHandler)
	case Slow:
		t.Wait(hit.Delay)
	}
	var answer Answer
	if hit.Kind.Refuses() {
		answer = refusal(hit.Fault)
	} else {
		answer = do()
	}
	hit.End()
	if hit.Kind == Status5xxAfter {
		answer = refusal(hit.Fault)
	}
	call.Status, call.Code = answer.Status, answer.Code
	t.Record(call) // first: who has the answer finds the call recorded
	if hit.Kind == DropAfter {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(writer.Header(), answer.Header)
	writer.WriteHeader(answer.Status)
	_, _ = writer.Write(answer.Body) // the caller may be gone: that is its own business
}
