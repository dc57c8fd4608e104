package helmrelease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
)

// atATime is how many of the tests, which mostly wait, run at the same time.
const atATime = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atATime); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	rigAgent  = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	rigClient = "runner-client"
)

// rig is a runner on the real cluster, in real time, and Maia.
type rig struct {
	*installed
	t    *testing.T
	maia *maiatest.Server
	user *rest.Config
	log  bytes.Buffer
}

func newRig(t *testing.T, p *place, change ...func(values map[string]any)) *rig {
	t.Helper()
	r := &rig{t: t, maia: maiatest.New(), user: p.user}
	t.Cleanup(r.maia.Close)
	r.maia.AddAgent(maiatest.AgentSpec{ID: rigAgent, Name: "runner", ClientID: rigClient})
	var err error
	if r.installed, err = p.install(rigAgent, rigClient, r.maia.LiveSecret(rigAgent), change...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.remove)
	return r
}

// connect has the runners log in, those that are there by a restart.
func (r *rig) connect() {
	r.t.Helper()
	var mu sync.Mutex
	here := map[string]*maiatest.Instance{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var says struct{ Event, Pod, AgentID, ClientID, ClientSecret string }
		if err := json.NewDecoder(request.Body).Decode(&says); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch instance, known := here[says.Pod]; {
		case says.Event == "start" && !known:
			here[says.Pod], _ = r.maia.Connect(says.AgentID, says.ClientID, says.ClientSecret)
		case says.Event == "stop" && instance != nil:
			instance.Close()
		}
	}))
	r.t.Cleanup(server.Close)
	r.must(r.annotate("runner.test/login-url", server.URL))
	r.must(r.rolloutRestart())
	_, err := r.settled()
	r.must(err)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// discover is helmrelease.Discover with a configuration that may be changed.
func (r *rig) discover(change ...func(*helmrelease.Config)) (*helmrelease.Runner, error) {
	config := helmrelease.Config{
		REST: rest.CopyConfig(r.user), Namespace: r.namespace, Release: releaseName, Log: slog.New(slog.NewJSONHandler(&r.log, nil)),
	}
	config.REST.QPS = -1
	for _, change := range change {
		change(&config)
	}
	return helmrelease.Discover(r.t.Context(), config)
}

// rotate does one rotation, without a drain. The runner may stay away: then the test's policy waits for a second only.
func (r *rig) rotate(connect time.Duration, change ...func(*helmrelease.Config)) (rotate.Report, error) {
	return r.run(r.t.Context(), rotate.Rotate, connect, change...)
}

func (r *rig) run(ctx context.Context, mode rotate.Mode, connect time.Duration, change ...func(*helmrelease.Config)) (rotate.Report,
	error) {
	runner, err := r.discover(change...)
	if err != nil {
		return rotate.Report{}, err
	}
	policy := rotate.DefaultPolicy()
	policy.Drain, policy.ConnectTimeout = rotate.DrainNone, connect
	rotator := rotate.Rotator{Maia: r.maia.Client(r.t), Policy: policy}
	return rotator.Run(ctx, runner, mode)
}

// healed heals, which must succeed and find something to do; the release then fits together.
func (r *rig) healed() {
	r.t.Helper()
	if report, err := r.run(r.t.Context(), rotate.Heal, time.Minute); err != nil || report.Outcome != rotate.Healed {
		r.t.Fatalf("the healing ends with %q, %v", report.Outcome, err)
	}
	r.whole()
}

// whole checks that the release fits together, and holds what Maia does.
func (r *rig) whole() {
	r.t.Helper()
	wrong, err := r.installed.whole()
	r.must(err)
	if secret, err := r.secret(); wrong != "" || err != nil || secret != r.maia.LiveSecret(rigAgent) {
		r.t.Errorf("the Secret does not hold what Maia does, or: %s; %v", wrong, err)
	}
}

// rotated rotates, which must succeed.
func (r *rig) rotated() {
	r.t.Helper()
	r.connect()
	report, err := r.rotate(time.Minute)
	if err != nil || report.Outcome != rotate.Rotated {
		r.t.Fatalf("the rotation ends with %q, %v", report.Outcome, err)
	}
	_, err = r.settled()
	r.must(err)
}

// untouched checks that nothing was refreshed, stored or restarted.
func (r *rig) untouched(before string) {
	r.t.Helper()
	if n := r.maia.Refreshes(rigAgent); n > 0 {
		r.t.Errorf("%d refreshes were sent", n)
	}
	if now := r.state(); now != before {
		r.t.Errorf("the release was changed:\n%s\nit was\n%s", now, before)
	}
}

// state is the release's records, Secret and pods' templates.
func (r *rig) state() string {
	var text strings.Builder
	secrets, err := r.clients.CoreV1().Secrets(r.namespace).List(context.Background(), metaListOptions)
	r.must(err)
	for _, s := range secrets.Items {
		text.WriteString(s.Name + " " + s.ResourceVersion + "\n")
	}
	deployments, err := r.clients.AppsV1().Deployments(r.namespace).List(context.Background(), metaListOptions)
	r.must(err)
	for _, d := range deployments.Items {
		text.WriteString(d.Name + " " + asJSON(d.Spec) + "\n")
	}
	return text.String()
}

// refused rotates, which must be refused before anything is changed, with all of these words.
func (r *rig) refused(kind rotate.Kind, words []string, change ...func(*helmrelease.Config)) {
	r.t.Helper()
	before := r.state()
	_, err := r.rotate(time.Second, change...)
	var typed *rotate.Error
	if !errors.As(err, &typed) || typed.Kind != kind {
		r.t.Errorf("got %v, expected an error of the kind %s", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			r.t.Errorf("%q is missing in: %v", word, err)
		}
	}
	if typed.Hint == "" && !strings.Contains(err.Error(), "expected ") {
		r.t.Errorf("it does not say what to do: %v", err)
	}
	for _, secret := range append(r.maia.Revoked(rigAgent), r.maia.LiveSecret(rigAgent)) {
		if strings.Contains(err.Error(), secret) {
			r.t.Error("the error holds a secret")
		}
	}
	r.untouched(before)
}
