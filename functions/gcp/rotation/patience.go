package rotation

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// How long Google's own APIs are waited for. Their clients would wait for as long as the call lasts.
const (
	readTimeout  = 10 * time.Second // of one try of a read
	readTries    = 2                // where there was no answer
	tokenTimeout = 5 * time.Second  // of what the clients cannot be told to give up
)

const hungHint = "nothing: the next call tries again; if this repeats, check the function's routes to Google's APIs and to the metadata server"

// read does a read of a Google API, for which a permission is needed. One that has not been answered in time is tried once more.
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

// timedTokens is a source of tokens that is not waited for without end.
type timedTokens struct{ source oauth2.TokenSource }

// Token implements oauth2.TokenSource.
func (t timedTokens) Token() (*oauth2.Token, error) {
	return inTime("an access token of Google Cloud", t.source.Token)
}

// inTime does something that listens to no context, and does not wait for it for long: it goes on by itself, and ends when it does.
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
