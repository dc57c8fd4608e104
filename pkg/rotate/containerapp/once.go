package containerapp

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"
)

// once has the SDK send a request a single time. By itself it repeats a change that got no answer, or was one of too many, after
// up to a minute: built from an older read, the change would undo what another writer, or the next holder of the lock, has done
// since. Here each new try begins with a fresh read, under the lock.
func (r *Runner) once(ctx context.Context) context.Context {
	retry := r.config.client().Retry
	retry.MaxRetries = -1
	return policy.WithRetryOptions(ctx, retry)
}

// patch sends a change of the app, once.
func (r *Runner) patch(ctx context.Context, change armappcontainers.ContainerApp) error {
	var answer *http.Response
	ctx = policy.WithCaptureResponse(r.once(ctx), &answer)
	// The operation itself is not polled: that needs a right on the whole subscription.
	_, err := r.apps.BeginUpdate(ctx, r.id.ResourceGroupName, r.id.Name, change, nil)
	if accepted(answer) {
		return nil
	}
	r.heed(answer)
	return err
}

// restart orders the restart of a revision, once. It returns when the restart was asked for, by Azure's clock; zero if Azure does
// not say. The answer may take long, and replicas may be replaced meanwhile.
func (r *Runner) restart(ctx context.Context, revision string) (at time.Time, err error) {
	var answer *http.Response
	ctx = policy.WithCaptureResponse(r.once(ctx), &answer)
	asked := time.Now()
	_, err = r.revisions.RestartRevision(ctx, r.id.ResourceGroupName, r.id.Name, revision, nil)
	if date := dateOf(answer); accepted(answer) && !date.IsZero() {
		return date.Add(-time.Since(asked).Round(time.Second)), nil
	} else if accepted(answer) {
		return time.Time{}, nil
	}
	r.heed(answer)
	return time.Time{}, err
}

// longestWait is how long Azure may ask to wait before the next change. A longer wait is an error.
const longestWait = time.Minute

// heed keeps until when Azure asks to send no other change.
func (r *Runner) heed(answer *http.Response) {
	if answer == nil {
		return
	}
	seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
	if wait := time.Duration(seconds) * time.Second; err == nil && wait > 0 {
		r.allowed = time.Now().Add(min(wait, longestWait))
	}
}

// awaitAllowed waits as long as Azure has asked to.
func (r *Runner) awaitAllowed(ctx context.Context) error {
	left := time.Until(r.allowed)
	if left <= 0 {
		return nil
	}
	return wait(ctx, left)
}

// accepted reports whether Azure has answered with a success, of which the SDK may know only some.
func accepted(answer *http.Response) bool { return answer != nil && answer.StatusCode/100 == 2 }

// dateOf is when Azure answered, by its own clock; zero if it does not say.
func dateOf(answer *http.Response) time.Time {
	if answer == nil {
		return time.Time{}
	}
	date, _ := http.ParseTime(answer.Header.Get("Date"))
	return date
}
