package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxazure "github.com/maia-rotate/maia-rotate/internal/sandbox/azure"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// onAzure is the function behind its timer.
type onAzure struct{ app string }

func (*onAzure) name() string { return "azure" }

func (a *onAzure) build(ctx context.Context, dir string) error {
	a.app = filepath.Join(dir, "azure")
	if err := os.Mkdir(a.app, 0o700); err != nil {
		return err
	}
	return sandboxazure.Build(ctx, a.app)
}

func (*onAzure) pairs() int { return 500 }

func (*onAzure) close() {}

func (*onAzure) quirks() []named {
	return append(quirksOf(onContainerApps, containerapps.Quirks()), quirksOf(onBlobs, blobs.Quirks())...)
}

func (*onAzure) faults() int { return 2 }

func (*onAzure) folded() []string {
	return []string{"renewals of the lease by the clock, which come at any time: only the one right before the refresh gets a fault"}
}

// stored is the phase that begins with the change of the app's secrets.
const stored = "stored"

func managerService(w *wire) service {
	return service{source: sandbox.FromContainerApps, identify: w.identifyManager, refuse: func(many bool, _ *http.Request) answer {
		if many {
			return problem(http.StatusTooManyRequests, `{"error":{"code":"TooManyRequests","message":"The request is being throttled."}}`)
		}
		return problem(http.StatusServiceUnavailable, `{"error":{"code":"ServiceUnavailable","message":"The service is unavailable."}}`)
	}}
}

// problem is an error in JSON. One of too many requests asks to wait for a second.
func problem(status int, body string) answer {
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	if status == http.StatusTooManyRequests {
		header.Set("Retry-After", "1")
	}
	return answer{status, header, []byte(body)}
}

// identifyManager names requests by method and path. Those that only ask whether something is allowed have a name of their own:
// a restart of a revision that does not exist, and the change before the refresh, which alters nothing.
func (w *wire) identifyManager(request *http.Request, _ []byte) identity {
	_, path, one := strings.Cut(request.URL.Path, "/containerApps/")
	if !one {
		return identity{name: request.Method + " apps"}
	}
	parts := strings.Split(path, "/")[1:]
	what := request.Method + " app"
	if len(parts) > 0 {
		what = request.Method + " " + parts[len(parts)-1]
	}
	switch {
	case request.Method == http.MethodPatch && !w.hasRefreshed():
		return identity{name: "asking for " + what, changes: true}
	case request.Method == http.MethodPatch:
		return identity{name: what, changes: true, begins: stored}
	case what == "POST restart" && !strings.HasPrefix(parts[1], sandboxazure.AppName+"--"):
		return identity{name: "asking for " + what}
	case what == "POST restart":
		return identity{name: what, changes: true, begins: restarted}
	}
	return identity{name: what}
}

// hasRefreshed reports whether a refresh was sent.
func (w *wire) hasRefreshed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.phase != "" && w.phase != paused
}

func blobService(w *wire) service {
	return service{source: sandbox.FromBlobs, identify: w.identifyBlob, refuse: func(many bool, _ *http.Request) answer {
		code, status, header := "InternalError", http.StatusInternalServerError, http.Header{}
		if many { // storage has no 429
			code, status = "ServerBusy", http.StatusServiceUnavailable
			header.Set("Retry-After", "1")
		}
		header.Set("Content-Type", "application/xml")
		header.Set("X-Ms-Error-Code", code)
		return answer{status, header,
			fmt.Appendf(nil, "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>%s</Code><Message>%[1]s</Message></Error>", code)}
	}}
}

func (w *wire) identifyBlob(request *http.Request, _ []byte) identity {
	action := request.Header.Get("x-ms-lease-action")
	switch {
	case action == "renew":
		// Renewals by the clock come at any time. The one before a refresh follows the read of what is to be replaced.
		return identity{name: "renew lease", changes: true, ignored: w.last("renew lease").name != string(maiatest.GetCredentials)}
	case action != "":
		return identity{name: action + " lease", changes: true}
	case request.URL.Query().Get("restype") == "container":
		return identity{name: "PUT container", changes: request.Method == http.MethodPut}
	}
	return identity{name: request.Method + " note", changes: request.Method == http.MethodPut}
}

// last is the last call that arrived, but for those of a name.
func (w *wire) last(but string) call {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, made := range slices.Backward(w.calls) {
		if made.name != but {
			return made
		}
	}
	return call{}
}

// identityService is the endpoint of the managed identity.
func identityService() service {
	return service{source: sandbox.FromIdentity, identify: func(request *http.Request, _ []byte) identity {
		resource := request.URL.Query().Get("resource")
		return identity{name: "token for " + strings.TrimSuffix(strings.TrimPrefix(resource, "https://"), "/")}
	}, refuse: func(many bool, _ *http.Request) answer {
		if many {
			return problem(http.StatusTooManyRequests, `{"statusCode":429,"message":"Too many requests"}`)
		}
		return problem(http.StatusServiceUnavailable, `{"statusCode":503,"message":"The service is unavailable."}`)
	}}
}

