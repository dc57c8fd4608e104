// Package azure is a runner on Azure Container Apps and all that is around it, on this machine: Azure Resource Manager, blob
// storage and the endpoint of managed identities, Maia, and the compiled function, called by its timer through the host of
// Azure Functions.
package azure

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
	"github.com/maia-rotate/maia-rotate/internal/emulator/identity"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// function is the name of the function in its app.
const function = "RotateRunnerSecrets"

// StateContainer is where locks and notes are, by the function's default.
const StateContainer = "maia-rotate"

// The paces of the world: those of the real services would be minutes.
const (
	provision  = 600 * time.Millisecond  // of a change of an app
	hang       = 10 * time.Minute        // of one that can never be done
	startDelay = 1200 * time.Millisecond // of a replica
	rollDelay  = 500 * time.Millisecond  // from a restart to the end of the first old replica, and to that of each further one
	retryDelay = time.Second             // between two tries of an invocation
)

// Options are the settings of a World.
type Options struct {
	App            string              // the folder of the function app, see [Build]
	Env            []string            // further settings of the function, NAME=value
	Fault          Fault               // what goes wrong; the zero Fault is nothing
	OnEvent        func(sandbox.Event) // gets the events, one at a time, until Proofs or Close; may be nil
	FunctionOutput io.Writer           // gets what the function prints; may be nil

	// OnResult gets what came of each invocation by a timer, before anybody else does; may be nil.
	OnResult func(functionshost.Result)

	// Wrap gets the handler of each service, from Maia, Container Apps, Blob storage and the managed identity, and returns the
	// one that is served in its place, which sees all requests; may be nil.
	Wrap func(sandbox.Source, http.Handler) http.Handler
}

// World is one runner with everything around it. The services may be used and disturbed at any time; [World.Close] ends
// them.
type World struct {
	sandbox.Stage[*World]
	Apps     *containerapps.Server
	State    *blobs.Server
	Identity *identity.Server
	Host     *functionshost.Host

	AppsURL, StateURL string // of Azure Resource Manager, and of the storage account

	ctx     context.Context
	end     context.CancelFunc
	options Options
	fleet   *fleet
	others  string                     // all that a rotation must not change, at the beginning
	env     []string                   // of the function
	further []*functionshost.Host      // other machines
	between func(functionshost.Result) // called once after the next invocation, before it is tried again; nil is nothing

	working sync.WaitGroup

	mu     sync.Mutex
	stored string // the secret, as far as events show
}

