package rotation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// answered is what a handler answers a request with, and its log.
func answered(t *testing.T, h *Handler, request *http.Request) (int, Answer) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	var answer Answer
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("the answer is %q: %v", recorder.Body.String(), err)
	}
	return recorder.Code, answer
}

// kindOf is the kind of the error of a call that could not begin; empty if there is none.
func kindOf(answer Answer) rotate.Kind {
	if answer.Error == nil {
		return ""
	}
	return answer.Error.Kind
}

// noGoogle are Google's APIs for a function without credentials.
func noGoogle(context.Context) (*googleAPIs, error) {
	return nil, rotate.Errorf(rotate.Permission, "there are no credentials of Google Cloud").WithHint("run the function as a service account")
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestWhateverIsSentIsIgnored(t *testing.T) {
	for name, request := range map[string]*http.Request{
		"GET":         httptest.NewRequest(http.MethodGet, "/", nil),
		"POST":        httptest.NewRequest(http.MethodPost, "/", nil),
		"DELETE":      httptest.NewRequest(http.MethodDelete, "/some/path?releases=x", nil),
		"a body":      httptest.NewRequest(http.MethodPost, "/", unread{t}),
		"ten MB":      httptest.NewRequest(http.MethodPost, "/", io.LimitReader(unread{t}, 10<<20)),
		"a bad trace": withHeader(httptest.NewRequest(http.MethodPost, "/", nil), "X-Cloud-Trace-Context", strings.Repeat("x", 10_000)),
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := New(functiontest.Environ(valid()), &log)
			h.google = noGoogle
			status, answer := answered(t, h, request)
			if status != http.StatusInternalServerError || len(answer.Targets) != 2 ||
				!strings.Contains(answer.Targets[0].Text(), "no credentials of Google Cloud") {
				t.Errorf("got %d, %+v", status, answer)
			}
		})
	}
}

func withHeader(request *http.Request, name, value string) *http.Request {
	request.Header.Set(name, value)
	return request
}

func TestBadConfigurationIsReported(t *testing.T) {
	var log bytes.Buffer
	status, answer := answered(t, New([]string{"MAIA_HELM_RELEASES=x"}, &log), httptest.NewRequest(http.MethodPost, "/", nil))
	if status != http.StatusInternalServerError || kindOf(answer) != rotate.Configuration ||
		!strings.Contains(answer.Error.What, "MAIA_CREDENTIALS_SECRET is not set") || len(answer.Targets) > 0 {
		t.Errorf("got %d, %+v", status, answer)
	}
	failed := functiontest.Lines(t, log.Bytes())[1]
	if failed["severity"] != "ERROR" || failed["message"] != "the call failed" || failed["kind"] != "configuration" || failed["error"] == "" ||
		failed["level"] != nil || failed["msg"] != nil {
		t.Errorf("the line is %v", failed)
	}
}

func TestTrace(t *testing.T) {
	for name, value := range map[string]string{"X-Cloud-Trace-Context": "105445aa7843bc8bf206b12000100000/1;o=1",
		"traceparent": "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01"} {
		var log bytes.Buffer
		h := New(functiontest.Environ(valid()), &log)
		h.google = noGoogle
		request := withHeader(httptest.NewRequest(http.MethodPost, "/", nil), name, value)
		request.Header.Set("X-CloudScheduler-JobName", "maia-rotate")
		answered(t, h, request)
		for _, line := range functiontest.Lines(t, log.Bytes()) {
			if line["logging.googleapis.com/trace"] != "projects/acme/traces/105445aa7843bc8bf206b12000100000" {
				t.Errorf("%s: the line is %v", name, line)
			}
		}
		if first := functiontest.Lines(t, log.Bytes())[0]; first["message"] != "called" || first["job"] != "maia-rotate" ||
			first["severity"] != "INFO" {
			t.Errorf("the first line is %v", first)
		}
	}
}

