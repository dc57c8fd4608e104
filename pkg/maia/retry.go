package maia

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	maxAttempts  = 5                // of one call that may be repeated
	firstTimeout = 15 * time.Second // of the first of them: most answers come within a second, and those that are lost never do
	// of each other one, so that what is only slow is answered in the end; and of a call that is sent once
	laterTimeout = 30 * time.Second
	firstBackoff = 500 * time.Millisecond // doubles from attempt to attempt, with jitter
	maxWait      = 5 * time.Minute        // a Retry-After beyond it is reported, not waited for
)

// timeoutOf an attempt, counted from 1.
func timeoutOf(attempt int) time.Duration {
	if attempt == 1 {
		return firstTimeout
	}
	return laterTimeout
}

// retry runs f up to maxAttempts times, as long as it fails in a way that one more try may repair and ctx leaves time to wait. It
// returns f's last error, which names the last answer that there was.
func retry(ctx context.Context, f func(attempt int) *Error) *Error {
	var answered *Error
	for attempt := 1; ; attempt++ {
		err := f(attempt)
		switch {
		case err == nil:
			return nil
		case err.StatusCode != 0:
			answered = err
		case answered != nil:
			err = err.after(answered)
		}
		if !err.retry || attempt == maxAttempts {
			return err
		}
		wait := max(backoff(attempt), err.RetryAfter)
		deadline, ok := ctx.Deadline()
		if err.noTime = ok && time.Until(deadline) <= wait; err.noTime || wait > maxWait {
			err.addReason("not tried again: there is no time to wait that long")
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			err.stopped = ctx.Err()
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
