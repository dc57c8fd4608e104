package rotation

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// work is a call that is at work.
type work struct {
	began     time.Time
	caller    context.Context // ends when its caller has gone
	run       context.Context // ends with the time that it has
	scheduled string          // which call of Cloud Scheduler it is; empty if it is none
}

// How long Cloud Scheduler waits for an answer, at least and at most.
const (
	shortestAttempt = 15 * time.Second
	longestAttempt  = 30 * time.Minute
)

// alreadyAtWork is the answer to a call while another is at work whose caller hears how it ends, as Cloud Scheduler may deliver one twice.
const alreadyAtWork = "another call of this function is at work: nothing was done"

// turnedAway is the answer to a call while another is at work. It is a failure if nobody may hear how that one ends: a retry of a call that
// has taken too long would else hide it.
func turnedAway(ctx context.Context, log *slog.Logger, other *work, request *http.Request) (Answer, int) {
	doubt := other.doubt(scheduled(request))
	if doubt == "" {
		log.WarnContext(ctx, alreadyAtWork)
		return Answer{Note: alreadyAtWork}, http.StatusOK
	}
	return refuse(ctx, log, rotate.Errorf(rotate.NotReady,
			"another call of this function has been at work for %s, and %s: nothing was done", time.Since(other.began).Round(time.Second), doubt).
			WithHint("look in the function's log how that call ends; if this repeats, let the Cloud Scheduler job wait for as long as the function may take (--attempt-deadline)")),
		http.StatusServiceUnavailable
}

// doubt says why nobody may hear how the call ends; empty if its caller is known to wait for it.
func (w *work) doubt(asks string) string {
	switch {
	case w == nil: // it ends at this moment, or begins
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

// scheduled is which call of Cloud Scheduler a request is: a retry of it, or a second delivery, is the same one.
func scheduled(request *http.Request) string {
	at := request.Header.Get("X-CloudScheduler-ScheduleTime")
	if at == "" {
		return ""
	}
	return function.Abbreviate(request.Header.Get("X-CloudScheduler-JobName")) + " " + function.Abbreviate(at)
}
