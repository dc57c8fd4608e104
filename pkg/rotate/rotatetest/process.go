package rotatetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Process is one process of a function, from its start to its end. Every call that its runner makes to its cloud goes
// over its wire, where the suite counts it, and has it fail or the process end there. A platform that calls over HTTP uses
// [Process.Transport], any other [Process.Do].
type Process struct {
	started time.Time
	cut     chan struct{} // closed when the process is cut off

	mu     sync.Mutex
	calls  []Call
	counts map[string]int
	during string // the method of the Runner that is at work
	fault  *fault // nil: none
	row    bool   // a fault was injected into the last call
	dead   bool
}

// Call is one call of a process.
type Call struct {
	Name   string        // as the platform names it; the engine's own are "maia GetAgent" and so on, after maiatest's names
	Nth    int           // among the calls of this name, from 1
	During string        // which method of the Runner made it, see the constants; "" for a call of the engine's to Maia
	At     time.Duration // since the process started

	polls int  // how many of this name there were since something else was done
	folds bool // it stands for others of its kind
}

// What a call was made in.
const (
	DuringStart    = "start" // Platform.Runner
	DuringObserve  = "observe"
	DuringCheck    = "check"
	DuringSaveNote = "save note"
	DuringStore    = "store"
	DuringRestart  = "restart"
	DuringHold     = "hold"    // of a rotate.Locker
	DuringRelease  = "release" // of a rotate.Locker
)

// The engine's calls to Maia that change something there.
const (
	maiaPrefix  = "maia "
	maiaPause   = maiaPrefix + "Pause"
	maiaRefresh = maiaPrefix + "RefreshCredentials"
	maiaResume  = maiaPrefix + "Resume"
)

// And those that change nothing.
const (
	maiaGetAgent       = maiaPrefix + "GetAgent"
	maiaGetCredentials = maiaPrefix + "GetCredentials"
)

// polled says that the call is one of those that a waiting run repeats.
func (c Call) polled() bool {
	return c.During == DuringObserve || c.Name == maiaGetAgent || c.Name == maiaGetCredentials
}

// fault is what happens to a process at one of its calls.
type fault struct {
	call string
	nth  int

	after bool // the call is carried out, and its answer lost; else it is lost on the way there
	cut   bool // the process ends there
	times int  // how often the same call fails when it is repeated at once, this one included; of no matter to a cut
	early bool // the connection was not even made: the caller can know that nothing was sent

	event   func() // instead of all that: happens right before the call
	foreign bool   // and changes what the runner lives with

	injected int // how often
	at       int // how many calls there had been, with the last one
}

// latency is what every call takes, so that what follows one another does not happen at one instant.
const latency = 23 * time.Millisecond

// inARow is more often than any client repeats a call by itself, so that the failure is seen by whoever made it.
const inARow = 12

func newProcess(f *fault) *Process {
	return &Process{started: time.Now(), cut: make(chan struct{}), counts: map[string]int{}, fault: f}
}

// Transport is next behind the process's wire. name says what kind of call a request is, without reading its body:
// "DescribeSecret", "PATCH app".
func (p *Process) Transport(next http.RoundTripper, name func(*http.Request) string) http.RoundTripper {
	return roundTripper(func(request *http.Request) (response *http.Response, err error) {
		discard := func() {
			if request.Body != nil {
				_, _ = io.Copy(io.Discard, request.Body)
			}
		}
		err = p.do(name(request), discard, func() error {
			var err error
			response, err = next.RoundTrip(request)
			return err
		})
		if err == nil {
			return response, nil
		}
		if response != nil {
			_ = response.Body.Close()
		}
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// Do makes one call, of a platform that does not call over HTTP. It returns call's error, or that of the wire; then call
// may have been carried out or not.
func (p *Process) Do(name string, call func() error) error {
	return p.do(name, func() {}, call)
}

// do makes a call, unless the wire has it otherwise. discard is what becomes of a request that is lost on its way.
func (p *Process) do(name string, discard func(), send func() error) error {
	time.Sleep(latency)
	injection, err := p.arrive(name)
	if err != nil {
		return err
	}
	switch {
	case injection == nil:
		err = send()
	case injection.event != nil:
		injection.event()
		err = send()
	case injection.after:
		_ = send()
		err = reset(name)
	case injection.early:
		err = &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("%s: %w", name, syscall.ECONNREFUSED)}
	default:
		discard()
		err = reset(name)
	}
	if injection != nil && injection.cut {
		p.kill()
	}
	if p.isDead() { // also where it ended while this call was under way
		return errDead
	}
	return err
}

// arrive counts a call and returns what happens to it; nil is nothing.
func (p *Process) arrive(name string) (*fault, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, errDead
	}
	p.counts[name]++
	p.calls = append(p.calls, Call{Name: name, Nth: p.counts[name], During: p.during, At: time.Since(p.started)})
	f := p.fault
	switch {
	case f == nil || f.call != name:
		p.row = false
	case f.injected == 0:
		p.row = p.counts[name] == f.nth
	default:
		p.row = p.row && f.injected < f.times
	}
	if !p.row {
		return nil, nil
	}
	f.injected++
	f.at = len(p.calls)
	return f, nil
}

func reset(name string) error {
	return &net.OpError{Op: "read", Net: "tcp", Err: fmt.Errorf("%s: %w", name, syscall.ECONNRESET)}
}

// errDead answers the calls of a process that is no more. Nobody hears it but what is left of that process, which
// gives up by it.
var errDead = fmt.Errorf("rotatetest: this process was cut off: %w", context.Canceled)

func (p *Process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.dead {
		p.dead = true
		close(p.cut)
	}
}

func (p *Process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// enter says that a method of the Runner is at work, until what it returns is called.
func (p *Process) enter(method string) (leave func()) {
	set := func(method string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.during = method
	}
	set(method)
	return func() { set("") }
}

// made returns the calls so far.
func (p *Process) made() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[:len(p.calls):len(p.calls)]
}
