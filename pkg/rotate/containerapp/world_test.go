package containerapp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

const (
	agentID  = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	clientID = "runner-client"
)

// world is a runner in the emulated Azure, and Maia.
type world struct {
	t     *testing.T
	maia  *maiatest.Server
	apps  *containerapps.Server
	state *blobs.Server

	mu      sync.Mutex
	log     bytes.Buffer
	running map[*int]string // the secrets with which replicas run
	writes  int             // changes of the app that were carried out after a refresh
	altered bool            // one before it has changed a secret
	alter   func(request *http.Request, answer *http.Response)

	intercept      func(request *http.Request) *http.Response // answers a request in Azure's place, unless it returns nil
	connectTimeout time.Duration                              // of the policy; 0: the default one
}

// inWorld runs a test in a bubble, with a changed app of the runner.
func inWorld(t *testing.T, change func(*containerapps.Spec), test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, containerapps.Options{}, change)
		test(w)
		for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID)) {
			if strings.Contains(w.logged(), secret) {
				t.Error("a secret is in the log")
			}
		}
	})
}

func newWorld(t *testing.T, options containerapps.Options, change func(*containerapps.Spec)) *world {
	w := &world{t: t, maia: maiatest.New(), state: blobs.New(token), running: map[*int]string{}}
	t.Cleanup(w.maia.Close)
	t.Cleanup(w.state.End)
	w.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: clientID})
	options.Token, options.Provision, options.Hang, options.PageSize = token, 1300*time.Millisecond, 10*time.Minute, 3
	options.Start, options.Roll = 1100*time.Millisecond, 1700*time.Millisecond
	options.StartReplica = func(app string, environment map[string]string) (func(), error) {
		one := new(int)
		w.mu.Lock()
		w.running[one] = environment["OAUTH_CLIENT_SECRET"]
		w.mu.Unlock()
		instance, err := w.maia.Connect(agentID, environment["OAUTH_CLIENT_ID"], environment["OAUTH_CLIENT_SECRET"])
		return func() {
			w.mu.Lock()
			delete(w.running, one)
			w.mu.Unlock()
			if err == nil { // one that is refused runs on
				instance.Close()
			}
		}, nil
	}
	w.apps = containerapps.New(options)
	t.Cleanup(w.apps.Close)
	spec := runnerSpec(agentID, clientID, w.maia.LiveSecret(agentID))
	if change != nil {
		change(&spec)
	}
	w.apps.Add(spec)
	w.watch()
	time.Sleep(time.Hour + 500*time.Millisecond)
	return w
}

// watch checks what is sent to the app: before a refresh nothing may alter a secret.
func (w *world) watch() {
	w.apps.Inject(wire.Fault{Operation: "write", Match: func(raw []byte) bool {
		var sent struct {
			Properties struct {
				Configuration struct{ Secrets []containerapps.Secret }
			}
		}
		if json.Unmarshal(raw, &sent) == nil && w.maia.Refreshes(agentID) == 0 &&
			!slices.Equal(sent.Properties.Configuration.Secrets, w.apps.Secrets(appID)) {
			w.mu.Lock()
			w.altered = true
			w.mu.Unlock()
		}
		return false
	}})
	w.apps.OnCall(func(call wire.Call) {
		if call.Operation == "write" && call.Status/100 == 2 && w.maia.Refreshes(agentID) > 0 {
			w.mu.Lock()
			w.writes++
			w.mu.Unlock()
		}
	})
}

// ownChange is a Match for changes of the secrets after a refresh.
func (w *world) ownChange(raw []byte) bool { return changes(raw) && w.maia.Refreshes(agentID) > 0 }

// Write implements io.Writer, for the log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *world) config(change ...func(*containerapp.Config)) containerapp.Config {
	config := configuration(func(server http.Handler) http.RoundTripper { return altered{wire.Transport(server), w} }, w.apps, w.state)
	config.Log = slog.New(slog.NewJSONHandler(w, nil))
	for _, change := range change {
		change(&config)
	}
	return config
}

// discover makes a Runner, as a new process does.
func (w *world) discover(change ...func(*containerapp.Config)) (*containerapp.Runner, error) {
	return containerapp.Discover(w.t.Context(), w.config(change...))
}

// runner is a discovered runner, which must be there.
func (w *world) runner() *containerapp.Runner {
	w.t.Helper()
	runner, err := w.discover()
	if err != nil {
		w.t.Fatal(err)
	}
	return runner
}

// run is one process of the function, with fifteen minutes.
func (w *world) run(mode rotate.Mode, change ...func(*containerapp.Config)) (rotate.Report, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Minute)
	defer cancel()
	runner, err := w.discover(change...)
	if err != nil {
		return rotate.Report{}, err
	}
	policy := rotate.DefaultPolicy()
	if w.connectTimeout > 0 {
		policy.ConnectTimeout = w.connectTimeout
	}
	rotator := rotate.Rotator{Maia: w.maia.Client(w.t), Policy: policy, Log: slog.New(slog.NewJSONHandler(w, nil))}
	report, err := rotator.Run(ctx, runner, mode)
	if err != nil {
		_, _ = w.Write([]byte(err.Error()))
	}
	return report, err
}

// mustRotate is a rotation that must go well.
func (w *world) mustRotate() rotate.Report {
	w.t.Helper()
	report, err := w.run(rotate.Rotate)
	if err != nil || report.Outcome != rotate.Rotated {
		w.t.Fatalf("the rotation ends with %q, %v", report.Outcome, err)
	}
	w.mustBeBack()
	return report
}

