package functionshost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
)

// binary is the compiled testdata/handler.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "functionshost")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "handler")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/handler").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, out)
		return 1
	}
	return m.Run()
}

const (
	hostJSON     = `{"version":"2.0","functionTimeout":"00:10:00","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	functionJSON = `{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"%SCHEDULE%",` +
		`"useMonitor":true,"runOnStartup":false}],
		"retry":{"strategy":"fixedDelay","maxRetryCount":2,"delayInterval":"00:05:00"}}`
)

// unpacked is the folder of an app.
func unpacked(t *testing.T, host, function string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Link(binary, filepath.Join(folder, "handler")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "Fn"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"host.json": host, "Fn/function.json": function} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func started(t *testing.T, options functionshost.Options) *functionshost.Host {
	t.Helper()
	options.Folder = unpacked(t, hostJSON, functionJSON)
	options.Settings = append(options.Settings, "SCHEDULE=0 */30 * * * *")
	host, err := functionshost.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	return host
}

type echo struct {
	PID      int
	Env      []string
	Dir      string
	Path     string
	Header   map[string][]string
	Encoding []string
	Length   int64
	Body     string
}

// invoke does an invocation that must succeed.
func invoke(t *testing.T, host *functionshost.Host, timer functionshost.Timer) functionshost.Result {
	t.Helper()
	result, err := host.Invoke(t.Context(), "Fn", timer)
	if err != nil || result.Failure != "" || result.Status != 200 || result.TimedOut || result.Exited || result.Hung {
		t.Fatalf("%+v, %v", result, err)
	}
	return result
}

func echoed(t *testing.T, result functionshost.Result) (e echo) {
	t.Helper()
	var answer struct{ Logs []string }
	if err := json.Unmarshal(result.Body, &answer); err != nil || len(answer.Logs) != 1 {
		t.Fatalf("%q: %v", result.Body, err)
	}
	if err := json.Unmarshal([]byte(answer.Logs[0]), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func order(text string, args ...any) functionshost.Timer {
	return functionshost.Timer{Body: fmt.Appendf(nil, text, args...)}
}

func TestInvocation(t *testing.T) {
	t.Setenv("LEAKED", "leaked")
	host := started(t, functionshost.Options{Settings: []string{"OWN=value"}})
	result := invoke(t, host, functionshost.Timer{})
	got := echoed(t, result)
	if got.Path != "/Fn" || !slices.Equal(got.Encoding, []string{"chunked"}) || got.Length != -1 || len(result.Logs) != 1 {
		t.Errorf("%+v", got)
	}
	for name, want := range map[string]string{
		"X-Azure-Functions-Invocationid": "^" + result.InvocationID + "$", "X-Azure-Functions-Hostversion": `^4\.[0-9.]+$`,
		"User-Agent": `^Azure-Functions-Host/4\.[0-9.]+$`, "Traceparent": `^00-[0-9a-f]{32}-[0-9a-f]{16}-00$`,
		"Content-Type": `^application/json; charset=utf-8$`,
	} {
		if values := got.Header[name]; len(values) != 1 || !regexp.MustCompile(want).MatchString(values[0]) {
			t.Errorf("%s is %q", name, values)
		}
	}
	if len(got.Header) != 5 {
		t.Errorf("the header is %v", got.Header)
	}
	if !slices.Contains(got.Env, "OWN=value") || strings.Contains(strings.Join(got.Env, " "), "leaked") ||
		!slices.ContainsFunc(got.Env, func(v string) bool {
			return strings.HasPrefix(v, "FUNCTIONS_CUSTOMHANDLER_PORT=") && strings.Contains(host.URL(),
				":"+strings.TrimPrefix(v, "FUNCTIONS_CUSTOMHANDLER_PORT=")+"/")
		}) {
		t.Errorf("the environment is %q", got.Env)
	}
	if got.PID != host.PID() || echoed(t, invoke(t, host, functionshost.Timer{})).PID != got.PID || host.Starts() != 1 {
		t.Error("there are several processes")
	}
	if _, err := host.Invoke(t.Context(), "Other", functionshost.Timer{}); err == nil {
		t.Error("a function that is not there is invoked")
	}
	host.Close()
	if _, err := host.Invoke(t.Context(), "Fn", functionshost.Timer{}); err == nil {
		t.Error("a closed host invokes")
	}
	if err := exec.Command("kill", "-0", fmt.Sprint(got.PID)).Run(); err == nil {
		t.Error("the process is still there")
	}
}

// The bodies are those that a host sends, but for the time and the random identifier.
func TestBodies(t *testing.T) {
	host := started(t, functionshost.Options{})
	status := &functionshost.Status{Last: "2026-11-28T06:00:00.0089+00:00", Next: "no time", LastUpdated: ""}
	const sys = `"sys":{"MethodName":"Fn","UtcNow":"NOW","RandGuid":"GUID"}`
	variable := regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"|"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"`)
	for want, timer := range map[string]functionshost.Timer{
		`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{` + sys + `}}`: {},
		`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":{"Last":"2026-11-28T06:00:00.0089+00:00",` +
			`"Next":"no time","LastUpdated":""},"IsPastDue":true}},"Metadata":{` + sys + `}}`: {
			PastDue: true, Status: status,
		},
		`{"Data":{"timer":"{\"Schedule\":{\"AdjustForDST\":true},\"ScheduleStatus\":null,\"IsPastDue\":true}"},"Metadata":{` + sys +
			`}}`: {PastDue: true, Encoded: true},
		`null`: {Body: []byte("null")},
		``:     {Body: []byte{}},
	} {
		got := variable.ReplaceAllStringFunc(echoed(t, invoke(t, host, timer)).Body, func(found string) string {
			if strings.Contains(found, "T") {
				return `"NOW"`
			}
			return `"GUID"`
		})
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestRetries(t *testing.T) {
	for fail, tries := range map[string]int{"": 1, "x": 2, "xx": 3, "xxx": 3} {
		var reported []string
		host := started(t, functionshost.Options{
			Settings: []string{"FAIL=" + fail}, RetryDelay: time.Millisecond,
			BeforeTry: func(try int) { reported = append(reported, fmt.Sprint("before ", try)) },
			AfterTry: func(try int, result functionshost.Result) {
				reported = append(reported, fmt.Sprint("after ", try, result.Failure != ""))
			},
		})
		results, err := host.Fire(t.Context(), "Fn", functionshost.Timer{})
		if err != nil || len(results) != tries || (results[tries-1].Failure != "") != (len(fail) >= tries) {
			t.Fatalf("%q: %+v, %v", fail, results, err)
		}
		for i, result := range results {
			if want := []string{fmt.Sprint("before ", i), fmt.Sprint("after ", i, result.Failure != "")}; !slices.Equal(reported[2*i:2*i+2], want) {
				t.Errorf("reported is %q, expected %q", reported, want)
			}
			body := echoed(t, result).Body
			if want := fmt.Sprintf(`,"RetryContext":{"RetryCount":%d,"MaxRetryCount":2}}}`, i); strings.HasSuffix(body, want) != (i > 0) {
				t.Errorf("try %d has %s", i, body)
			}
			if result.Failure != "" && (result.Failure != "Response status code does not indicate success: 500 (Internal Server Error)." ||
				result.Logs != nil) {
				t.Errorf("the failure is %+v", result)
			}
		}
	}
}

// An answer without a document is none: the host waits on, and ends the handler at functionTimeout.
func TestAnswersThatHang(t *testing.T) {
	host := started(t, functionshost.Options{FunctionTimeout: 500 * time.Millisecond})
	for i, answer := range []string{`"Code":200,"Answer":""`, `"Code":200,"Answer":" null "`, `"Code":204`, `"Code":202,"Type":"text/plain"`} {
		before := host.PID()
		result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"answer",%s}`, answer))
		if err != nil || !result.Hung || !result.TimedOut || result.Failure != "Timeout value of 500ms exceeded by function: Functions.Fn" ||
			result.Duration < 200*time.Millisecond {
			t.Errorf("%s: %+v, %v", answer, result, err)
		}
		if i == 2 { // the third exit in a row
			if _, err := host.Invoke(t.Context(), "Fn", functionshost.Timer{}); err == nil || !strings.Contains(err.Error(), "exceeded") {
				t.Errorf("after three kills: %v", err)
			}
			host = started(t, functionshost.Options{FunctionTimeout: 500 * time.Millisecond})
			continue
		}
		checkReplaced(t, host, before)
	}
}

// checkReplaced checks that there is another handler, which is ready.
func checkReplaced(t *testing.T, host *functionshost.Host, before int) {
	t.Helper()
	if err := host.Ready(t.Context()); err != nil || host.PID() == before {
		t.Errorf("the handler was not replaced: %v", err)
	}
}

func TestBadAnswers(t *testing.T) {
	host := started(t, functionshost.Options{})
	for answer, want := range map[string]string{
		`"Code":200,"Answer":"done"`:                         "Invalid HttpResponseMessage",
		`"Code":200,"Answer":"[]"`:                           "Invalid HttpResponseMessage",
		`"Code":200,"Answer":"{\"Logs\":7}"`:                 "Invalid HttpResponseMessage",
		`"Code":200,"Answer":"{}","Type":"text/html"`:        "media type 'text/html'",
		`"Code":404,"Answer":""`:                             "404 (Not Found)",
		`"Code":503,"Answer":"{\"Logs\":[\"thrown away\"]}"`: "503 (Service Unavailable)",
	} {
		result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"answer",%s}`, answer))
		if err != nil || !strings.Contains(result.Failure, want) || result.Logs != nil || result.Hung || result.TimedOut || result.Exited {
			t.Errorf("%s: %+v, %v", answer, result, err)
		}
	}
	if host.Starts() != 1 {
		t.Error("the handler was started anew")
	}
}

