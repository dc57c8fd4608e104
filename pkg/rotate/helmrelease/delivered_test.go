package helmrelease_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// What Helm cannot record is delivered all the same, and recorded later.

// real reports whether a request is a change with an effect.
func real(request *http.Request, method, resource string) bool {
	return request.Method == method && strings.Contains(request.URL.Path, "/"+resource) && !request.URL.Query().Has("dryRun")
}

// status is an answer of the API server's that says no.
func status(request *http.Request, code int, reason, message string) *http.Response {
	body := fmt.Appendf(nil, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":%q,"reason":%q,"code":%d}`, message,
		reason, code)
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: request}
}

// TestBookkeepingThatFailsAfterTheRefresh has each write of records fail that an upgrade by Helm needs. The runner is back, the
// run says what is missing, and nothing is refreshed in that state; when the cause is removed, the next run completes the release
// without a restart.
func TestBookkeepingThatFailsAfterTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, test := range map[string]struct {
		method  string
		code    int
		reason  string
		message string
		words   string
	}{
		"a quota refuses the next record": {http.MethodPost, http.StatusForbidden, "Forbidden",
			"secrets is forbidden: exceeded quota: records, requested: secrets=1, used: secrets=9, limited: secrets=9",
			"a ResourceQuota has no room for it"},
		"a policy refuses the next record": {http.MethodPost, http.StatusUnprocessableEntity, "Invalid",
			"ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", "an admission policy of the cluster refuses it"},
		"the next record is too long": {http.MethodPost, http.StatusUnprocessableEntity, "Invalid",
			"Secret is invalid: data: Too long: may not be more than 1048576 bytes", "it is longer than Kubernetes keeps"},
		"a policy refuses changes of records": {http.MethodPut, http.StatusForbidden, "Forbidden",
			"admission webhook \"records.test\" denied the request: no", "an admission policy of the cluster refuses it"},
		"the API server has no time for records": {http.MethodPost, http.StatusInternalServerError, "InternalError", "no time", "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.connect()
			refuses := through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
				if real(request, test.method, "secrets") {
					return status(request, test.code, test.reason, test.message), nil
				}
				return next.RoundTrip(request)
			})
			restarts := r.sets()
			report, err := r.rotate(time.Minute, refuses)
			if err == nil || report.State != rotate.Back || !report.Connected || !strings.Contains(err.Error(), test.words) ||
				!strings.Contains(err.Error(), "does not record it yet") {
				t.Fatalf("the run ends %q, with %v", report.State, err)
			}
			if live, err := r.secret(); err != nil || live != r.maia.LiveSecret(rigAgent) {
				t.Errorf("the Secret does not hold what Maia does: %v", err)
			}
			if report, err := r.rotate(time.Minute, refuses); err == nil || r.maia.Refreshes(rigAgent) != 1 {
				t.Errorf("the next run ends with %q, %v, after %d refreshes", report.Outcome, err, r.maia.Refreshes(rigAgent))
			}
			if report, err := r.run(t.Context(), rotate.Heal, time.Minute); err != nil {
				t.Errorf("when it is repaired: %q, %v", report.Outcome, err)
			}
			r.whole()
			if got := r.sets() - restarts; got != 1 {
				t.Errorf("%d restarts, want 1", got)
			}
		})
	}
}

// TestAnotherOperationAtTheRefresh has an operator begin an operation on the release when the secret was revoked, and not end it: Helm
// refuses to upgrade, and the runner is back all the same.
func TestAnotherOperationAtTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	var begun sync.Once
	_, err := r.rotate(time.Minute, through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.maia.Refreshes(rigAgent) == 1 {
			begun.Do(func() { r.next(release.StatusPendingUpgrade, withAnotherChart) })
		}
		return next.RoundTrip(request)
	}))
	if err == nil || !strings.Contains(err.Error(), "does not record it yet") {
		t.Errorf("the run ends with %v", err)
	}
	if live, err := r.secret(); err != nil || live != r.maia.LiveSecret(rigAgent) {
		t.Errorf("the Secret does not hold what Maia does: %v", err)
	}
	r.record(func(rel *release.Release) { rel.Info.Status = release.StatusFailed })
	if report, err := r.run(t.Context(), rotate.Heal, time.Minute); err != nil {
		t.Errorf("when it has ended: %q, %v", report.Outcome, err)
	}
	r.whole()
}

