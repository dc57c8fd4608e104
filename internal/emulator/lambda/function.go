package lambda

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

const (
	// maxProcesses bounds the concurrency; further invocations wait.
	maxProcesses = 10
	// initTimeout is how long a process has until it asks for its first event.
	initTimeout = 10 * time.Second
	// maxBody is the limit of Lambda for events and answers, in bytes.
	maxBody = 6291556
)

// Options are the settings of a [Function].
type Options struct {
	Binary      string        // path of the compiled bootstrap
	Env         []string      // the function's own variables, NAME=value
	Timeout     time.Duration // of one invocation; 3 s if zero, as Lambda's own default
	FunctionARN string        // "arn:aws:lambda:eu-west-1:123456789012:function:rotation" if empty
	Output      io.Writer     // gets everything that the processes print; may be nil
}

// Function is a deployed function. Create it with [New].
type Function struct {
	options Options
	invalid error // of the options; every invocation says it
	output  process.Output
	slots   chan struct{} // one for each process that may be busy
	closed  chan struct{}
	once    sync.Once

	mu        sync.Mutex
	processes []*instance
	closing   bool
	waiting   sync.WaitGroup // for the processes' ends
}

// Result is the outcome of an invocation.
type Result struct {
	Payload []byte // what the function answered, or the error as Lambda's JSON
	// FunctionError is "Unhandled" if the function failed, in whatever way.
	FunctionError string
	TimedOut      bool // it was ended at its deadline
	Exited        bool // the process ended in the middle, or before it was initialized
	Duration      time.Duration
}

// New returns the function. No process is started before the first invocation.
func New(options Options) *Function {
	if options.FunctionARN == "" {
		options.FunctionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotation"
	}
	if options.Timeout == 0 {
		options.Timeout = 3 * time.Second
	}
	f := &Function{
		options: options,
		slots:   make(chan struct{}, maxProcesses),
		closed:  make(chan struct{}),
	}
	f.output.Also = options.Output
	// A process runs in the binary's folder: a relative path would be lost.
	if absolute, err := filepath.Abs(options.Binary); err != nil {
		f.invalid = fmt.Errorf("lambda: %w", err)
	} else {
		f.options.Binary = absolute
	}
	if err := checkEnv(options.Env); err != nil {
		f.invalid = err
	}
	if len(strings.Split(options.FunctionARN, ":")) < 7 {
		f.invalid = fmt.Errorf("lambda: %q is no ARN of a function", options.FunctionARN)
	}
	return f
}

// Output returns everything that any process printed so far.
func (f *Function) Output() []byte { return f.output.Bytes() }

// Processes returns the ids of the processes that run now, warm ones included.
func (f *Function) Processes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int
	for _, p := range f.processes {
		ids = append(ids, p.PID())
	}
	return ids
}

// Kill ends, with SIGKILL, the processes that are handling an invocation now.
func (f *Function) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.processes {
		if p.invocation() != nil {
			p.Kill()
		}
	}
}

// Close kills all processes and waits for their end.
func (f *Function) Close() {
	f.once.Do(func() { close(f.closed) })
	f.mu.Lock()
	f.closing = true
	for _, p := range f.processes {
		p.Kill()
	}
	f.mu.Unlock()
	f.waiting.Wait()
}

// Invoke invokes the function and waits for its answer. The error is of the
// invocation itself: a failure of the function is in the result. If the context
// ends, the process that handles the invocation is killed.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Result, error) {
	if f.invalid != nil {
		return Result{}, f.invalid
	}
	if len(payload) > maxBody {
		return Result{}, fmt.Errorf("lambda: RequestTooLargeException: %d bytes of payload", len(payload))
	}
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return Result{}, ctx.Err()
	case <-f.closed:
		return Result{}, errClosed
	}
	defer func() { <-f.slots }()

	for {
		p, warm, err := f.take()
		if err != nil {
			return Result{}, err
		}
		result, err := p.handle(ctx, payload)
		// A warm process that ended before it took the event is none: next.
		if warm && errors.Is(err, errNotTaken) {
			continue
		}
		return result, err
	}
}

var (
	errClosed   = errors.New("lambda: closed")
	errNotTaken = errors.New("lambda: the process ended before it took the event")
)

// take returns a process that handles nothing: a warm one if there is one.
func (f *Function) take() (p *instance, warm bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return nil, false, errClosed
	}
	for _, p := range f.processes {
		if p.reserve() {
			return p, true, nil
		}
	}
	p, err = f.start()
	if err != nil {
		return nil, false, err
	}
	p.reserve()
	f.processes = append(f.processes, p)
	return p, false, nil
}

func (f *Function) forget(p *instance) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes = slices.DeleteFunc(f.processes, func(other *instance) bool { return other == p })
}

// name returns the function's name, from its ARN.
func (f *Function) name() string { return strings.Split(f.options.FunctionARN, ":")[6] }

func (f *Function) region() string { return strings.Split(f.options.FunctionARN, ":")[3] }

// environment is the whole environment of a process.
func (f *Function) environment(runtimeAPI string) []string {
	folder := filepath.Dir(f.options.Binary)
	return append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME=" + f.name(),
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + f.name(),
		"AWS_LAMBDA_LOG_STREAM_NAME=" + time.Now().UTC().Format("2006/01/02") + "/[$LATEST]" + fmt.Sprintf("%x", random()),
		"AWS_REGION=" + f.region(),
		"AWS_DEFAULT_REGION=" + f.region(),
		// The keys of AWS's own examples: nobody's.
		"AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_SESSION_TOKEN=EXAMPLETOKEN",
		"LAMBDA_TASK_ROOT=" + folder,
		"LAMBDA_RUNTIME_DIR=" + folder,
		"_HANDLER=" + filepath.Base(f.options.Binary),
		"_X_AMZN_TRACE_ID=" + traceID(),
		"LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ=:UTC",
	}, f.options.Env...)
}

// reserved are the variables that Lambda sets itself and lets nobody else set.
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
	"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
	"AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

var variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]+$`)

// maxEnv is the limit of Lambda for the variables together, in bytes.
const maxEnv = 4096

func checkEnv(env []string) error {
	size := 0
	for _, variable := range env {
		name, _, ok := strings.Cut(variable, "=")
		switch {
		case slices.Contains(reserved, name):
			return fmt.Errorf("lambda: InvalidParameterValueException: %s is reserved", name)
		case !ok || !variableName.MatchString(name):
			return fmt.Errorf("lambda: InvalidParameterValueException: %q is no name of a variable", name)
		}
		size += len(variable)
	}
	if size > maxEnv {
		return fmt.Errorf("lambda: InvalidParameterValueException: the environment has %d bytes, more than %d", size, maxEnv)
	}
	return nil
}

func random() []byte {
	b := make([]byte, 16)
	rand.Read(b)
	return b
}

func newRequestID() string {
	b := random()
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func traceID() string {
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), random()[:12], random()[:8])
}
