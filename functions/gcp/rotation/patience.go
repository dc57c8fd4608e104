package rotation

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Time-outs of Google's own APIs, whose clients would wait for as long as the call of the function lasts.
const (
	readTimeout  = 10 * time.Second // of one try of a read
	readTries    = 2                // where there was no answer
	tokenTimeout = 5 * time.Second  // of what takes no context
)

const hungHint = "nothing: the next call tries again; if this repeats, check the function's routes to Google's APIs and to the " +
	"metadata server"

// read calls a Google API, which asks for a permission. A call that is not answered in time is tried once more.
func read[T any](ctx context.Context, what, permission string, do func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, readTimeout)
		found, err := do(once)
		hung := once.Err() != nil
		cancel()
		switch {
		case err == nil:
			return found, nil
		case ctx.Err() != nil:
			return found, fmt.Errorf("%s: %w", what, ctx.Err())
		case !hung:
			return found, failure(what, permission, err)
		case try == readTries:
			return found, rotate.Errorf(rotate.NotReady, "%s: no answer within %s, %d times", what, readTimeout, readTries).
				WithHint(hungHint)
		}
	}
}

// timedTokens is a source of tokens with a time-out.
type timedTokens struct{ source oauth2.TokenSource }

func (t timedTokens) Token() (*oauth2.Token, error) {
	return inTime("an access token of Google Cloud", t.source.Token)
}

// inTime gives up waiting for something that takes no context. That goes on in the background until it ends.
func inTime[T any](what string, do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := do()
		done <- result{value, err}
	}()
	timer := time.NewTimer(tokenTimeout)
	defer timer.Stop()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		var none T
		return none, rotate.Errorf(rotate.NotReady, "%s: no answer within %s", what, tokenTimeout).WithHint(hungHint)
	}
}