// TestAnUpgradeBeforeTheReleaseRecordsTheSecret is an operator's upgrade between the delivery and its record, which puts the revoked secret
// back: that is seen, and repaired.
func TestAnUpgradeBeforeTheReleaseRecordsTheSecret(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	_, err := r.rotate(time.Minute, through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if real(request, http.MethodPost, "secrets") {
			return status(request, http.StatusForbidden, "Forbidden", "secrets is forbidden: exceeded quota: records"), nil
		}
		return next.RoundTrip(request)
	}))
	if err == nil {
		t.Fatal("the run says nothing of the record that is missing")
	}
	restarts := r.sets()
	r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues, u.PostRenderer = true, replicas(scaledTo) })
	if live, err := r.secret(); err != nil || live == r.maia.LiveSecret(rigAgent) {
		t.Fatalf("the operator's upgrade has not put the revoked secret back: %v", err)
	}
	r.healed()
	if r.sets() != restarts {
		t.Error("the runner, which is connected, was restarted")
	}
}

// sibling adds a second Deployment that reads the Secret to the release.
func (r *rig) sibling() {
	r.t.Helper()
	r.record(func(rel *release.Release) {
		for _, template := range rel.Chart.Templates {
			if template.Name == "templates/deployment.yaml" {
				text := strings.ReplaceAll(string(template.Data), `}}-app`, `}}-sibling`)
				text = strings.ReplaceAll(text, `{{- include "runner.selector" . | nindent 6 }}`, `app: sibling`)
				text = strings.Replace(text, "        {{- include \"runner.labels\" . | nindent 8 }}", "        app: sibling", 1)
				rel.Chart.Templates = append(rel.Chart.Templates, &chart.File{Name: "templates/sibling.yaml", Data: []byte(text)})
				return
			}
		}
	})
	r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues, u.PostRenderer = true, replicas(scaledTo) })
}

// setsOf is how many templates the pods of one Deployment have had.
func (r *rig) setsOf(deployment string) (n int) {
	r.t.Helper()
	sets, err := r.clients.AppsV1().ReplicaSets(r.namespace).List(r.t.Context(), metaListOptions)
	r.must(err)
	for _, set := range sets.Items {
		if strings.HasPrefix(set.Name, deployment+"-") {
			n++
		}
	}
	return n
}

// TestADeploymentThatCannotBeRestartedDoesNotHoldBackTheOthers has the API server refuse the restart of the first of two Deployments.
func TestADeploymentThatCannotBeRestartedDoesNotHoldBackTheOthers(t *testing.T) {
	t.Parallel()
	const siblingDeployment = fullName + "-sibling"
	p := newPlace(t)
	for name, test := range map[string]struct {
		code    int
		reason  string
		message string
		kind    rotate.Kind
	}{
		"403": {http.StatusForbidden, "Forbidden", `deployments.apps "app" is forbidden: User "x" cannot patch resource "deployments"`,
			rotate.Permission},
		"409": {http.StatusConflict, "Conflict", "the object has been modified", rotate.NotReady},
		"422": {http.StatusUnprocessableEntity, "Invalid", "the pod template is not valid", rotate.Configuration},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.sibling()
			r.connect()
			app, other := r.setsOf(appDeployment), r.setsOf(siblingDeployment)
			runner, err := r.discover(through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
				if real(request, http.MethodPatch, "deployments/"+appDeployment) {
					return status(request, test.code, test.reason, test.message), nil
				}
				return next.RoundTrip(request)
			}))
			r.must(err)
			platform, err := runner.Observe(t.Context())
			r.must(err)
			credentials := platform.Stored
			credentials.ClientSecret = maia.NewSecret(r.maia.ConsoleRefresh(rigAgent))
			r.must(runner.SaveNote(t.Context(), rotate.Note{Applied: platform.Stored.ClientSecret.Fingerprint()}))
			r.must(runner.Store(t.Context(), credentials))
			ids, err := runner.Restart(t.Context())
			if rotate.KindOf(err) != test.kind || !strings.Contains(err.Error(), "restart Deployment "+appDeployment) {
				t.Errorf("got %v, expected an error of the kind %s", err, test.kind)
			}
			if len(ids) != 1 || !strings.HasPrefix(ids[0], siblingDeployment+"@") {
				t.Errorf("restarted are %v", ids)
			}
			ordered := rotate.Order{At: time.Now(), For: credentials.ClientSecret.Fingerprint(), IDs: ids}
			r.must(runner.SaveNote(t.Context(), rotate.Note{Ordered: &ordered}))
			runner.Release(t.Context())
			later, err := r.discover()
			r.must(err)
			platform, err = later.Observe(t.Context())
			r.must(err)
			if platform.Instances.Read == rotate.ReadCurrent {
				t.Error("all pods are said to have read what is stored")
			}
			if ids, err = later.Restart(t.Context()); err != nil || len(ids) != 2 {
				t.Errorf("a later restart: %v, %v", ids, err)
			}
			later.Release(t.Context())
			_, err = r.settled()
			r.must(err)
			if a, b := r.setsOf(appDeployment)-app, r.setsOf(siblingDeployment)-other; a != 1 || b != 1 {
				t.Errorf("%s has had %d restarts, its sibling %d, want one of each", appDeployment, a, b)
			}
		})
	}
}