func TestTimeout(t *testing.T) {
	host := started(t, functionshost.Options{FunctionTimeout: 500 * time.Millisecond})
	before := host.PID()
	result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"hang"}`))
	if err != nil || !result.TimedOut || result.Hung || result.Exited || !strings.HasPrefix(result.Failure, "Timeout value") {
		t.Errorf("%+v, %v", result, err)
	}
	checkReplaced(t, host, before)
}

// TestKeepFunctionTimeout: that of host.json ends the handler, and not the one of the options.
func TestKeepFunctionTimeout(t *testing.T) {
	host, err := functionshost.New(functionshost.Options{
		Folder:   unpacked(t, strings.Replace(hostJSON, "00:10:00", "00:00:01", 1), functionJSON),
		Settings: []string{"SCHEDULE=0 */30 * * * *"}, FunctionTimeout: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	host.KeepFunctionTimeout()
	if result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"hang"}`)); err != nil || !result.TimedOut ||
		!strings.Contains(result.Failure, "Timeout value of 1s exceeded") {
		t.Errorf("%+v, %v", result, err)
	}
}

// Whoever waits no longer for an invocation does not stop it.
func TestCallerLeaves(t *testing.T) {
	seen := make(chan struct{})
	host := started(t, functionshost.Options{Output: writer(func(p []byte) {
		if bytes.Contains(p, []byte("hanging")) {
			close(seen)
		}
	})})
	before := host.PID()
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := host.Invoke(ctx, "Fn", order(`{"Do":"hang"}`))
		done <- err
	}()
	<-seen
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if echoed(t, invoke(t, host, functionshost.Timer{})).PID != before {
		t.Error("the handler was killed")
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return 0, errors.New("ignored: a writer's trouble is not the handler's")
}

