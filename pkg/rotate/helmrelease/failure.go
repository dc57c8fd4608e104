package helmrelease

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// failure gives an error of Kubernetes or Helm its kind. Its text may hold what was sent, and Helm's does not say by its
// type what failed: the known secrets are taken out, and the error itself is not wrapped.
func (r *Runner) failure(what string, err error) error {
	var typed *rotate.Error
	if errors.As(err, &typed) {
		return err
	}
	if refused := r.outside(err); refused != nil {
		return refused
	}
	text := r.redact(err.Error())
	kind, todo := rotate.Internal, ""
	var network net.Error
	switch cause, advice := r.refusedBy(err, text); {
	case cause != "":
		kind, todo, text = rotate.Configuration, advice, cause+": "+text
	case strings.Contains(text, roleLacks), apierrors.IsForbidden(err):
		kind, todo = rotate.Permission, "add it to the function's Role in namespace "+r.config.Namespace+" (deploy/gcp/kubernetes/rbac.yaml has all that it needs)"
	case apierrors.IsUnauthorized(err):
		kind, todo = rotate.Permission, "check that the function's service account may connect to the cluster (container.clusters.connect)"
	case apierrors.IsNotFound(err):
		kind, todo = rotate.Configuration, "check the namespace and the release that the function is configured with"
	case strings.Contains(text, "another operation (install/upgrade/rollback) is in progress"),
		strings.Contains(text, "release: already exists"):
		return r.busyRelease()
	case strings.Contains(text, errFenced.Error()):
		kind, todo = rotate.NotReady, "nothing: that run goes on, or the next one does"
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsConflict(err), errors.As(err, &network):
		kind, todo = rotate.NotReady, "nothing: the next run goes on; if this repeats, check that the function reaches the cluster's control plane"
	}
	failed := rotate.Errorf(kind, "%s: %s", what, text)
	failed.Todo = todo
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			failed.Kind, failed.Err = rotate.NotReady, cause
		}
	}
	return failed
}

// roleLacks is in what the API server says of a right that no Role gives.
const roleLacks = " is forbidden: User "

// refusedBy tells what in the cluster refuses a change that the function's Role allows, and what to do; empty if nothing of the kind is
// known.
func (r *Runner) refusedBy(err error, text string) (cause, todo string) {
	switch {
	case strings.Contains(text, "exceeded quota"), strings.Contains(text, "status unknown for quota"), strings.Contains(text, "failed quota"):
		return "a ResourceQuota has no room for it",
			"raise it, or remove what is not needed: kubectl describe resourcequota --namespace " + r.config.Namespace
	case strings.Contains(text, "ValidatingAdmissionPolicy"), strings.Contains(text, "MutatingAdmissionPolicy"),
		strings.Contains(text, "admission webhook"):
		return "an admission policy of the cluster refuses it",
			"have the policy, which the message names, admit it: the function's Role is not what is missing"
	case apierrors.IsRequestEntityTooLargeError(err), strings.Contains(text, "Too long: may not be more than"),
		strings.Contains(text, "request is too large"):
		return "it is longer than Kubernetes keeps",
			"make the release smaller: Helm keeps chart, values and manifest in one Secret of at most 1 MiB"
	case apierrors.IsInvalid(err):
		return "the cluster does not accept it", "mend what it says"
	case strings.Contains(text, " is forbidden: ") && !strings.Contains(text, roleLacks):
		return "an admission control of the cluster refuses it", "have it admit the change: the function's Role is not what is missing"
	}
	return "", ""
}

// busyRelease is the error of a release whose last revision is pending by somebody else's doing.
func (r *Runner) busyRelease() *rotate.Error {
	return rotate.Errorf(rotate.NotReady, "another Helm operation on release %s in namespace %s is in progress", r.config.Release, r.config.Namespace).
		WithTodo("nothing while it is; if its process is gone, look at helm history and end it with helm rollback to the last deployed revision: the next run puts the valid secret back")
}

// known remembers a secret that must not be in an error.
func (r *Runner) known(secrets ...maia.Secret) {
	for _, secret := range secrets {
		if !secret.IsZero() {
			r.secrets[secret.Fingerprint()] = secret
		}
	}
}

func (r *Runner) redact(text string) string {
	return maia.Redact(text, slices.Collect(maps.Values(r.secrets))...)
}
