package helmrelease

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// TestOneCodeSeveralCauses: what is to be done depends on the cause, also where Helm has made a text of the error.
func TestOneCodeSeveralCauses(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	forbidden := func(text string) error { return apierrors.NewForbidden(secrets, "a", errors.New(text)) }
	for name, test := range map[string]struct {
		err  error
		kind rotate.Kind
		hint string
	}{
		"a right": {forbidden(`User "f" cannot patch resource "secrets" in API group "" in the namespace "runners"`), rotate.Permission,
			"add it to the function's Role in namespace runners"},
		"a quota": {forbidden("exceeded quota: few, requested: count/secrets=1, used: count/secrets=4, limited: count/secrets=4"),
			rotate.Configuration, "kubectl describe resourcequota --namespace runners"},
		"a quota that must be specified": {forbidden("failed quota: few: must specify limits.cpu"), rotate.Configuration,
			"kubectl describe resourcequota --namespace runners"},
		"a policy": {forbidden("ValidatingAdmissionPolicy 'no-secrets' with binding 'all' denied request: none today"),
			rotate.Configuration, notTheRole},
		"a policy that says it is invalid": {&apierrors.StatusError{ErrStatus: metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid,
			Message: `secrets "a" is invalid: ValidatingAdmissionPolicy 'no-secrets' with binding 'all' denied request: none`}},
			rotate.Configuration, notTheRole},
		"a webhook": {&apierrors.StatusError{ErrStatus: metav1.Status{Code: 400,
			Message: `admission webhook "w.test" denied the request: no`}}, rotate.Configuration, notTheRole},
		"a webhook, of Helm's text": {errors.New(`cannot patch "a" with kind Secret: admission webhook "w.test" denied the request: no`),
			rotate.Configuration, notTheRole},
		"a webhook that is away": {apierrors.NewInternalError(errors.New(`failed calling webhook "w.test": connection refused`)),
			rotate.NotReady, "bring the webhook back"},
		"pod security":  {forbidden(`violates PodSecurity "restricted:latest"`), rotate.Configuration, notTheRole},
		"a limit range": {forbidden("maximum cpu usage per Container is 1, but limit is 2"), rotate.Configuration, notTheRole},
		"a namespace that ends": {forbidden("unable to create new content in namespace runners because it is being terminated"),
			rotate.Configuration, "take the release in namespace runners out"},
		"a record that is too long": {errors.New(`Secret "a" is invalid: data: Too long: may not be more than 1048576 bytes`),
			rotate.Configuration, "one Secret of at most 1 MiB"},
		"too long for the store": {errors.New("etcdserver: request is too large"), rotate.Configuration, "one Secret of at most 1 MiB"},
		"Google's own 403": {apierrors.NewGenericServerResponse(403, "get", secrets, "a", "no", 0, true), rotate.Permission,
			"container.clusters.connect"},
		"a login":  {apierrors.NewUnauthorized("no"), rotate.Permission, "container.clusters.connect"},
		"too many": {apierrors.NewTooManyRequestsError("later"), rotate.NotReady, "the next run goes on"},
		"fenced":   {errFenced, rotate.NotReady, "that run goes on"},
		"of Helm, busy": {errors.New("another operation (install/upgrade/rollback) is in progress"), rotate.NotReady,
			"helm history"},
		"unknown": {errors.New("odd"), rotate.Internal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Runner{config: Config{Namespace: "runners", Release: "runner"}, secrets: map[maia.Fingerprint]maia.Secret{}}
			typed := rotate.AsError(r.failure("write", test.err), rotate.NotObserved)
			if typed.Kind != test.kind || !strings.Contains(typed.Hint, test.hint) || strings.Contains(typed.Hint, "%") {
				t.Errorf("got %v", typed)
			}
		})
	}
}

// TestASecretIsTakenOutAsJSONToo: an API server quotes what was sent as it came.
func TestASecretIsTakenOutAsJSONToo(t *testing.T) {
	r := &Runner{secrets: map[maia.Fingerprint]maia.Secret{}}
	r.known(maia.NewSecret(`a"quote<and>\more&`))
	for _, form := range []string{`a"quote<and>\more&`, `a\"quote<and>\\more&`, `a\"quote\u003cand\u003e\\more\u0026`,
		"YSJxdW90ZTxhbmQ+XG1vcmUm"} {
		if got := r.redact("before " + form + " after"); strings.Contains(got, form) {
			t.Errorf("of %q is left %q", form, got)
		}
	}
}

// busyServer answers as one that has too much to do.
type busyServer struct{ wait string }

func (b busyServer) RoundTrip(*http.Request) (*http.Response, error) {
	status := `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"the server has too much to do",` +
		`"reason":"TooManyRequests","code":429}`
	return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {b.wait},
		"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(status))}, nil
}

// TestTheLastErrorIsTheLastAnswer, whether it says to wait for a second or for an hour.
func TestTheLastErrorIsTheLastAnswer(t *testing.T) {
	for _, wait := range []string{"1", "3", "3600"} {
		synctest.Test(t, func(t *testing.T) {
			r := &Runner{config: Config{Namespace: "runners", Release: "runner"}, secrets: map[maia.Fingerprint]maia.Secret{}}
			config := &rest.Config{Host: "http://cluster.test", Transport: busyServer{wait}, Timeout: 10 * time.Second, QPS: -1}
			_, clients, err := newCluster(config, "runners", new(fence))
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var secret *corev1.Secret
			secret, err = clients.CoreV1().Secrets("runners").Get(t.Context(), "a", metav1.GetOptions{})
			typed := rotate.AsError(r.failure("read", err), rotate.NotObserved)
			if secret == nil || typed.Kind != rotate.NotReady || !strings.Contains(typed.What, "the server has too much to do") {
				t.Errorf("after %s: %v", time.Since(began), typed)
			}
		})
	}
}
