package containerapp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Check implements [rotate.Runner]. What Observe has read is proved, and the note is written before a refresh.
func (r *Runner) Check(ctx context.Context) error {
	if err := r.readApp(ctx); err != nil {
		return err
	}
	if err := r.readSecrets(ctx); err != nil {
		return err
	}
	switch state := r.seen.state; {
	case r.seen.changing():
		return rotate.Errorf(rotate.NotReady, "a change of app %s is in progress", r.id.Name).
			WithTodo("nothing: the next run looks again")
	case state != armappcontainers.ContainerAppProvisioningStateSucceeded:
		return rotate.Errorf(rotate.NotReady, "the provisioning state of app %s is %s, expected Succeeded", r.id.Name, state).
			WithTodo("look at the app in the portal: its last change has failed; mend it and try again")
	}
	if _, err := r.seen.all(); err != nil {
		return err
	}
	if strays := r.seen.strays; len(strays) > 0 {
		return rotate.Errorf(rotate.Configuration, "the active revision %s of app %s has its client secret from %s, the app's template from %s: it would be cut off for good",
			strays[0].revision, r.id.Name, strays[0].secret, r.seen.secret).
			WithTodo("deactivate the revision: az containerapp revision deactivate; if it is another runner's, give each an app of its own")
	}
	if err := r.ask(ctx, http.MethodPatch, "", unusable, "change app "+r.id.Name, actionWrite); err != nil {
		return err
	}
	return r.ask(ctx, http.MethodPost, "/revisions/"+noRevision+"/restart", "", "restart revisions of app "+r.id.Name, actionRestart)
}

// What is asked for below cannot be done, whoever asks.
const (
	unusable   = "not JSON: asks only whether the app may be changed"
	noRevision = "asks-only-whether-one-may-be-restarted" // a revision's name begins with the app's and two hyphens
)

// apiVersion is that of the requests below: the one that the SDK's clients use.
const apiVersion = "2025-01-01"

// ask asks for something that cannot be done. Azure looks first whether the caller may, and whether the app is locked; any
// other answer tells nothing against it.
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
		r.log.WarnContext(ctx, "whether the function may do this could not be asked", "action", action, "error", failure(what, action, err))
		return nil
	}
	defer runtime.Drain(answer)
	var refused *azcore.ResponseError
	if !errors.As(runtime.NewResponseError(answer), &refused) {
		return nil
	}
	switch {
	case refused.StatusCode == http.StatusForbidden, refused.StatusCode == http.StatusUnauthorized, refused.ErrorCode == scopeLocked:
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
