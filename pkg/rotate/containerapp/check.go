package containerapp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Check implements [rotate.Runner]. Reads were proved by Observe; that the note can be written shows before a refresh.
func (r *Runner) Check(ctx context.Context) error {
	if err := r.readApp(ctx); err != nil {
		return err
	}
	switch state := r.seen.state; {
	case r.seen.changing():
		return rotate.Errorf(rotate.NotReady, "a change of app %s is in progress", r.id.Name).
			WithHint("nothing: the next run reads it again")
	case state != armappcontainers.ContainerAppProvisioningStateSucceeded:
		return rotate.Errorf(rotate.NotReady, "the provisioning state of app %s is %s, expected Succeeded", r.id.Name, state).
			WithHint("check the app in the portal: its last change has failed; put it right and try again")
	}
	if len(r.seen.strays) > 0 {
		return r.seen.strayedError()
	}
	const restart = "/revisions/" + noRevision + "/restart"
	if err := r.ask(ctx, http.MethodPost, restart, "", "restart revisions of app "+r.id.Name, actionRestart); err != nil {
		return err
	}
	if r.config.Dry {
		return r.askDry(ctx)
	}
	return r.askForChange(ctx)
}

// strayedError refuses an app of which a revision has its client secret from elsewhere.
func (v *view) strayedError() error {
	return rotate.Errorf(rotate.Configuration,
		"the active revision %s of app %s has its client secret from %s, the app's template from %s: it would be cut off for good",
		v.strays[0].revision, v.name, v.strays[0].secret, v.secret).
		WithHint("deactivate the revision: az containerapp revision deactivate; if it is another runner's, give each an app of its own")
}

// The requests below ask for what cannot be done, whoever asks.
const (
	unusable   = "not JSON: asks only whether the app may be changed"
	noRevision = "asks-only-whether-one-may-be-restarted" // a revision's name begins with the app's and two hyphens
)

// apiVersion is that of the requests below: the one that the SDK's clients use.
const apiVersion = "2025-01-01"

// question is a change that alters nothing: when the app was last changed before it, and when after it, as Azure shows it.
type question struct{ before, shown time.Time }

// past is when the app was changed last, not counting our own question: replicas that are older than the question have read the
// same value.
func (q question) past(modified time.Time) time.Time {
	if !modified.IsZero() && modified.Equal(q.shown) {
		return q.before
	}
	return modified
}

// askForChange asks for the change that a rotation will make, with every secret as it is: all of them, listed right before, are
// sent as they were listed. Azure has no dry run, and only a change that is valid gets as far as Azure Policy. A change of the
// location alone would ask a policy that judges the app; one that judges the secrets in a request would refuse the rotation's
// own change after the refresh, and the runner would stay down until an operator steps in. So the secrets are in it.
//
// What makes that safe: it is sent under the lock, once; the client secret must be the one that was observed; another writer's
// change is lost only between list and change, as with the rotation's own change. An answer that is lost ends the run, since the
// change may be carried out late. Azure makes no revision and restarts nothing.
func (r *Runner) askForChange(ctx context.Context) error {
	observed, err := r.seen.valueOf(r.seen.secret)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := r.askOnce(ctx, observed)
		var answered *azcore.ResponseError
		tooMany := errors.As(err, &answered) && answered.StatusCode == http.StatusTooManyRequests
		if try == askTries || !tooMany && !errors.Is(err, errFailed) {
			return r.refusal(err)
		}
		if late := cmp.Or(wait(ctx, conflictWait), r.awaitAllowed(ctx)); late != nil {
			return failure("change app "+r.id.Name, actionWrite, late)
		}
	}
}

// askTries is how often a question is sent if it was one of too many, or ended as failed: in both cases none is under way any
// more.
const askTries = 3

// errFailed is wrapped by the error of a question that Azure accepted and did not carry out. The app's last change then counts as
// failed, so the question is sent again.
var errFailed = errors.New("the change has failed")