// TestOneCallAtATime: a concurrent call is answered with 200 while the caller of the first one waits, else with 503. The first one is
// carried out to the end, though its caller has gone.
func TestOneCallAtATime(t *testing.T) {
	const job, first, later = "maia-rotate", "2026-11-28T19:00:00Z", "2026-11-28T19:30:00Z"
	for name, test := range map[string]struct {
		is    string        // the second call's schedule time
		after time.Duration // when it comes
		gone  bool          // the first one's caller
		words string        // empty: 200
	}{
		"delivered twice":     {is: first, after: time.Second},
		"by hand":             {is: "", after: 5 * time.Minute},
		"the next one":        {is: later, after: 25 * time.Minute},
		"the caller has gone": {is: "", after: time.Second, gone: true, words: "has been at work for 1s, and its caller has gone"},
		"a retry after its deadline": {is: first, after: 3*time.Minute + 5*time.Second,
			words: "has been at work for 3m5s, and this one repeats it"},
		"the next one, 31 min later": {is: later, after: 31 * time.Minute, words: "Cloud Scheduler waits for none that long"},
		"one whose time is over":     {is: later, after: time.Hour, words: "its time is over"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				env := valid()
				env["MAIA_HELM_RELEASES"] = cluster // a second one would wait for the first at a mutex, which a bubble does not see
				h := New(functiontest.Environ(env), &log)
				begun, release := make(chan struct{}), make(chan struct{})
				var seen context.Context
				h.google = func(ctx context.Context) (*googleAPIs, error) {
					seen = ctx
					close(begun)
					<-release
					return noGoogle(ctx)
				}
				call := func(ctx context.Context, at string) *http.Request {
					request := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
					if at != "" {
						request.Header.Set("X-CloudScheduler-JobName", job)
						request.Header.Set("X-CloudScheduler-ScheduleTime", at)
					}
					return request
				}
				caller, leave := context.WithTimeout(t.Context(), time.Hour)
				defer leave()
				ended := make(chan int)
				go func() {
					recorder := httptest.NewRecorder()
					h.ServeHTTP(recorder, call(caller, first))
					ended <- recorder.Code
				}()
				<-begun
				if test.gone {
					leave()
				}
				time.Sleep(test.after)
				if seen.Err() != nil {
					t.Error("the run ends with its caller")
				}
				status, answer := answered(t, h, call(t.Context(), test.is))
				if test.words == "" && (status != http.StatusOK ||
					answer.Note != "another call of this function is at work: nothing was done") ||
					test.words != "" && (status != http.StatusServiceUnavailable || kindOf(answer) != rotate.NotReady ||
						!strings.Contains(answer.Error.What, test.words)) {
					t.Errorf("the second call: %d, %+v", status, answer)
				}
				close(release)
				if status := <-ended; status != http.StatusInternalServerError {
					t.Errorf("the first call: %d", status)
				}
				h.google = noGoogle
				if status, answer := answered(t, h, call(t.Context(), later)); status != http.StatusInternalServerError ||
					answer.Note != "" {
					t.Errorf("a call after it: %d, %+v", status, answer)
				}
			})
		})
	}
}

// witness is a log that keeps the context of its first line: that of a call.
type witness struct{ call context.Context }

// Enabled implements slog.Handler.
func (*witness) Enabled(context.Context, slog.Level) bool { return true }

func (w *witness) Handle(ctx context.Context, _ slog.Record) error {
	if w.call == nil {
		w.call = ctx
	}
	return nil
}

func (w *witness) WithAttrs([]slog.Attr) slog.Handler { return w }

func (w *witness) WithGroup(string) slog.Handler { return w }

// TestEnd: a run is cancelled, and End returns when its call is answered.
func TestEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env := valid()
		env["MAIA_HELM_RELEASES"] = cluster // see TestOneCallAtATime
		h, seen := New(functiontest.Environ(env), io.Discard), new(witness)
		h.log = slog.New(seen)
		begun, release := make(chan struct{}), make(chan struct{})
		h.google = func(ctx context.Context) (*googleAPIs, error) {
			close(begun)
			<-release
			return noGoogle(ctx)
		}
		recorder := httptest.NewRecorder()
		go h.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/", nil))
		<-begun
		if err := seen.call.Err(); err != nil {
			t.Fatalf("the run has ended: %v", err)
		}
		ended := make(chan struct{})
		go func() {
			h.End()
			close(ended)
		}()
		<-seen.call.Done()
		select {
		case <-ended:
			t.Error("End returns before the call is answered")
		default:
		}
		close(release)
		<-ended
		if recorder.Code != http.StatusInternalServerError || !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("the call is answered with %d, %q", recorder.Code, recorder.Body)
		}
	})
}

func TestPanicIsContained(t *testing.T) {
	var log bytes.Buffer
	h := New(functiontest.Environ(valid()), &log)
	h.google = func(context.Context) (*googleAPIs, error) { panic("holds " + apiSecret) }
	status, answer := answered(t, h, httptest.NewRequest(http.MethodPost, "/", nil))
	if status != http.StatusInternalServerError || !strings.Contains(answer.Targets[0].Text(), "panic of type string") {
		t.Errorf("got %d, %+v", status, answer)
	}
	if text, err := json.Marshal(answer); err != nil || bytes.Contains(text, []byte(apiSecret)) ||
		bytes.Contains(log.Bytes(), []byte(apiSecret)) {
		t.Errorf("the value of the panic leaked (%v)", err)
	}
}

// TestDeadline: before the platform ends the process there is time to report in which state the runners are, and the run does not
// end with its caller.
func TestDeadline(t *testing.T) {
	for _, test := range []struct{ platform, want time.Duration }{
		{time.Hour, time.Hour - 10*time.Second},
		{time.Minute, 57 * time.Second},
		{0, 30*time.Minute - 10*time.Second}, // none: as long as Cloud Scheduler waits
	} {
		synctest.Test(t, func(t *testing.T) {
			env := valid()
			env["MAIA_HELM_RELEASES"] = cluster // see TestOneCallAtATime
			h, seen := New(functiontest.Environ(env), io.Discard), new(witness)
			h.log = slog.New(seen)
			caller, leave := context.WithCancel(t.Context())
			if test.platform > 0 {
				caller, leave = context.WithTimeout(t.Context(), test.platform)
			}
			began := time.Now()
			h.google = func(ctx context.Context) (*googleAPIs, error) {
				leave()
				<-seen.call.Done()
				if err := seen.call.Err(); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != test.want {
					t.Errorf("of %s it ends after %s: %v", test.platform, time.Since(began), err)
				}
				return noGoogle(ctx)
			}
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(caller, http.MethodPost, "/", nil))
		})
	}
}