func TestExits(t *testing.T) {
	host := started(t, functionshost.Options{})
	fail := func(code int) {
		t.Helper()
		result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"exit","Code":%d}`, code))
		if err != nil || !result.Exited || result.TimedOut || !strings.HasPrefix(result.Failure, "An error occurred while sending the request") {
			t.Errorf("exit %d: %+v, %v", code, result, err)
		}
	}
	before := host.PID()
	fail(1)
	fail(200) // it wants to be started again: no error
	fail(200)
	fail(3)
	if after := echoed(t, invoke(t, host, functionshost.Timer{})).PID; after == before || host.Starts() != 5 {
		t.Errorf("%d starts", host.Starts())
	}
	fail(2)
	if err := host.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "exceeded http worker restart retry count") {
		t.Errorf("after the third error: %v", err)
	}
	if host.Starts() != 5 {
		t.Errorf("%d starts", host.Starts())
	}
	for range 2 { // one that runs is left alone
		if err := host.Revive(); err != nil || host.Ready(t.Context()) != nil || host.Starts() != 6 {
			t.Errorf("it was not started again: %v, %d starts", err, host.Starts())
		}
	}
	fail(2)
	fail(2)
	if err := host.Ready(t.Context()); err != nil { // it counts anew
		t.Error(err)
	}
}

// A handler that leaves with 0 is not started again.
func TestExitsWithoutAnError(t *testing.T) {
	host := started(t, functionshost.Options{})
	result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"exit","Code":0}`))
	if err != nil || !result.Exited {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := host.Invoke(t.Context(), "Fn", functionshost.Timer{}); err == nil || !strings.Contains(err.Error(), "has left with 0") ||
		host.Starts() != 1 {
		t.Errorf("%d starts, %v", host.Starts(), err)
	}
}