// askOnce sends the secrets as they are listed now. The error may be the SDK's.
func (r *Runner) askOnce(ctx context.Context, observed string) error {
	if err := cmp.Or(r.enter(ctx), r.readSecrets(ctx)); err != nil {
		return err
	}
	sent, err := r.seen.all()
	if err != nil {
		return err
	}
	if listed, err := r.seen.valueOf(r.seen.secret); err != nil || listed != observed {
		return cmp.Or(err, error(r.changedMeanwhile()))
	}
	if err := r.enter(ctx); err != nil { // it may have been held up since
		return err
	}
	r.asked.before = r.seen.modified
	holds, err := r.send(ctx, sent)
	r.asked.shown = r.seen.modified
	state := r.seen.state
	switch {
	case err != nil:
		return err
	case state != armappcontainers.ContainerAppProvisioningStateSucceeded:
		ended := rotate.Errorf(rotate.NotReady, "a change of app %s that alters nothing ended as %s", r.id.Name, state).
			WithHint("check the app's activity log: Azure would not carry out the change of the secret either; put it right and try again")
		ended.Err = errFailed
		return ended
	case !holds:
		return r.changedMeanwhile()
	}
	r.seen.modified = r.asked.before
	return nil
}

func (r *Runner) changedMeanwhile() *rotate.Error {
	return rotate.Errorf(rotate.NotReady, "the secrets of app %s have been changed since this run read them", r.id.Name).
		WithHint("nothing: the next run reads it again")
}

// refusal is the error of a question. If Azure may still carry it out, the error is NotReady, so that no refresh comes before it.
func (r *Runner) refusal(err error) error {
	if err == nil {
		return nil
	}
	typed := rotate.AsError(failure("change app "+r.id.Name, actionWrite, err), "")
	if typed.Kind == rotate.Internal {
		typed.Kind = rotate.NotReady
	}
	return typed
}

// askDry asks in a way that cannot be carried out.
func (r *Runner) askDry(ctx context.Context) error {
	if err := r.readSecrets(ctx); err != nil {
		return err
	}
	if _, err := r.seen.all(); err != nil {
		return err
	}
	return r.ask(ctx, http.MethodPatch, "", unusable, "change app "+r.id.Name, actionWrite)
}

// ask asks for something that cannot be done. Azure first checks whether the caller may, and whether the app is locked; any other
// answer means that neither is in the way.
func (r *Runner) ask(ctx context.Context, method, path, body, what, action string) error {
	retry := r.config.client().Retry
	retry.MaxRetries, retry.StatusCodes = -1, []int{} // an answer is one, and none is as good
	ctx = policy.WithRetryOptions(ctx, retry)
	request, err := runtime.NewRequest(ctx, method, runtime.JoinPaths(r.manager.Endpoint(), escaped(r.id.String())+path))
	if err != nil {
		return failure(what, action, err)
	}
	request.Raw().URL.RawQuery = url.Values{"api-version": {apiVersion}}.Encode()
	if body != "" {
		if err := request.SetBody(streaming.NopCloser(strings.NewReader(body)), "application/json"); err != nil {
			return failure(what, action, err)
		}
	}
	answer, err := r.manager.Pipeline().Do(request)
	switch {
	case ctx.Err() != nil, errors.As(err, new(*rotate.Error)):
		return failure(what, action, err)
	case err != nil:
		r.log.WarnContext(ctx, "whether the function may do this could not be asked", "action", action,
			rotate.LogError(failure(what, action, err)))
		return nil
	}
	defer runtime.Drain(answer)
	var refused *azcore.ResponseError
	if !errors.As(runtime.NewResponseError(answer), &refused) {
		return nil
	}
	if code := refused.StatusCode; code == http.StatusForbidden || code == http.StatusUnauthorized || refused.ErrorCode == scopeLocked {
		return failure(what, action, refused)
	}
	return nil
}

// escaped is a resource ID as a path.
func escaped(id string) string {
	segments := strings.Split(id, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return strings.Join(segments, "/")
}
