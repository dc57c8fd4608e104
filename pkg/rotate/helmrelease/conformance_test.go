package helmrelease_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

// TestConformance runs the suite against a real API server, as a user who has the shipped Role and nothing else. A scenario takes
// more than a second there: with MAIA_ROTATE_PROVE=1 all are played, else a part.
func TestConformance(t *testing.T) {
	place := newPlace(t)
	out := newOutside()
	options := []rotatetest.Option{rotatetest.OnceEach(readsOnly), rotatetest.WithQuirks(clusterQuirks())}
	if os.Getenv("MAIA_ROTATE_PROVE") != "1" {
		options = append(options, rotatetest.Part(5))
	}
	var played atomic.Int32
	rotatetest.Run(t, func(t *testing.T, setup rotatetest.Setup) rotatetest.Platform {
		played.Add(1)
		return newGKE(t, place, out, setup)
	}, options...)
	t.Cleanup(func() {
		t.Logf("figure: suite, scenarios of the conformance suite on a real API server: %d", played.Load())
	})
}

func clusterQuirks() (quirks []rotatetest.Quirk) {
	for _, q := range controlplane.Quirks() {
		quirks = append(quirks, rotatetest.Quirk(q))
	}
	return quirks
}

// readsOnly reports whether a call changes nothing.
func readsOnly(call rotatetest.Call) bool {
	for _, prefix := range []string{"GET ", "LIST ", "DRYRUN ", "ASK ", "maia Get", "maia Token"} {
		if strings.HasPrefix(call.Name, prefix) {
			return true
		}
	}
	return false
}

var namePattern = regexp.MustCompile(`^(?:/api/v1|/apis/[^/]+/[^/]+)/namespaces/[^/]+/([^/]+)(?:/([^/]+))?$`)

// nameOf names a call by its verb and resource. Helm's records are distinguished from the runner's Secret.
func nameOf(request *http.Request) string {
	verb, path := request.Method, request.URL.Path
	if strings.HasSuffix(path, "/selfsubjectaccessreviews") {
		return "ASK rights"
	}
	parts := namePattern.FindStringSubmatch(path)
	if parts == nil {
		return "GET discovery"
	}
	resource := parts[1]
	if resource == "secrets" && (strings.HasPrefix(parts[2], "sh.helm.release") || parts[2] == "") {
		resource = "revisions"
	}
	if verb == http.MethodGet && parts[2] == "" {
		verb = "LIST"
	}
	if request.URL.Query().Get("dryRun") != "" {
		verb = "DRYRUN " + verb
	}
	return verb + " " + resource
}

// place is a cluster with the function's user.
type place struct {
	*controlplane.ControlPlane
	user *rest.Config
}

// made counts the namespaces of the one control plane.
var made atomic.Int32

const functionUser = "maia-rotate@sandbox.iam.gserviceaccount.com"

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{ControlPlane: controlplanetest.ForTest(t)}
	user, _, err := p.AddUser(t.Context(), functionUser)
	if err != nil {
		t.Fatal(err)
	}
	p.user = user
	return p
}

// shippedRole is the Role for a namespace.
func shippedRole(namespace string) ([]byte, error) {
	shipped, err := os.ReadFile("../../../deploy/gcp/kubernetes/rbac.yaml")
	return []byte(strings.NewReplacer("RUNNER_NAMESPACE", namespace, "FUNCTION_SERVICE_ACCOUNT", functionUser).Replace(string(shipped))), err
}

// gkePlatform is a runner of two pods, which the chart says, scaled to three, on a real API server, outside of the bubble in
// which its processes run. What the cluster does takes no time in the bubble; what the runner itself does when its pod has
// started does.
type gkePlatform struct {
	t       *testing.T
	agentID string
	client  string                                                 // its ID
	start   func(clientID, secret string) (stop func(), err error) // logs a runner in
	out     *outside
	cluster *installed
	user    *rest.Config
	stage   *controlplane.Stage
	turn    chan struct{} // of following

	mu      sync.Mutex
	known   map[string]string // secrets by their SHA-256
	running map[string]func() // stops, by pod
}

const loginTime = 1300 * time.Millisecond

func newGKE(t *testing.T, p *place, out *outside, setup rotatetest.Setup) *gkePlatform {
	return newPlatformOf(t, p, out, setup, setup.Start)
}

func newPlatformOf(t *testing.T, p *place, out *outside, setup rotatetest.Setup,
	start func(clientID, secret string) (func(), error)) *gkePlatform {
	h := &gkePlatform{t: t, agentID: setup.AgentID, client: setup.ClientID, start: start, out: out,
		turn: make(chan struct{}, 1), known: map[string]string{}, running: map[string]func(){}}
	h.knows(setup.Secret)
	var err error
	out.run(func() { h.cluster, err = p.install(setup.AgentID, setup.ClientID, setup.Secret) })
	if err != nil {
		t.Fatal(err)
	}
	h.user = rest.CopyConfig(p.user)
	h.follow(0)
	subject := controlplane.Subject{Namespace: h.cluster.namespace, Release: releaseName, Deployment: appDeployment, Secret: configSecret}
	out.run(func() {
		h.stage, err = controlplane.Play(h.cluster.admin, subject, h.must, func() { h.follow(loginTime) }, setup.Quirks...)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, stop := range h.running {
			stop()
		}
		out.run(func() { h.cluster.remove() })
	})
	return h
}