// New starts everything. The runner is connected and runs a pipeline when New returns.
func New(ctx context.Context, options Options) (*World, error) {
	w := &World{options: options}
	w.ctx, w.end = context.WithCancel(ctx)
	if err := w.start(w.ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return w, nil
}

func (w *World) start(ctx context.Context) (err error) {
	if err := w.Open(ctx, w.options.Fault, 0, w.options.OnEvent, w.options.Wrap); err != nil {
		return err
	}
	if err := w.startAzure(ctx); err != nil {
		return err
	}
	if w.Host, err = w.startHost(); err != nil {
		return err
	}
	if err := w.Host.Ready(ctx); err != nil {
		return err
	}
	w.watch()
	return w.Ready(ctx, w)
}

// startAzure starts the services of Azure, with the runner's app and another one.
func (w *World) startAzure(ctx context.Context) (err error) {
	managerToken, blobToken := w.newSecret("the token for Azure Resource Manager"), w.newSecret("the token for blob storage")
	header := w.newSecret("the header of the identity endpoint")
	w.fleet = &fleet{maia: w.Maia, journal: &w.Journal, wanted: Replicas, replicas: map[int]replica{}}
	w.Apps = containerapps.New(containerapps.Options{
		Token: managerToken, Provision: provision, Hang: hang, Start: startDelay, Roll: rollDelay, StartReplica: w.fleet.start,
	})
	w.State = blobs.New(blobToken)
	w.Identity = identity.New(identity.Options{Header: header, Tokens: map[string]string{
		"https://management.core.windows.net": managerToken, "https://storage.azure.com": blobToken,
	}})
	if w.AppsURL, err = w.Serve(ctx, sandbox.FromContainerApps, w.Apps); err != nil {
		return err
	}
	if w.StateURL, err = w.Serve(ctx, sandbox.FromBlobs, w.State); err != nil {
		return err
	}
	identityURL, err := w.Serve(ctx, sandbox.FromIdentity, w.Identity)
	if err != nil {
		return err
	}
	w.stored = w.Maia.LiveSecret(sandbox.AgentID)
	w.Apps.Add(runnerApp(w.stored, w.newSecret("another secret of the app")))
	w.Apps.Add(containerapps.Spec{ID: otherApp, Location: "West Europe", Replicas: 1,
		Secrets: []containerapps.Secret{{Name: Secret, Value: w.newSecret("a secret of another app")}}})
	w.others = w.untouched()
	w.env = slices.Concat(w.Maia.Endpoints(), []string{
		"ROTATION_SCHEDULE=0 */30 * * * *",
		"AZURE_RESOURCE_MANAGER_URL=" + w.AppsURL,
		"AzureWebJobsStorage__blobServiceUri=" + w.StateURL,
		"IDENTITY_ENDPOINT=" + identityURL + identity.Path,
		"IDENTITY_HEADER=" + header,
		"MAIA_CONTAINER_APPS=" + App,
		"MAIA_AGENT_IDS=" + sandbox.AgentID,
		"MAIA_CLIENT_ID=" + w.Maia.APIClient,
		"MAIA_CLIENT_SECRET=" + w.Maia.APISecret,
		"MAIA_ROTATE_CONNECT_TIMEOUT=1m", // so that a runner that stays away shows soon
	}, w.Fault.Env, w.options.Env)
	return nil
}

// newSecret is one that must leak nowhere.
func (w *World) newSecret(what string) string {
	secret := rand.Text() + rand.Text()
	w.Guarded.Learn(secret, what)
	return secret
}

// startHost starts a host with the function.
func (w *World) startHost() (*functionshost.Host, error) {
	return functionshost.New(functionshost.Options{
		Folder: w.options.App, Settings: w.env, FunctionTimeout: w.Fault.Timeout, RetryDelay: retryDelay, StartTimeout: startTimeout,
		Output: w.options.FunctionOutput, BeforeTry: w.beforeTry, AfterTry: w.afterTry,
	})
}

// startTimeout is for machines that have much else to do.
const startTimeout = 2 * time.Minute

func (w *World) beforeTry(try int) {
	w.NewRun()
	if try == 0 {
		w.Journal.Add(sandbox.FromHost, "call-started", "the timer fires: the host calls the function …")
	} else {
		w.Journal.Add(sandbox.FromHost, "call-started", "the host calls the function again, by its retry policy …")
	}
}

func (w *World) afterTry(_ int, result functionshost.Result) {
	w.Keep(result.Body)
	w.Keep([]byte(result.Failure))
	if w.options.OnResult != nil {
		w.options.OnResult(result)
	}
	took := result.Duration.Seconds()
	if result.Failure == "" {
		w.Journal.Add(sandbox.FromHost, "call-ended", "%d (%.1f s): %s", result.Status, took, short(result.Logs))
	} else {
		w.Journal.Fail(sandbox.FromHost, "call-failed", "%s (%.1f s)", failure(result), took)
	}
	if between := w.between; between != nil {
		w.between = nil
		between(result)
	}
}

// short is what the function says of its app, which is the only one.
func short(lines []string) string {
	text := strings.Join(lines, "; ")
	if _, apps, counted := strings.Cut(text, " failed or are down:\n"); counted {
		text = apps
	}
	return strings.ReplaceAll(text, App, AppName)
}

// failure is what an invocation says that has failed, in a few words. (The host throws the function's own away: they are
// in its log.)
func failure(result functionshost.Result) string {
	switch {
	case result.TimedOut:
		return "functionTimeout: the host kills the function (SIGKILL), and starts it again; its lease ends by itself"
	case result.Exited:
		return "the function is gone: the host starts it again; its lease ends by itself"
	}
	var answer struct{ Logs []string }
	if json.Unmarshal(result.Body, &answer) != nil || len(answer.Logs) == 0 {
		return result.Failure
	}
	return fmt.Sprintf("%d: %s", result.Status, short(answer.Logs))
}

// Call has the timer fire once, and the host try again what fails. It says whether that succeeds at last.
func (w *World) Call(ctx context.Context) bool { return w.fire(ctx, functionshost.Timer{}) }

// CallPastDue is Call with a timer that says that it should have fired earlier.
func (w *World) CallPastDue(ctx context.Context) bool {
	return w.fire(ctx, functionshost.Timer{PastDue: true, Status: &functionshost.Status{
		Last: "2026-11-28T06:00:00.0089+00:00", Next: "2026-11-28T06:30:00+00:00", LastUpdated: "2026-11-28T06:00:00.0089+00:00",
	}})
}

func (w *World) fire(ctx context.Context, timer functionshost.Timer) bool {
	return w.fireOn(ctx, w.Host, timer)
}

// Machine starts another machine with the function.
func (w *World) Machine(ctx context.Context) (*functionshost.Host, error) {
	host, err := w.startHost()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.further = append(w.further, host)
	w.mu.Unlock()
	return host, host.Ready(ctx)
}

// CallOn is Call on one of several machines.
func (w *World) CallOn(ctx context.Context, machine *functionshost.Host) bool {
	return w.fireOn(ctx, machine, functionshost.Timer{})
}

func (w *World) fireOn(ctx context.Context, host *functionshost.Host, timer functionshost.Timer) bool {
	results, err := host.Fire(ctx, function, timer)
	if err != nil {
		w.Journal.Fail(sandbox.FromHost, "call-failed", "the host cannot call the function: %v", err)
		return false
	}
	return results[len(results)-1].Failure == ""
}

// closeHosts ends the function.
func (w *World) closeHosts() {
	for _, host := range w.hosts() {
		host.Close()
	}
}

// hosts are all machines.
func (w *World) hosts() []*functionshost.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.further)
	if w.Host != nil {
		all = append(all, w.Host)
	}
	return all
}

// Output is everything that the function has printed so far, on all machines.
func (w *World) Output() (text []byte) {
	for _, host := range w.hosts() {
		text = append(text, host.Output()...)
	}
	return text
}

// Back reports whether the app holds what Maia holds, and all replicas are connected.
func (w *World) Back() bool { return w.storeIsMaia() && w.fleet.connected() }

// Started is how many replicas have ever started.
func (w *World) Started() int { return w.fleet.count() }

// Close ends everything.
func (w *World) Close() {
	w.Journal.Stop()
	w.end()
	// In this order: whoever calls another service ends before it.
	w.closeHosts()
	if w.Apps != nil {
		w.Apps.Close()
	}
	if w.State != nil {
		w.State.End()
	}
	if w.Identity != nil {
		w.Identity.End()
	}
	w.working.Wait()
	w.Stage.Close()
}