// TestLiveDriftIsOneRollout is a Deployment whose image and resources an operator has changed with kubectl: the upgrade sets them back,
// and the pods are restarted once.
func TestLiveDriftIsOneRollout(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	r.patchContainer(`"image":"registry.test/another","resources":{"limits":{"cpu":"3"}}`)
	before, err := r.deployment()
	r.must(err)
	report, err := r.rotate(time.Minute)
	if err != nil || report.Outcome != rotate.Rotated {
		t.Fatalf("the run ends with %q, %v", report.Outcome, err)
	}
	_, err = r.settled()
	r.must(err)
	after, err := r.deployment()
	r.must(err)
	if got := after.Generation - before.Generation; got != 1 {
		t.Errorf("the Deployment has changed %d times, want once", got)
	}
	if after.Spec.Template.Spec.Containers[0].Image == "registry.test/another" || after.Spec.Template.Annotations["maia-rotate/secret"] == "" {
		t.Errorf("the pod template is %s", asJSON(after.Spec.Template))
	}
}

// patchContainer changes the runner's container, as kubectl does.
func (r *rig) patchContainer(fields string) {
	r.t.Helper()
	r.patchDeployment(`{"spec":{"template":{"spec":{"containers":[{"name":"dpc-agent",` + fields + `}]}}}}`)
}

// TestScaledAtTheRefresh has an autoscaler double the replicas between the refresh and the upgrade, or in the middle of it: they stay.
func TestScaledAtTheRefresh(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, at := range map[string]func(*http.Request) bool{
		"before the upgrade": func(request *http.Request) bool { return real(request, http.MethodPost, "secrets") },
		"before its change of the Deployment": func(request *http.Request) bool {
			return real(request, http.MethodPatch, "deployments/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.connect()
			r.patchContainer(`"image":"registry.test/another"`) // so that the upgrade has something to patch
			var scaled atomic.Bool
			report, err := r.rotate(time.Minute, through(func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
				if at(request) && !scaled.Swap(true) {
					if err := r.scale(2 * scaledTo); err != nil {
						t.Error(err)
					}
				}
				return next.RoundTrip(request)
			}))
			if err != nil || report.Outcome != rotate.Rotated || !scaled.Load() {
				t.Fatalf("the run ends with %q, %v", report.Outcome, err)
			}
			if d, err := r.deployment(); err != nil || *d.Spec.Replicas != 2*scaledTo {
				t.Errorf("there are %d replicas, want %d: %v", *d.Spec.Replicas, 2*scaledTo, err)
			}
		})
	}
}

// TestRefusedByWhatTheClusterAllows: the rotation is refused with the cause before anything changes, because the server is asked
// without effect.
func TestRefusedByWhatTheClusterAllows(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, q := range controlplane.Quirks() {
		if q.Refused == "" {
			continue
		}
		t.Run(q.Name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.connect()
			subject := controlplane.Subject{Namespace: r.namespace, Release: releaseName, Deployment: appDeployment, Secret: configSecret}
			_, err := controlplane.Play(r.admin, subject, nil, nil, q.Name)
			r.must(err)
			r.refused(rotate.Configuration, []string{q.Refused})
		})
	}
}

