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

// failure gives an error of Kubernetes or Helm its kind. The text may hold what was sent: the known secrets are taken out of it,
// and the error itself is not wrapped. Helm's errors do not say by their type what failed.
func (r *Runner) failure(what string, err error) error {
	var typed *rotate.Error
	if errors.As(err, &typed) {
		return err
	}
	if refused := r.outside(err); refused != nil {
		return refused
	}
	text := r.redact(err.Error())
	if strings.Contains(text, "another operation (install/upgrade/rollback) is in progress") ||
		strings.Contains(text, "release: already exists") {
		return r.busyRelease()
	}
	known := causeOf(err, text)
	if known.means != "" {
		text = known.means + ": " + text
	}
	failed := rotate.Errorf(known.kind, "%s: %s", what, text)
	failed.Hint = strings.ReplaceAll(known.hint, "NAMESPACE", r.config.Namespace)
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			failed.Kind, failed.Err = rotate.NotReady, cause
		}
	}
	return failed
}

// cause is why an API server or Helm refuses something, by the words of its message: a 403 may be a missing right, a quota or a
// policy, and Helm keeps only the text of an error.
type cause struct {
	words []string // one of which is in the text
	kind  rotate.Kind
	means string // said before the text; empty where that says it itself
	hint  string
}

const notTheRole = "the function's Role is not what is missing"

func causes() []cause {
	return []cause{
		{[]string{errFenced.Error()}, rotate.NotReady, "", "nothing: that run goes on, or the next one does"},
		{[]string{" is forbidden: User "}, rotate.Permission, "",
			"add it to the function's Role in namespace NAMESPACE (deploy/gcp/kubernetes/rbac.yaml has all that it needs)"},
		{[]string{"exceeded quota", "failed quota", "status unknown for quota"}, rotate.Configuration, "a ResourceQuota has no room for it",
			"raise it, or remove what is not needed: kubectl describe resourcequota --namespace NAMESPACE; " + notTheRole},
		{[]string{"because it is being terminated"}, rotate.Configuration, "the namespace is being deleted",
			"take the release in namespace NAMESPACE out of the function's configuration"},
		{[]string{"failed calling webhook", "failed to call webhook"}, rotate.NotReady,
			"an admission webhook of the cluster does not answer",
			"nothing if it passes; if it repeats, bring the webhook back that the message names: nothing is changed in namespace NAMESPACE " +
				"without it"},
		{[]string{"ValidatingAdmissionPolicy", "MutatingAdmissionPolicy", "admission webhook", "denied the request", "denied request: ",
			"violates PodSecurity"}, rotate.Configuration,
			"an admission policy of the cluster refuses it", "have the policy, which the message names, admit it: " + notTheRole},
		{[]string{"Too long: may not be more than", "Too long: must have at most", "request is too large", "Request entity too large"},
			rotate.Configuration,
			"it is longer than Kubernetes keeps", "make the release smaller: Helm keeps chart, values and manifest in one Secret of at most 1 MiB"},
	}
}

// causeOf is the cause by the words of an error, or else by its kind.
func causeOf(err error, text string) cause {
	for _, known := range causes() {
		if slices.ContainsFunc(known.words, func(words string) bool { return strings.Contains(text, words) }) {
			return known
		}
	}
	const connect = "check that the function's service account may connect to the cluster (container.clusters.connect)"
	var network net.Error
	switch {
	case apierrors.IsRequestEntityTooLargeError(err):
		return cause{kind: rotate.Configuration, means: "it is longer than Kubernetes keeps",
			hint: "make the release smaller: Helm keeps chart, values and manifest in one Secret of at most 1 MiB"}
	case apierrors.IsInvalid(err):
		return cause{kind: rotate.Configuration, means: "the cluster does not accept it", hint: "correct what it says"}
	case strings.Contains(text, " is forbidden: "):
		return cause{kind: rotate.Configuration, means: "an admission control of the cluster refuses it",
			hint: "have it admit the change: " + notTheRole}
	case apierrors.IsForbidden(err): // in Google's words
		return cause{kind: rotate.Permission, hint: connect + ", and its Role in namespace NAMESPACE"}
	case apierrors.IsUnauthorized(err):
		return cause{kind: rotate.Permission, hint: connect}
	case apierrors.IsNotFound(err):
		return cause{kind: rotate.Configuration, hint: "check the namespace and the release that the function is configured with"}
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsConflict(err), errors.As(err, &network):
		return cause{kind: rotate.NotReady,
			hint: "nothing: the next run goes on; if this repeats, check that the function reaches the cluster's control plane"}
	}
	return cause{kind: rotate.Internal}
}

// busyRelease is the error of a release whose last revision another writer has left pending.
func (r *Runner) busyRelease() *rotate.Error {
	return rotate.Errorf(rotate.NotReady, "another Helm operation on release %s in namespace %s is in progress", r.config.Release,
		r.config.Namespace).
		WithHint("nothing while it is; if its process is gone, check helm history and end it with helm rollback to the last deployed " +
			"revision: the next run puts the valid secret back")
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
