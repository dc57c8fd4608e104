package rotation

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// work is a call that works now.
type work struct {
	began     time.Time
	caller    context.Context // ends when its caller has gone
	run       context.Context // ends when its time is over
	scheduled string          // see scheduled
}

// How long Cloud Scheduler waits for an answer, at least and at most.
const (
	shortestAttempt = 15 * time.Second
	longestAttempt  = 30 * time.Minute
)

// alreadyAtWork is the answer to a concurrent call if the caller of the first one is still waiting: Cloud Scheduler may deliver one twice.
const alreadyAtWork = "another call of this function is at work: nothing was done"

// turnedAway is the answer to a concurrent call. It is a failure if the caller of the first call may have stopped waiting: if
// this one, its retry, succeeded, nobody would learn how the first one ends.
func turnedAway(ctx context.Context, log *slog.Logger, other *work, request *http.Request) (Answer, int) {
	doubt := other.doubt(scheduled(request))
	if doubt == "" {
		log.WarnContext(ctx, alreadyAtWork)
		return Answer{Note: alreadyAtWork}, http.StatusOK
	}
	return refuse(ctx, log, rotate.Errorf(rotate.NotReady,
			"another call of this function has been at work for %s, and %s: nothing was done", time.Since(other.began).Round(time.Second), doubt).
			WithHint("see in the function's log how that call ends; if this repeats, "+
				"let the Cloud Scheduler job wait for as long as the function may take (--attempt-deadline)")),
		http.StatusServiceUnavailable
}

// doubt says why the caller of the first call may have stopped waiting for its answer; empty if it still waits.
func (w *work) doubt(asks string) string {
	switch {
	case w == nil: // it begins or ends right now
		return ""
	case w.run.Err() != nil:
		return "its time is over"
	case w.caller.Err() != nil:
		return "its caller has gone"
	case w.scheduled != "" && w.scheduled == asks && time.Since(w.began) >= shortestAttempt:
		return "this one repeats it: its caller has taken it for failed"
	case time.Since(w.began) > longestAttempt:
		return "Cloud Scheduler waits for none that long"
	}
	return ""
}

// scheduled identifies a call of Cloud Scheduler: a retry or a second delivery has the same value. It is empty for other
// requests.
func scheduled(request *http.Request) string {
	at := request.Header.Get("X-CloudScheduler-ScheduleTime")
	if at == "" {
		return ""
	}
	return function.Abbreviate(request.Header.Get("X-CloudScheduler-JobName")) + " " + function.Abbreviate(at)
}
