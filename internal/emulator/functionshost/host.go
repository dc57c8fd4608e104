package functionshost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

const (
	startTimeout  = 30 * time.Second // until a handler must be ready
	maxErrors     = 3                // exits with an error, each within errorInterval of the one before it, after which the host ends
	errorInterval = 30 * time.Minute
	restartCode   = 200 // a handler that leaves with it wants to be started again
)

// Options are the settings of a [Host].
type Options struct {
	Folder          string        // of the app, as its zip file unpacks
	Settings        []string      // app settings, NAME=value
	FunctionTimeout time.Duration // instead of host.json's
	RetryDelay      time.Duration // instead of function.json's
	StartTimeout    time.Duration // instead of 30 s
	Output          io.Writer     // gets everything that the handler prints; may be nil

	// BeforeTry is called before each invocation of a timer that fires, with the number of the try, from 0, and AfterTry with
	// what came of it; both may be nil.
	BeforeTry func(try int)
	AfterTry  func(try int, result Result)
}

// Host is a host with an app. Create it with [New].
type Host struct {
	options  Options
	app      app
	settings []string

	mu        sync.Mutex
	timeout   time.Duration
	current   *handler // the last one that was started
	starts    int
	failures  int // exits with an error in a row
	failed    time.Time
	down      error // why there is no handler any more, and will be none
	closing   bool
	processes sync.WaitGroup

	output, information, errors process.Output
}

// New reads an app and starts its handler.
func New(options Options) (*Host, error) {
	settings, err := readSettings(options.Settings)
	if err != nil {
		return nil, err
	}
	if options.Folder, err = filepath.Abs(options.Folder); err != nil {
		return nil, fmt.Errorf("functionshost: %w", err)
	}
	h := &Host{options: options, settings: slices.Clone(options.Settings)}
	if h.app, err = readApp(options.Folder, settings); err != nil {
		return nil, err
	}
	if h.timeout = h.app.timeout; options.FunctionTimeout > 0 {
		h.timeout = options.FunctionTimeout
	}
	if h.options.StartTimeout == 0 {
		h.options.StartTimeout = startTimeout
	}
	h.output.Also = options.Output
	h.information.Also, h.errors.Also = &h.output, &h.output
	h.mu.Lock()
	defer h.mu.Unlock()
	return h, h.start()
}

// start starts a handler. The lock is held.
func (h *Host) start() error {
	p, err := h.launch()
	if err != nil {
		h.down = err
		return err
	}
	h.current = p
	h.starts++
	h.processes.Go(func() {
		code := p.wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.ended(code)
		close(p.replaced)
	})
	return nil
}

// ended decides what follows the end of the handler. The lock is held.
func (h *Host) ended(code int) {
	switch {
	case h.closing || h.down != nil:
		return
	case code == 0:
		h.down = errors.New("functionshost: the handler has left with 0, and is not started again")
		return
	case code != restartCode:
		if time.Since(h.failed) > errorInterval {
			h.failures = 0
		}
		h.failures++
		h.failed = time.Now()
	}
	if h.failures >= maxErrors {
		h.down = errors.New("functionshost: exceeded http worker restart retry count: the host is shut down")
		return
	}
	_ = h.start() // what is wrong with it is in down
}

// Ready waits until the handler is ready.
func (h *Host) Ready(ctx context.Context) error {
	_, err := h.handler(ctx)
	return err
}

// handler is the process that takes invocations.
func (h *Host) handler(ctx context.Context) (*handler, error) {
	for {
		h.mu.Lock()
		p, down := h.current, h.down
		if h.closing {
			down = errors.New("functionshost: closed")
		}
		h.mu.Unlock()
		if down != nil {
			return nil, down
		}
		select {
		case <-p.replaced: // it has ended, and what follows is decided
			continue
		default:
		}
		select {
		case <-p.ready:
			return p, nil
		case <-p.replaced:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Fire does what a timer does that fires: an invocation, and another one after a while, as the retry policy says, for as
// long as they fail. The results are those of all of them. The error is of the host: a failure of the function is in the
// result.
func (h *Host) Fire(ctx context.Context, name string, timer Timer) ([]Result, error) {
	f, err := h.function(name)
	if err != nil {
		return nil, err
	}
	delay := f.retryDelay
	if h.options.RetryDelay > 0 {
		delay = h.options.RetryDelay
	}
	var results []Result
	for try := 0; ; try++ {
		if h.options.BeforeTry != nil {
			h.options.BeforeTry(try)
		}
		result, err := h.invoke(ctx, name, f.body(name, timer, try))
		if err != nil {
			return results, err
		}
		results = append(results, result)
		if h.options.AfterTry != nil {
			h.options.AfterTry(try, result)
		}
		if result.Failure == "" || try == f.retries {
			return results, nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return results, ctx.Err()
		}
	}
}

// Invoke does one invocation, without a retry.
func (h *Host) Invoke(ctx context.Context, name string, timer Timer) (Result, error) {
	f, err := h.function(name)
	if err != nil {
		return Result{}, err
	}
	return h.invoke(ctx, name, f.body(name, timer, 0))
}

func (h *Host) function(name string) (function, error) {
	f, ok := h.app.functions[name]
	if !ok {
		return function{}, fmt.Errorf("functionshost: there is no function %q", name)
	}
	return f, nil
}

func (h *Host) invoke(ctx context.Context, name string, body []byte) (Result, error) {
	p, err := h.handler(ctx)
	if err != nil {
		return Result{}, err
	}
	h.mu.Lock()
	timeout := h.timeout
	h.mu.Unlock()
	return p.invoke(ctx, name, body, timeout)
}

// KeepFunctionTimeout has invocations to come keep host.json's functionTimeout, whatever the options say.
func (h *Host) KeepFunctionTimeout() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timeout = h.app.timeout
}

// Starts is how many times a handler was started.
func (h *Host) Starts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.starts
}

// PID is the process ID of the handler that was started last.
func (h *Host) PID() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current.PID()
}

// URL is where the handler that was started last serves.
func (h *Host) URL() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current.url
}

// Kill ends the handler with SIGKILL, as when its machine goes.
func (h *Host) Kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current.Kill()
}

// Revive starts a host again that has shut down because its handler has ended too often, as the platform does; one that runs
// is left alone.
func (h *Host) Revive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down == nil || h.closing {
		return nil
	}
	h.down, h.failures = nil, 0
	return h.start()
}

// Close kills the handler and waits for its end.
func (h *Host) Close() {
	h.mu.Lock()
	h.closing = true
	if h.current != nil {
		h.current.Kill()
	}
	h.mu.Unlock()
	h.processes.Wait()
}

// Output is everything that handlers have printed so far, Information what they have printed to standard output, and Errors
// what to standard error, as which the host logs it.
func (h *Host) Output() []byte { return h.output.Bytes() }

// Information is described at [Host.Output].
func (h *Host) Information() []byte { return h.information.Bytes() }

// Errors is described at [Host.Output].
func (h *Host) Errors() []byte { return h.errors.Bytes() }