// TestSecretOfAnotherWriter is a live Secret that another tool writes, and a release that holds a placeholder, or knows nothing of it.
func TestSecretOfAnotherWriter(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, test := range map[string]struct {
		prepare func(*rig)
		words   []string
	}{
		"the release holds a placeholder": {func(r *rig) {
			r.must(r.put("a-placeholder"))
			r.write("external-secrets", r.maia.LiveSecret(rigAgent))
		}, []string{"which no rotation explains", "external-secrets", "managedFields"}},
		"the release holds a placeholder after a rotation": {func(r *rig) {
			if _, err := r.run(r.t.Context(), rotate.Heal, time.Minute); err != nil {
				r.t.Fatal(err)
			}
			r.must(r.put("a-placeholder"))
			r.write("external-secrets", r.maia.LiveSecret(rigAgent))
		}, []string{"which no rotation explains", "external-secrets"}},
		"a tool owns it": {func(r *rig) {
			owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}
			owner, err := r.clients.CoreV1().ConfigMaps(r.namespace).Create(r.t.Context(), owner, metav1.CreateOptions{})
			r.must(err)
			patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":%q}]}}`, owner.UID)
			r.patchSecret(types.MergePatchType, []byte(patch), "kubectl-patch")
		}, []string{"belongs to ConfigMap owner"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.connect()
			test.prepare(r)
			r.refused(rotate.Configuration, test.words)
		})
	}
}

// write changes the live Secret as a tool of some name does.
func (r *rig) write(manager, secret string) {
	r.t.Helper()
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{"OAUTH_CLIENT_SECRET": secret}})
	r.must(err)
	r.patchSecret(types.StrategicMergePatchType, patch, manager)
}

func (r *rig) patchSecret(of types.PatchType, patch []byte, manager string) {
	r.t.Helper()
	options := metav1.PatchOptions{FieldManager: manager}
	_, err := r.clients.CoreV1().Secrets(r.namespace).Patch(r.t.Context(), configSecret, of, patch, options)
	r.must(err)
}

// TestAPersonsEditOfTheSecretIsHealed is a revert with kubectl, and a console refresh that a person brought to the Secret alone: neither is
// taken for another tool's.
func TestAPersonsEditOfTheSecretIsHealed(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, edit := range map[string]func(r *rig, first string){
		"a revert":          func(r *rig, first string) { r.write("kubectl-edit", first) },
		"a console refresh": func(r *rig, _ string) { r.write("kubectl-patch", r.maia.ConsoleRefresh(rigAgent)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			first := r.maia.LiveSecret(rigAgent)
			r.rotated()
			edit(r, first)
			r.healed()
			if report, err := r.rotate(time.Minute); err != nil || report.Outcome != rotate.Rotated {
				t.Errorf("the next rotation ends with %q, %v", report.Outcome, err)
			}
		})
	}
}

// TestRestartIsKnownThoughTheSecretHasChanged has an operator label the Secret while the ordered pods start: they read what is
// stored still.
func TestRestartIsKnownThoughTheSecretHasChanged(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.connect()
	runner, err := r.discover()
	r.must(err)
	platform, err := runner.Observe(t.Context())
	r.must(err)
	fingerprint := platform.Stored.ClientSecret.Fingerprint()
	at := time.Now()
	ids, err := runner.Restart(t.Context())
	r.must(err)
	r.must(runner.SaveNote(t.Context(), rotate.Note{Ordered: &rotate.Order{At: at, For: fingerprint, IDs: ids}}))
	runner.Release(t.Context())
	r.patchSecret(types.MergePatchType, []byte(`{"metadata":{"labels":{"of":"operator"}}}`), "kubectl-label")
	later, err := r.discover()
	r.must(err)
	if platform, err = later.Observe(t.Context()); err != nil || platform.Instances.Read != rotate.ReadCurrent {
		t.Errorf("the pods have read %q, expected %q: %v", platform.Instances.Read, rotate.ReadCurrent, err)
	}
}
