package helmrelease

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
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
	if strings.Contains(text, "another operation (install/upgrade/rollback) is in progress") || strings.Contains(text, "release: already exists") {
		return r.busyRelease()
	}
	kind, todo := causeOf(err, text, r.config.Namespace)
	failed := rotate.Errorf(kind, "%s: %s", what, text)
	failed.Todo = todo
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			failed.Kind, failed.Err = rotate.NotReady, cause
		}
	}
	return failed
}

// cause is what an API server or Helm refuses a change for, by the words of its message: a 403 may be a missing right, a quota, or a policy,
// and Helm keeps nothing of an error but its text.
type cause struct {
	words []string // one of which is in the text
	kind  rotate.Kind
	todo  string // in which %s is the namespace
}

func causes() []cause {
	return []cause{
		{[]string{" is forbidden: User "}, rotate.Permission, "add it to the function's Role in namespace %s (deploy/gcp/kubernetes/rbac.yaml has all that it needs)"},
		{[]string{"exceeded quota: ", "failed quota: "}, rotate.Configuration,
			"make room in the ResourceQuota of namespace %s that the message names; the function's Role is not the cause"},
		{[]string{"because it is being terminated"}, rotate.Configuration, "take the release out of MAIA_HELM_RELEASES: namespace %s is being deleted"},
		{[]string{"failed calling webhook", "failed to call webhook"}, rotate.NotReady,
			"nothing if it passes; if it repeats, bring the admission webhook back that the message names: nothing can be changed in namespace %s without it"},
		{[]string{"denied the request", "denied request: ", "violates PodSecurity", "ValidatingAdmissionPolicy"}, rotate.Configuration,
			"allow it in the admission policy or webhook that the message names, for namespace %s; the function's Role is not the cause"},
		{[]string{"Too long: may not be more than", "request is too large", "Request entity too large", "Too long: must have at most"}, rotate.Configuration,
			"make the chart of the release in namespace %s smaller: Helm keeps all of it in each record, and a Secret may hold 1 MiB"},
		{[]string{" is forbidden: "}, rotate.Configuration, "change what the message says of namespace %s; the function's Role is not the cause"},
		{[]string{errFenced.Error()}, rotate.NotReady, "nothing: that run goes on, or the next one does"},
	}
}

// causeOf is what kind of error it is, and what to do.
func causeOf(err error, text, namespace string) (kind rotate.Kind, todo string) {
	for _, one := range causes() {
		if slices.ContainsFunc(one.words, func(words string) bool { return strings.Contains(text, words) }) {
			return one.kind, strings.ReplaceAll(one.todo, "%s", namespace)
		}
	}
	var network net.Error
	switch {
	case apierrors.IsForbidden(err):
		return rotate.Permission, "check that the function's service account may connect to the cluster (container.clusters.connect), and its Role in namespace " + namespace
	case apierrors.IsUnauthorized(err):
		return rotate.Permission, "check that the function's service account may connect to the cluster (container.clusters.connect)"
	case apierrors.IsNotFound(err):
		return rotate.Configuration, "check the namespace and the release that the function is configured with"
	case apierrors.IsTooManyRequests(err), apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsServiceUnavailable(err),
		apierrors.IsConflict(err), errors.As(err, &network):
		return rotate.NotReady, "nothing: the next run goes on; if this repeats, check that the function reaches the cluster's control plane"
	}
	return rotate.Internal, ""
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
	for _, secret := range r.secrets {
		for _, form := range forms(secret.Reveal()) {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return text
}

// forms are those in which a message may quote a secret: as it is, as Kubernetes keeps it, and in JSON, Go's quotes, or an address.
func forms(clear string) []string {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(clear) // a text
	escaped, _ := json.Marshal(clear)
	inner := func(quoted string) string { return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(quoted), `"`), `"`) }
	return []string{
		clear, base64.StdEncoding.EncodeToString([]byte(clear)), inner(string(escaped)), inner(plain.String()),
		inner(strconv.Quote(clear)), inner(strconv.QuoteToASCII(clear)), url.QueryEscape(clear), url.PathEscape(clear),
	}
}