func (h *gkePlatform) knows(secret string) {
	sum := sha256.Sum256([]byte(secret))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.known[hex.EncodeToString(sum[:])] = secret
}

// must has something done with the cluster that cannot fail.
func (h *gkePlatform) must(do func() error) {
	h.t.Helper()
	var err error
	h.out.run(func() { err = do() })
	if err != nil {
		h.t.Errorf("%s: %v", h.cluster.namespace, err)
	}
}

// follow waits until the cluster has done what it does by itself. The runners of new pods log in then, and those of deleted pods
// stop.
func (h *gkePlatform) follow(after time.Duration) {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	var pods []corev1.Pod
	var live string
	h.must(func() (err error) {
		if pods, err = h.cluster.settled(); err == nil {
			live, err = h.cluster.secret()
		}
		return err
	})
	h.knows(live)
	h.mu.Lock()
	defer h.mu.Unlock()
	here := map[string]bool{}
	for _, pod := range pods {
		name := pod.Name
		if here[name] = true; h.running[name] != nil {
			continue
		}
		secret, ok := h.known[pod.Annotations["runner.test/secret-sha256"]]
		if !ok {
			h.t.Errorf("pod %s was started with an unknown secret", name)
		}
		stopped := false
		h.running[name] = func() { stopped = true }
		login := func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !stopped {
				h.running[name], _ = h.start(h.client, secret) // one that is refused runs on
			}
		}
		if after == 0 {
			h.running[name], _ = h.start(h.client, secret)
		} else {
			time.AfterFunc(after, login)
		}
	}
	for name, stop := range h.running {
		if !here[name] {
			stop()
			delete(h.running, name)
		}
	}
}

// following has the cluster followed after each change.
type following struct {
	h    *gkePlatform
	next http.RoundTripper
}

func (f following) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := f.next.RoundTrip(request)
	switch name := nameOf(request); name {
	case "PATCH secrets", "PATCH deployments":
		f.h.follow(loginTime)
	}
	return response, err
}

func (h *gkePlatform) Runner(ctx context.Context, process *rotatetest.Process) (rotate.Runner, error) {
	return h.runner(ctx, func(next http.RoundTripper) http.RoundTripper { return process.Transport(next, nameOf) })
}

func (h *gkePlatform) runner(ctx context.Context, wrap func(http.RoundTripper) http.RoundTripper) (rotate.Runner, error) {
	var next http.RoundTripper
	var err error
	h.out.run(func() { next, err = rest.TransportFor(h.user) })
	if err != nil {
		return nil, err
	}
	runner, err := helmrelease.Discover(ctx, helmrelease.Config{
		REST: &rest.Config{
			Host: h.user.Host, QPS: -1, Timeout: 10 * time.Second,
			Transport: wrap(following{h, h.stage.Wrap(transport{h.out, next})}),
		},
		Namespace: h.cluster.namespace, Release: releaseName,
	})
	if err != nil {
		return nil, err
	}
	return runner, nil
}

func (h *gkePlatform) Stored() maia.Credentials {
	var secret string
	h.must(func() (err error) { secret, err = h.cluster.secret(); return err })
	return maia.Credentials{ClientID: h.client, ClientSecret: maia.NewSecret(secret)}
}

// Whole implements rotatetest.Whole: the newest revision is the deployed one, and its value is the Secret's.
func (h *gkePlatform) Whole() (wrong string) {
	h.must(func() (err error) { wrong, err = h.cluster.whole(); return err })
	return wrong
}

// Put implements rotatetest.Platform: an upgrade with values of one's own.
func (h *gkePlatform) Put(secret string) {
	h.knows(secret)
	h.must(func() error { return h.cluster.put(secret) })
	h.follow(loginTime)
}

// Replace implements rotatetest.Platform, as kubectl rollout restart does.
func (h *gkePlatform) Replace() {
	h.must(func() error { return h.cluster.rolloutRestart() })
	h.follow(loginTime)
}

func (h *gkePlatform) BreakRestarts(n int) {
	h.must(func() error {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"runner.test/break":"%d"}}}`, n)
		_, err := h.cluster.clients.CoreV1().Namespaces().Patch(context.Background(), h.cluster.namespace, types.MergePatchType,
			[]byte(patch), metav1.PatchOptions{})
		return err
	})
}

// Wish implements rotatetest.Platform.
func (h *gkePlatform) Wish(wishes rotate.Wishes) error {
	runner, err := h.runner(h.t.Context(), func(next http.RoundTripper) http.RoundTripper { return next })
	if err != nil {
		return err
	}
	return runner.(*helmrelease.Runner).Wish(h.t.Context(), func(present *rotate.Wishes) { *present = wishes })
}

func (h *gkePlatform) Kept() (text string) {
	h.must(func() (err error) { text, err = h.cluster.kept(); return err })
	return text
}

func (h *gkePlatform) Foreign() (text string) {
	h.must(func() (err error) { text, err = h.cluster.foreign(); return err })
	// What the autoscaler has set is what must be there.
	return strings.Replace(text, fmt.Sprintf(`"replicas": %d,`, max(scaledTo, h.stage.Scaled())), `"replicas": as set,`, 1)
}

func asJSON(v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// without is a map without some of its keys.
func without(m map[string]string, keys ...string) map[string]string {
	rest := map[string]string{}
	for key, value := range m {
		if !slices.Contains(keys, key) {
			rest[key] = value
		}
	}
	return rest
}
