package maia

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	maxAttempts    = 5                      // of one idempotent call
	attemptTimeout = 15 * time.Second       // of one of them
	firstBackoff   = 500 * time.Millisecond // doubles from attempt to attempt, with jitter
	maxWait        = 5 * time.Minute        // a Retry-After beyond it is reported, not waited for
)

// retry runs f up to maxAttempts times, as long as it fails in a way that one more try may mend and ctx leaves time to wait. It
// returns f's last error.
func retry(ctx context.Context, f func() *Error) *Error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !err.retry || attempt == maxAttempts {
			return err
		}
		wait := max(backoff(attempt), err.RetryAfter)
		if deadline, ok := ctx.Deadline(); wait > maxWait || ok && time.Until(deadline) <= wait {
			err.Reason = "not tried again: there is no time to wait that long"
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			err.cause = ctx.Err()
			return err
		}
	}
}

// backoff after the given attempt, counted from 1: between half and all of a time that doubles, so that clients do not march in step.
func backoff(attempt int) time.Duration {
	full := firstBackoff << (attempt - 1)
	return full/2 + rand.N(full/2)
}

// retryAfter reads the header (RFC 9110, section 10.2.3): seconds, or a date. 0 if there is none that makes sense.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(date))
	}
	return 0
}
