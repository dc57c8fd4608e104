package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
)

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotation"

// binary is the compiled testdata/function.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "lambda")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", binary, "./testdata/function")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
		return 1
	}
	return m.Run()
}

func newFunction(t *testing.T, options lambda.Options) *lambda.Function {
	t.Helper()
	options.Binary, options.FunctionARN = binary, functionARN
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	f := lambda.New(options)
	t.Cleanup(f.Close)
	return f
}

type answer struct {
	PID       int
	Env       []string
	Deadline  time.Time
	RequestID string
	ARN       string
	Text      string
}

func payload(do, text string) []byte {
	p, err := json.Marshal(map[string]string{"Do": do, "Text": text})
	if err != nil {
		panic(err)
	}
	return p
}

// invoke invokes the function, which must succeed.
func invoke(t *testing.T, f *lambda.Function, do, text string) answer {
	t.Helper()
	result, err := f.Invoke(t.Context(), payload(do, text))
	if err != nil || result.FunctionError != "" || result.TimedOut || result.Exited {
		t.Errorf("%+v (%.200s), %v", result, result.Payload, err)
	}
	var a answer
	if err := json.Unmarshal(result.Payload, &a); err != nil {
		t.Error(err)
	}
	return a
}

// fail invokes the function, which must fail with that error.
func fail(t *testing.T, f *lambda.Function, do, text, wantType, wantMessage string) lambda.Result {
	t.Helper()
	result, err := f.Invoke(t.Context(), payload(do, text))
	if err != nil {
		t.Fatal(err)
	}
	checkFailure(t, result, wantType, wantMessage)
	return result
}

func checkFailure(t *testing.T, result lambda.Result, wantType, wantMessage string) {
	t.Helper()
	var e struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(result.Payload, &e); err != nil {
		t.Fatalf("payload %s: %v", result.Payload, err)
	}
	if result.FunctionError != "Unhandled" || e.ErrorType != wantType || !strings.Contains(e.ErrorMessage, wantMessage) {
		t.Errorf("%s %s, want %s with %q", result.FunctionError, result.Payload, wantType, wantMessage)
	}
}

func TestInvoke(t *testing.T) {
	var also bytes.Buffer
	f := newFunction(t, lambda.Options{Output: &also})
	begin := time.Now()
	first := invoke(t, f, "print", "one")
	if first.Text != "one" || first.ARN != functionARN || len(first.RequestID) != 36 {
		t.Errorf("answer %+v", first)
	}
	if d := first.Deadline; d.Before(begin.Add(time.Minute).Truncate(time.Millisecond)) || d.After(time.Now().Add(time.Minute)) {
		t.Errorf("deadline %s", d)
	}
	second := invoke(t, f, "print", "two")
	if second.PID != first.PID {
		t.Error("the warm process was not used again")
	}
	if second.RequestID == first.RequestID {
		t.Error("two invocations have one request id")
	}
	f.Close()
	for _, line := range []string{"out one\n", "err one\n", "out two\n", "err two\n"} {
		if !strings.Contains(string(f.Output()), line) || !strings.Contains(also.String(), line) {
			t.Errorf("output %q lacks %q", f.Output(), line)
		}
	}
	if _, err := f.Invoke(t.Context(), payload("", "")); err == nil {
		t.Error("a closed function can be invoked")
	}
	if err := exec.Command("kill", "-0", fmt.Sprint(first.PID)).Run(); err == nil {
		t.Error("the process is still there")
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LEAKED", "leaked")
	t.Setenv("AWS_PROFILE", "leaked")
	f := newFunction(t, lambda.Options{Env: []string{"OWN=own value", "AWS_ENDPOINT_URL=http://127.0.0.1:1"}})
	env := invoke(t, f, "env", "").Env
	for _, want := range []string{
		"OWN=own value", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_NAME=rotation",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "AWS_LAMBDA_LOG_FORMAT=JSON", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + filepath.Dir(binary),
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	for _, name := range []string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:", "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=",
		"_X_AMZN_TRACE_ID=Root=1-"} {
		if !slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name) }) {
			t.Errorf("no %s in %q", name, env)
		}
	}
	if joined := strings.Join(env, "\n"); strings.Contains(joined, "leaked") || strings.Contains(joined, "HOME=") {
		t.Errorf("from this process's environment: %q", joined)
	}
}

