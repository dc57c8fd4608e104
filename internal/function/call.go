package function

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Busy lets one call at a time work.
type Busy struct{ mu sync.Mutex }

// Do does the work, unless another call is at work. A panic is an error.
func (b *Busy) Do(work func() error) (began bool, err error) {
	if !b.mu.TryLock() {
		return false, nil
	}
	defer b.mu.Unlock()
	defer rotate.Recover(&err)
	began = true
	return began, work()
}

// WorkTime is how long a call may work if its platform ends it after the time-out: the rest is for reporting in which state the
// runners are.
func WorkTime(timeout time.Duration) time.Duration { return timeout - min(10*time.Second, timeout/20) }

// Deadline is when the work of a call must be over. The context ends with the platform's time-out; otherwise is the time-out of a
// call whose context has no end.
func Deadline(ctx context.Context, otherwise time.Duration) time.Time {
	if end, ok := ctx.Deadline(); ok {
		otherwise = time.Until(end)
	}
	return time.Now().Add(WorkTime(otherwise))
}

// LogFailure logs why a call, or a part of it, has failed, and returns the error with its kind and state.
func LogFailure(ctx context.Context, log *slog.Logger, message string, err error) *rotate.Error {
	typed := rotate.AsError(err, rotate.NotObserved)
	log.ErrorContext(ctx, message, rotate.LogError(typed))
	return typed
}

// Abbreviate bounds the length of a caller's text in logs and errors.
func Abbreviate(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// TraceID is the ID of the trace in a traceparent header; empty if there is none.
func TraceID(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) == 4 {
		return parts[1]
	}
	return ""
}