// withoutStrangers drops requests to AWS: other programs on this machine, such as a test of the Lambda, may call a port that was
// their own server's before.
func withoutStrangers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.Header.Get("X-Amz-Target") != "" {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(writer, request)
	})
}

// azureWorld is a world of the function.
type azureWorld struct {
	*sandboxazure.World
	wire  *wire
	trace *trace

	mu   sync.Mutex
	said string // by the last invocation that failed
}

// keep keeps what a failed invocation says.
func (w *azureWorld) keep(result functionshost.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.said = ""; result.Failure != "" {
		var answer struct{ Logs []string }
		_ = json.Unmarshal(result.Body, &answer) // there may be none
		w.said = strings.Join(append([]string{result.Failure}, answer.Logs...), ": ")
	}
}

// failure is what the last invocation said, if it failed.
func (w *azureWorld) failure() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said
}

func (a *onAzure) open(ctx context.Context, s scenario, w *wire, trace *trace) (world, error) {
	this := &azureWorld{wire: w, trace: trace}
	options := sandboxazure.Options{
		App:     a.app,
		Env:     append([]string{"MAIA_ROTATE_DRAIN_TIMEOUT=1m"}, s.env...),
		OnEvent: trace.event,
		Wrap: func(source sandbox.Source, next http.Handler) http.Handler {
			return withoutStrangers(w.wrap(map[sandbox.Source]service{
				sandbox.FromMaia: maiaService(), sandbox.FromContainerApps: managerService(w),
				sandbox.FromBlobs: blobService(w), sandbox.FromIdentity: identityService(),
			}[source], next))
		},
		OnResult: func(result functionshost.Result) {
			this.keep(result)
			if result.Failure == "" && claimsBack(result.Logs) {
				trace.succeeded("an invocation", this)
			}
		},
	}
	if s.operator {
		options.Fault, _ = sandboxazure.Faults().Find("paused-by-operator")
	}
	w.enter("timer")
	var err error
	if this.World, err = sandboxazure.New(ctx, options); err != nil {
		return nil, err
	}
	w.kill = this.Host.Kill
	if err := this.play(s); err != nil {
		this.Close()
		return nil, err
	}
	return this, nil
}

// play has the services play the quirks of a scenario.
func (w *azureWorld) play(s scenario) error {
	if s.plays(onContainerApps, "sibling-fails") {
		w.AddSibling()
	}
	w.Apps.Hasten(s.hurry(onContainerApps))
	return errors.Join(w.Apps.Play(s.namesFor(onContainerApps)...), w.State.Play(s.namesFor(onBlobs)...), w.Maia.Play(s.namesFor(onMaia)...))
}

// claimsBack reports whether an invocation that has succeeded claims that the runner is back. One that left the runner to another
// run does not.
func claimsBack(lines []string) bool {
	return !slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, ": "+fleet.LeftAlone.Text()+": ") ||
			strings.HasPrefix(line, "another invocation of this function is at work")
	})
}

// call has the timer fire, and the host try again what fails. A host that has shut down because the function has died too
// often is started again, as the platform does.
func (w *azureWorld) call(ctx context.Context) error {
	ok := w.Call(ctx)
	if err := w.Host.Revive(); err != nil {
		return err
	}
	if !ok {
		return errors.Join(fmt.Errorf("the call and its repetitions failed: %s", w.failure()), ctx.Err())
	}
	return nil
}

func (w *azureWorld) rotate(ctx context.Context) error {
	_ = w.call(ctx) // the next regular call heals it
	return ctx.Err()
}

// heal is the timer too: while the rotation is not complete, it completes it.
func (w *azureWorld) heal(ctx context.Context) error {
	if w.Maia.Refreshes(sandbox.AgentID) > 0 && w.Back() {
		w.wire.enter("heal")
	}
	return w.call(ctx)
}

// due is the timer too: a runner that was never rotated is due at each call.
func (w *azureWorld) due(ctx context.Context) error { return w.rotate(ctx) }

func (w *azureWorld) back() bool { return w.Back() }

func (w *azureWorld) started() int { return w.Started() }

func (w *azureWorld) restarts() (most int) {
	for _, restarts := range w.Apps.Restarts(sandboxazure.App) {
		most = max(most, restarts)
	}
	return most
}

func (w *azureWorld) unconfirmed() bool {
	for _, content := range w.State.Blobs(sandboxazure.StateContainer) {
		var blob struct{ Paused *rotate.OwnPause }
		if json.Unmarshal([]byte(content), &blob) == nil && blob.Paused != nil && !blob.Paused.Confirmed {
			return true
		}
	}
	return false
}

func (w *azureWorld) maia() *sandbox.Maia { return w.Maia }

func (w *azureWorld) proofs() []sandbox.Proof { return w.Proofs() }

func (w *azureWorld) output() []byte { return w.Output() }

func (w *azureWorld) close() { w.Close() }