func TestFunctionReportsAnError(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	before := invoke(t, f, "", "").PID
	result := fail(t, f, "error", "own words", "errorString", "own words")
	if result.Exited || result.TimedOut {
		t.Errorf("result %+v", result)
	}
	if invoke(t, f, "", "").PID != before {
		t.Error("an error ended the process")
	}
}

// A function that panics reports it and exits; the next event has a new process.
func TestFunctionPanics(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	before := invoke(t, f, "", "").PID
	if result := fail(t, f, "panic", "own words", "string", "own words"); result.Exited {
		t.Errorf("result %+v", result)
	}
	if invoke(t, f, "", "").PID == before {
		t.Error("the process survived its panic")
	}
}

func TestProcessExits(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	before := invoke(t, f, "", "").PID
	for text, words := range map[string]string{"": "Runtime exited without providing a reason",
		"12": "Runtime exited with error: exit status 2"} {
		if result := fail(t, f, "exit", text, "Runtime.ExitError", words); !result.Exited || result.TimedOut {
			t.Errorf("result %+v", result)
		}
	}
	if invoke(t, f, "", "").PID == before {
		t.Error("the process survived its exit")
	}
}

func TestTimeout(t *testing.T) {
	f := newFunction(t, lambda.Options{Timeout: 300 * time.Millisecond})
	result := fail(t, f, "hang", "", "Sandbox.Timedout", "Error: Task timed out after 0.30 seconds")
	if !result.TimedOut || result.Exited || result.Duration < 300*time.Millisecond {
		t.Errorf("result %+v", result)
	}
}

// hanging invokes the function in the background and returns its outcome, once
// it hangs.
func hanging(t *testing.T, ctx context.Context, f *lambda.Function, running *watcher) <-chan lambda.Result {
	t.Helper()
	done := make(chan lambda.Result, 1)
	go func() {
		result, err := f.Invoke(ctx, payload("hang", ""))
		if err != nil {
			result.Payload = []byte(err.Error())
		}
		done <- result
	}()
	select {
	case <-running.seen:
	case result := <-done:
		t.Fatalf("did not hang: %+v (%s)", result, result.Payload)
	}
	return done
}

// watcher shows when the function has printed that it hangs.
type watcher struct{ seen chan struct{} }

func (w *watcher) Write(p []byte) (int, error) {
	for range bytes.Count(p, []byte("hanging")) {
		w.seen <- struct{}{}
	}
	return 0, errors.New("ignored: a writer's trouble is not the function's")
}

func TestKill(t *testing.T) {
	w := &watcher{make(chan struct{}, 1)}
	f := newFunction(t, lambda.Options{Output: w})
	f.Kill() // nothing is handled: nothing is killed
	before := invoke(t, f, "", "").PID
	if ids := f.Processes(); len(ids) != 1 || ids[0] != before {
		t.Errorf("processes %v, expected %d", ids, before)
	}
	f.Kill()
	if invoke(t, f, "", "").PID != before {
		t.Error("a process that handled nothing was killed")
	}
	done := hanging(t, t.Context(), f, w)
	f.Kill()
	result := <-done
	checkFailure(t, result, "Runtime.ExitError", "Runtime exited with error: signal: killed")
	if !result.Exited {
		t.Errorf("result %+v", result)
	}
	if invoke(t, f, "", "").PID == before {
		t.Error("the process survived")
	}
}

