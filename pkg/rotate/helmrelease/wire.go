package helmrelease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/action"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

// upgradeWire is what the requests of one upgrade go through. Helm compares the objects with what they were a moment ago, and knows
// nothing of restarts; so some of its patches are changed on their way:
//
//   - The number of replicas is left out: what is live stays, also where an autoscaler changes it in this very moment.
//   - A patch that changes the pod template of a Deployment that reads the Secret carries the mark too: one change, one rollout.
//   - Where only the record of what was delivered is made up for, pod templates stay as they are: nothing is restarted.
type upgradeWire struct {
	runner     *Runner
	recordOnly bool

	secret *corev1.Secret // as the upgrade has left it; nil if it did not change it
	orders map[string]order
}

// upgradeConfiguration is Helm's, for one upgrade.
func (r *Runner) upgradeConfiguration(recordOnly bool) (*action.Configuration, *upgradeWire) {
	wire := &upgradeWire{runner: r, recordOnly: recordOnly, orders: map[string]order{}}
	config := rest.CopyConfig(r.cluster.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &wired{wire, next} })
	wired := *r.cluster
	wired.config = config
	configuration := wired.helm(r.clients)
	configuration.Releases = r.helm.Releases // records are none of the wire's
	return configuration, wire
}

// wired is the wire of one client of the upgrade's.
type wired struct {
	wire *upgradeWire
	next http.RoundTripper
}

var objectPath = regexp.MustCompile(`^/(?:api|apis/[^/]+)/[^/]+/namespaces/([^/]+)/([^/]+)/([^/]+)$`)

func (w *wired) RoundTrip(request *http.Request) (*http.Response, error) {
	parts := objectPath.FindStringSubmatch(request.URL.Path)
	if request.Method != http.MethodPatch || parts == nil || parts[1] != w.wire.runner.config.Namespace {
		return w.next.RoundTrip(request)
	}
	switch resource, name := parts[2], parts[3]; {
	case slices.Contains([]string{"deployments", "statefulsets", "replicasets"}, resource):
		return w.wire.patchWorkload(request, w.next, name, resource == "deployments" && slices.Contains(w.wire.runner.seen.names(), name))
	case resource == "secrets" && name == w.wire.runner.seen.secretName:
		return w.wire.patchSecret(request, w.next)
	}
	return w.next.RoundTrip(request)
}

// patchWorkload sends a patch of something that runs pods.
func (w *upgradeWire) patchWorkload(request *http.Request, next http.RoundTripper, name string, reader bool) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	_ = request.Body.Close()
	if err != nil {
		return nil, err
	}
	patch, spec, err := patchOf(body)
	if err != nil {
		return nil, err
	}
	delete(spec, "replicas")
	var restart *order
	if _, changed := spec["template"]; changed && w.recordOnly {
		delete(spec, "template")
	} else if changed && reader {
		restart = w.restart()
		annotate(spec, restart.annotations)
	}
	if body, err = json.Marshal(patch); err != nil {
		return nil, err
	}
	changed := request.Clone(request.Context())
	changed.Body, changed.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	changed.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	response, err := next.RoundTrip(changed)
	if err == nil && response.StatusCode == http.StatusOK && restart != nil {
		w.orders[name] = *restart
	}
	return response, err
}

// restart is the order that a patch of a pod template carries.
func (w *upgradeWire) restart() *order {
	live, version := w.runner.seen.live, w.runner.seen.secretVersion
	if w.secret != nil {
		live.ClientSecret, version = secretIn(w.secret), w.secret.ResourceVersion
	}
	restart := newOrder(live.ClientSecret, version, time.Now())
	return &restart
}

// patchSecret sends a patch of the runner's Secret, and remembers what it has become.
func (w *upgradeWire) patchSecret(request *http.Request, next http.RoundTripper) (*http.Response, error) {
	response, err := next.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	var patched corev1.Secret
	if json.Unmarshal(body, &patched) == nil && patched.Kind == "Secret" {
		w.secret = &patched
	}
	return response, nil
}

// patchOf reads a patch, and its part for the spec; that is nil if there is none.
func patchOf(body []byte) (patch, spec map[string]any, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&patch); err != nil {
		return nil, nil, fmt.Errorf("a patch of Helm's is not JSON: %T", err)
	}
	spec, _ = patch["spec"].(map[string]any)
	return patch, spec, nil
}

// annotate adds annotations to the pod template of a spec.
func annotate(spec map[string]any, annotations map[string]string) {
	at := spec
	for _, key := range []string{"template", "metadata", "annotations"} {
		below, ok := at[key].(map[string]any)
		if !ok {
			below = map[string]any{}
			at[key] = below
		}
		at = below
	}
	for key, value := range annotations {
		at[key] = value
	}
}