func TestKill(t *testing.T) {
	host := started(t, functionshost.Options{})
	before := echoed(t, invoke(t, host, functionshost.Timer{})).PID
	host.Kill()
	for host.PID() == before { // its end is not seen at once
		if err := host.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if echoed(t, invoke(t, host, functionshost.Timer{})).PID == before {
		t.Error("the handler was not killed")
	}
}

func TestStarts(t *testing.T) {
	for how, want := range map[string]string{"exit": "exceeded", "hang": "exceeded", "unwell": "exceeded"} {
		host := started(t, functionshost.Options{Settings: []string{"START=" + how}, StartTimeout: 100 * time.Millisecond})
		if err := host.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), want) || host.Starts() != 3 {
			t.Errorf("%s: %d starts, %v", how, host.Starts(), err)
		}
	}
	host := started(t, functionshost.Options{Settings: []string{"START=hang"}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := host.Ready(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Two invocations may be at work at the same time, in one process.
func TestTwoAtATime(t *testing.T) {
	host := started(t, functionshost.Options{})
	first := make(chan functionshost.Result)
	go func() {
		result, err := host.Invoke(t.Context(), "Fn", order(`{"Do":"wait"}`))
		if err != nil {
			t.Error(err)
		}
		first <- result
	}()
	invoke(t, host, order(`{"Do":"go on"}`))
	if result := <-first; result.Failure != "" || host.Starts() != 1 {
		t.Errorf("%+v", result)
	}
}

func TestOutput(t *testing.T) {
	var also bytes.Buffer
	host := started(t, functionshost.Options{Output: &also})
	invoke(t, host, order(`{"Do":"print"}`))
	host.Close()
	if out, err := string(host.Information()), string(host.Errors()); out != "to stdout\n" || err != "to stderr\n" {
		t.Errorf("Information %q, Error %q", out, err)
	}
	for _, line := range []string{"to stdout\n", "to stderr\n"} {
		if !strings.Contains(string(host.Output()), line) || !strings.Contains(also.String(), line) {
			t.Errorf("%q, %q lack %q", host.Output(), also.String(), line)
		}
	}
}

func TestApps(t *testing.T) {
	replace := func(text, old, with string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("no %s in %s", old, text)
		}
		return strings.Replace(text, old, with, 1)
	}
	for name, test := range map[string]struct {
		host, function string
		settings       []string
		mode           os.FileMode
		want           string
	}{
		"no host.json":       {function: functionJSON, want: "host.json: no such file"},
		"a broken host.json": {host: "{", function: functionJSON, want: "host.json: unexpected end"},
		"an old host.json":   {host: replace(hostJSON, "2.0", "1.0"), function: functionJSON, want: `the version "1.0", expected 2.0`},
		"a bad timeout": {host: replace(hostJSON, "00:10:00", "10m"), function: functionJSON,
			want: `functionTimeout in host.json is "10m"`},
		"no handler is named": {host: replace(hostJSON, "defaultExecutablePath", "path"), function: functionJSON,
			want: "no customHandler.description.defaultExecutablePath"},
		"no handler": {host: replace(hostJSON, `"handler"`, `"other"`), function: functionJSON, want: "the handler: "},
		"a lost x-bit": {host: hostJSON, function: functionJSON, mode: 0o644,
			want: "the handler handler cannot be executed: its mode is -rw-r--r--"},
		"no functions":    {host: hostJSON, want: "no job functions found"},
		"another trigger": {host: hostJSON, function: replace(functionJSON, "timerTrigger", "httpTrigger"), want: "not one timerTrigger"},
		"no direction":    {host: hostJSON, function: replace(functionJSON, `"direction":"in",`, ""), want: "not one timerTrigger"},
		"no such setting": {host: hostJSON, function: replace(functionJSON, "SCHEDULE", "OTHER"),
			want: "function Fn: '%OTHER%' does not resolve to a value"},
		"five fields": {host: hostJSON, function: replace(functionJSON, "%SCHEDULE%", "*/30 * * * *"),
			want: `"*/30 * * * *" is no NCRONTAB expression of six fields`},
		"an unknown retry": {host: hostJSON, function: replace(functionJSON, "fixedDelay", "linear"), want: "retry policy"},
		"a bad retry interval": {host: hostJSON, function: replace(functionJSON, "00:05:00", "5m"),
			want: `delayInterval of its retry policy is "5m"`},
		"a reserved setting": {host: hostJSON, function: functionJSON, settings: []string{"FUNCTIONS_CUSTOMHANDLER_PORT=80"},
			want: "no name of an app setting"},
		"no setting": {host: hostJSON, function: functionJSON, settings: []string{"A"}, want: `"A" is no name of an app setting`},
	} {
		t.Run(name, func(t *testing.T) {
			folder := unpacked(t, test.host, test.function)
			if test.mode != 0 {
				handler := filepath.Join(folder, "handler")
				content, err := os.ReadFile(handler)
				if err == nil {
					err = os.Remove(handler) // it is a link
				}
				if err == nil {
					err = os.WriteFile(handler, content, test.mode)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			host, err := functionshost.New(functionshost.Options{Folder: folder, Settings: append(test.settings, "SCHEDULE=0 0 3 * * SUN")})
			if err == nil {
				host.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, expected %s", err, test.want)
			}
		})
	}
}