func TestCallerGivesUp(t *testing.T) {
	w := &watcher{make(chan struct{}, 1)}
	f := newFunction(t, lambda.Options{Output: w})
	ctx, cancel := context.WithCancel(t.Context())
	done := hanging(t, ctx, f, w)
	cancel()
	if result := <-done; string(result.Payload) != context.Canceled.Error() {
		t.Errorf("result %+v (%s)", result, result.Payload)
	}
	if _, err := f.Invoke(ctx, payload("", "")); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

func TestCloseEndsAnInvocation(t *testing.T) {
	w := &watcher{make(chan struct{}, 1)}
	f := newFunction(t, lambda.Options{Output: w})
	done := hanging(t, t.Context(), f, w)
	f.Close()
	if result := <-done; !result.Exited {
		t.Errorf("result %+v", result)
	}
}

func TestConcurrentInvocationsAreBounded(t *testing.T) {
	const bound, invocations = 10, 12
	w := &watcher{make(chan struct{}, invocations)}
	f := newFunction(t, lambda.Options{Output: w})
	file := filepath.Join(t.TempDir(), "go")
	var mu sync.Mutex
	pids := map[int]bool{}
	var all sync.WaitGroup
	for range invocations {
		all.Go(func() {
			a := invoke(t, f, "wait for file", file)
			mu.Lock()
			defer mu.Unlock()
			pids[a.PID] = true
		})
	}
	for range bound {
		<-w.seen
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Error(err)
	}
	all.Wait()
	if len(pids) != bound {
		t.Errorf("%d processes", len(pids))
	}
}

func TestConcurrentInvocationsHaveProcessesOfTheirOwn(t *testing.T) {
	w := &watcher{make(chan struct{}, 1)}
	f := newFunction(t, lambda.Options{Output: w})
	before := invoke(t, f, "", "").PID
	done := hanging(t, t.Context(), f, w)
	if invoke(t, f, "", "").PID == before {
		t.Error("a busy process got a second event")
	}
	f.Kill()
	<-done
}

func TestInit(t *testing.T) {
	for name, test := range map[string]struct{ kind, words, output string }{
		"exit":      {"Runtime.ExitError", "Runtime exited with error: exit status 3", ""},
		"error":     {"Init", "no configuration", ""},
		"bad error": {"Runtime.ExitError", "without providing a reason", "status 400\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFunction(t, lambda.Options{Env: []string{"INIT=" + name}})
			if result := fail(t, f, "", "", test.kind, test.words); !result.Exited {
				t.Errorf("result %+v", result)
			}
			if got := string(f.Output()); got != test.output {
				t.Errorf("output %q", got)
			}
		})
	}
}

func TestRuntimeAPIIsStrict(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	if a := invoke(t, f, "break the protocol", ""); a.Text != "first" {
		t.Errorf("answer %+v", a)
	}
	// Unknown ids, an event before the answer, another method, the answer, and
	// a second one.
	invoke(t, f, "", "") // by another process: the first has printed everything
	if got, want := string(f.Output()), "statuses [400 400 403 405 202 400]\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestSizes(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	fail(t, f, "large", "", "Function.ResponseSizeTooLarge", "6291556")
	const fits = 6<<20 - 1000 // with what is around it
	if a := invoke(t, f, "", strings.Repeat("a", fits)); len(a.Text) != fits {
		t.Errorf("text of %d", len(a.Text))
	}
	if _, err := f.Invoke(t.Context(), make([]byte, 6291557)); err == nil || !strings.Contains(err.Error(), "RequestTooLarge") {
		t.Errorf("err = %v", err)
	}
}

func TestPayloadThatIsNoJSON(t *testing.T) {
	f := newFunction(t, lambda.Options{})
	result, err := f.Invoke(t.Context(), []byte("no JSON"))
	if err != nil || result.FunctionError == "" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		edit  func(*lambda.Options)
		words string
	}{
		"reserved":    {func(o *lambda.Options) { o.Env = []string{"AWS_REGION=us-east-1"} }, "AWS_REGION is reserved"},
		"no name":     {func(o *lambda.Options) { o.Env = []string{"=value"} }, "no name"},
		"bad name":    {func(o *lambda.Options) { o.Env = []string{"A-B=value"} }, "no name"},
		"no value":    {func(o *lambda.Options) { o.Env = []string{"NAME"} }, "no name"},
		"too large":   {func(o *lambda.Options) { o.Env = []string{"NAME=" + strings.Repeat("a", 4096)} }, "4096"},
		"no ARN":      {func(o *lambda.Options) { o.FunctionARN = "rotation" }, "no ARN"},
		"no binary":   {func(o *lambda.Options) { o.Binary = binary + "-absent" }, "start the function"},
		"no function": {func(o *lambda.Options) { o.Binary = os.TempDir() }, "start the function"},
	} {
		t.Run(name, func(t *testing.T) {
			options := lambda.Options{Binary: binary}
			test.edit(&options)
			f := lambda.New(options)
			defer f.Close()
			if _, err := f.Invoke(t.Context(), payload("", "")); err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("err = %v", err)
			}
		})
	}
}