// mustBeBack: the app holds what Maia does, and every replica runs with it.
func (w *world) mustBeBack() {
	w.t.Helper()
	w.mu.Lock()
	for _, secret := range w.running {
		if secret != "" && secret != w.maia.LiveSecret(agentID) {
			w.t.Error("a replica runs with a secret that was revoked")
		}
	}
	w.mu.Unlock()
	if w.held() != w.maia.LiveSecret(agentID) {
		w.t.Error("the app does not hold what Maia does")
	}
	agent, err := w.maia.Client(w.t).Agent(w.t.Context(), agentID)
	if err != nil || !agent.Connected {
		w.t.Errorf("connected %t, %v", agent.Connected, err)
	}
}

func (w *world) held() string { return w.apps.Secret(appID, clientSecret).Value }

// mustFail: an error of a kind, which says each of these things.
func (w *world) mustFail(err error, kind rotate.Kind, says ...string) {
	w.t.Helper()
	if err == nil {
		w.t.Fatal("no error")
	}
	if rotate.KindOf(err) != kind {
		w.t.Errorf("kind %q, want %q: %v", rotate.KindOf(err), kind, err)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			w.t.Errorf("the error does not say %q: %v", text, err)
		}
	}
	for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID)) {
		if strings.Contains(err.Error(), secret) {
			w.t.Error("a secret is in the error")
		}
	}
}

// mustBeUntouched: nothing was refreshed, stored or restarted.
func (w *world) mustBeUntouched() {
	w.t.Helper()
	if n := w.maia.Refreshes(agentID); n > 0 {
		w.t.Errorf("%d refreshes were sent", n)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.altered || w.writes > 0 {
		w.t.Error("the secrets of the app were changed")
	}
	for _, call := range w.apps.Calls() {
		if call.Status < 300 && call.Operation == "revisions/restart/action" {
			w.t.Errorf("%s was carried out", call.Action)
		}
	}
}

// calls counts those of an operation that were carried out.
func (w *world) calls(operation string) (n int) {
	for _, call := range w.apps.Calls() {
		if call.Operation == operation && call.Status/100 == 2 {
			n++
		}
	}
	return n
}

// finishRestarts waits until what was ordered has happened.
func (w *world) finishRestarts() { time.Sleep(time.Minute + 300*time.Millisecond) }

func stateOf(err error) rotate.State {
	var typed *rotate.Error
	if !errors.As(err, &typed) {
		return ""
	}
	return typed.State
}

func credentials(secret string) maia.Credentials {
	return maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(secret)}
}

// before does something before every call of an operation.
func before(operation string, do func()) wire.Fault {
	return wire.Fault{Operation: operation, Before: do}
}

func changes(raw []byte) bool { return bytes.Contains(raw, []byte(`"secrets"`)) }

// mustHaveOnly reads JSON that has no other members than those of a struct.
func mustHaveOnly(t *testing.T, text string, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %d bytes", err, len(text))
	}
}

// altered changes answers on their way.
type altered struct {
	http.RoundTripper
	w *world
}

func (a altered) RoundTrip(request *http.Request) (*http.Response, error) {
	a.w.mu.Lock()
	intercept := a.w.intercept
	a.w.mu.Unlock()
	if intercept != nil {
		if answer := intercept(request); answer != nil {
			return answer, nil
		}
	}
	answer, err := a.RoundTripper.RoundTrip(request)
	if err == nil && a.w.alter != nil {
		a.w.alter(request, answer)
	}
	return answer, err
}

// items changes every item of a list: of the revisions ("GET app revisions"), or of the replicas.
func items(list string, change func(item map[string]any)) func(*http.Request, *http.Response) {
	return func(request *http.Request, answer *http.Response) {
		if nameOf(request) != list || answer.StatusCode != http.StatusOK {
			return
		}
		var document map[string]any
		if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
			panic(err)
		}
		for _, item := range document["value"].([]any) {
			change(item.(map[string]any)["properties"].(map[string]any))
		}
		text, err := json.Marshal(document)
		if err != nil {
			panic(err)
		}
		replaceBody(answer, text)
	}
}

func replaceBody(answer *http.Response, text []byte) {
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Del("Content-Length")
}

const (
	listOfRevisions = "GET app revisions"
	listOfReplicas  = "GET app replicas"
)

// siblingFaults are refusals of a restart.
var siblingFaults = map[string]struct {
	status int
	code   string
	kind   rotate.Kind
}{
	"403": {http.StatusForbidden, "AuthorizationFailed", rotate.Permission},
	"409": {http.StatusConflict, "ContainerAppOperationInProgress", rotate.NotReady},
	"400": {http.StatusBadRequest, "RevisionCannotBeRestarted", rotate.Internal},
}

// refuseRestarts has the restarts of revisions be refused.
func (w *world) refuseRestarts(status int, code string, revisions ...string) (repair func()) {
	w.setIntercept(func(request *http.Request) *http.Response {
		for _, name := range revisions {
			if nameOf(request) == "POST app restart" && strings.Contains(request.URL.Path, "/"+name+"/") {
				return answerOf(request, status, `{"error":{"code":"`+code+`","message":"refused"}}`)
			}
		}
		return nil
	})
	return func() { w.setIntercept(nil) }
}

// loseRestarts has Azure accept restarts and forget them.
func (w *world) loseRestarts() (repair func()) {
	w.setIntercept(func(request *http.Request) *http.Response {
		if nameOf(request) == "POST app restart" && strings.Contains(request.URL.Path, "/runner--") {
			return answerOf(request, http.StatusOK, `"Restarted"`)
		}
		return nil
	})
	return func() { w.setIntercept(nil) }
}

func (w *world) setIntercept(do func(request *http.Request) *http.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.intercept = do
}

func answerOf(request *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: request,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
	}
}
