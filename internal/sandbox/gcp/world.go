// Package gcp is a runner on Kubernetes and all that is around it, on this machine: a real kube-apiserver with a Helm
// release, Maia, and the compiled function, called as Cloud Scheduler calls it. The function acts as a user who has the
// Role of deploy/gcp and nothing else.
package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v3/pkg/action"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	gcpdeploy "github.com/maia-rotate/maia-rotate/deploy/gcp"
	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	"github.com/maia-rotate/maia-rotate/internal/runnerchart"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The runner of every World, named as the vendor's guide names things.
const (
	Namespace  = "matillion-agent" // see [Options]
	Release    = "matillion-agent"
	Deployment = Release + "-matillion-runner-app"
	Secret     = Release + "-matillion-runner-config"

	// FunctionUser is who the function is to the cluster, see [Options].
	FunctionUser = "maia-rotate@sandbox.iam.gserviceaccount.com"
	// Replicas are the live ones; the chart says 2.
	Replicas = 3
)

const startDelay = 400 * time.Millisecond // of a pod: a real one takes a minute

// Options are the settings of a World.
type Options struct {
	ControlPlane   string              // its binary, see controlplane.Build
	Binary         string              // the compiled function, see [Build]
	Env            []string            // further variables of the function, NAME=value
	Fault          Fault               // what goes wrong; the zero Fault is nothing
	OnEvent        func(sandbox.Event) // gets the events, one at a time, until Proofs or Close; may be nil
	FunctionOutput io.Writer           // gets what the function prints; may be nil
	Values         func(values map[string]any)

	// Plane is a control plane that runs already, and is its owner's to close; nil: the World starts one of its own. In one that
	// worlds share each has a Namespace and a FunctionUser of its own; empty: the constants.
	Plane                   *controlplane.ControlPlane
	Namespace, FunctionUser string

	Pipeline   time.Duration // how long the one goes on that runs when the runner is paused; 0: as usual
	StartDelay time.Duration // how long a pod takes to start; 0: as usual

	// Wrap gets the handler of each service, from Maia and Kubernetes (the function's way to it, not an administrator's), and
	// returns the one that is served in its place, which sees all requests; may be nil.
	Wrap func(sandbox.Source, http.Handler) http.Handler
}

// World is one runner with everything around it.
type World struct {
	sandbox.Stage[*World]
	Function *Function
	Plane    *controlplane.ControlPlane
	Clients  *kubernetes.Clientset // an administrator's

	ctx       context.Context
	end       context.CancelFunc
	options   Options
	namespace string
	pods      *pods
	proxy     *proxy
	helm      *action.Configuration
	further   []*Function // other instances
	values    string      // at the beginning, without the secret
	others    string      // all that a rotation must not change, at the beginning
	dir       string

	kubeconfig string // path: that of the function's user

	working sync.WaitGroup

	mu     sync.Mutex
	wanted int // replicas
}

// New starts everything. The runner is connected and runs a pipeline when New returns.
func New(ctx context.Context, options Options) (*World, error) {
	options.Namespace, options.FunctionUser = cmp.Or(options.Namespace, Namespace), cmp.Or(options.FunctionUser, FunctionUser)
	w := &World{options: options, namespace: options.Namespace, wanted: Replicas}
	w.ctx, w.end = context.WithCancel(ctx)
	if err := w.start(w.ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return w, nil
}

func (w *World) start(ctx context.Context) (err error) {
	if w.dir, err = os.MkdirTemp("", "maia-rotate-"); err != nil {
		return err
	}
	if err := w.Open(ctx, w.options.Fault, w.options.Pipeline, w.options.OnEvent, w.options.Wrap); err != nil {
		return err
	}
	w.pods = &pods{namespace: w.namespace, maia: w.Maia, journal: &w.Journal, here: map[string]*maiatest.Instance{}}
	if w.Plane = w.options.Plane; w.Plane == nil {
		if w.Plane, err = controlplane.Start(ctx, w.options.ControlPlane); err != nil {
			return err
		}
	}
	if w.Clients, err = kubernetes.NewForConfig(w.Plane.Admin()); err != nil {
		return err
	}
	w.helm = w.operatorsHelm()
	if err := w.install(ctx); err != nil {
		return err
	}
	if err := w.admit(ctx); err != nil {
		return err
	}
	w.Function = w.newFunction()
	if w.others, err = w.untouched(ctx); err != nil {
		return err
	}
	if err := w.watch(ctx); err != nil {
		return err
	}
	return w.Ready(ctx, w)
}

// newFunction is an instance of the function, which is not started.
func (w *World) newFunction() *Function {
	f := &Function{binary: w.options.Binary, env: slices.Concat(w.Maia.Endpoints(), []string{
		"KUBECONFIG=" + w.kubeconfig,
		"MAIA_HELM_RELEASES=namespaces/" + w.namespace + "/releases/" + Release,
		"MAIA_AGENT_IDS=" + sandbox.AgentID,
		"MAIA_CLIENT_ID=" + w.Maia.APIClient,
		"MAIA_CLIENT_SECRET=" + w.Maia.APISecret,
		"MAIA_ROTATE_CONNECT_TIMEOUT=1m", // so that a runner that stays away shows soon
	}, w.Fault.Env, w.options.Env)}
	f.output.Also = w.options.FunctionOutput
	return f
}

// Another is another instance of the function, which is not started.
func (w *World) Another() *Function {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.further = append(w.further, w.newFunction())
	return w.further[len(w.further)-1]
}

// instances are all of the function.
func (w *World) instances() []*Function {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Function == nil {
		return nil
	}
	return append([]*Function{w.Function}, w.further...)
}

// Output is all that the function has printed, in all its instances.
func (w *World) Output() (text []byte) {
	for _, one := range w.instances() {
		text = append(text, one.Output()...)
	}
	return text
}

func (w *World) endFunction() {
	for _, one := range w.instances() {
		one.Kill()
	}
}

// admit makes the function's user, grants him the shipped Role, and writes his kubeconfig.
func (w *World) admit(ctx context.Context) error {
	user, _, err := w.Plane.AddUser(ctx, w.options.FunctionUser)
	if err != nil {
		return err
	}
	role := strings.NewReplacer("RUNNER_NAMESPACE", w.namespace, "FUNCTION_SERVICE_ACCOUNT",
		w.options.FunctionUser).Replace(string(gcpdeploy.RBAC))
	if err := controlplane.ApplyYAML(ctx, w.Plane.Admin(), []byte(role)); err != nil {
		return err
	}
	if err := controlplane.AwaitAllowed(ctx, user, w.namespace, "patch", "apps", "deployments"); err != nil {
		return err
	}
	if w.proxy, err = newProxy(user); err != nil {
		return err
	}
	url, err := w.Serve(ctx, sandbox.FromKubernetes, w.proxy)
	if err != nil {
		return err
	}
	w.kubeconfig = filepath.Join(w.dir, "kubeconfig")
	return clientcmd.WriteToFile(api.Config{
		Clusters:       map[string]*api.Cluster{"sandbox": {Server: url}}, // whoever asks there is the function's user
		Contexts:       map[string]*api.Context{"sandbox": {Cluster: "sandbox"}},
		CurrentContext: "sandbox",
	}, w.kubeconfig)
}

// install installs the runner as an operator does, and waits until it is connected.
func (w *World) install(ctx context.Context) error {
	loginURL, err := w.Servers.Serve(ctx, w.pods)
	if err != nil {
		return err
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace, Annotations: map[string]string{
		"runner.test/login-url": loginURL, "runner.test/start-delay": cmp.Or(w.options.StartDelay, startDelay).String(),
	}}}
	if _, err := w.Clients.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil {
		return err
	}
	chart, err := runnerchart.Load()
	if err != nil {
		return err
	}
	values := runnerchart.Values(sandbox.AgentID, sandbox.ClientID, w.Maia.LiveSecret(sandbox.AgentID))
	if w.options.Values != nil {
		w.options.Values(values)
	}
	if err := runnerchart.Install(ctx, w.Plane.Admin(), w.namespace, Release, chart, values); err != nil {
		return err
	}
	if err := w.addOtherSecret(ctx); err != nil {
		return err
	}
	if err := w.scale(ctx, Replicas); err != nil {
		return err
	}
	if w.values, err = w.otherValues(); err != nil {
		return err
	}
	return w.settle(ctx)
}

// settle waits until all pods that there are to be run and are connected.
func (w *World) settle(ctx context.Context) error {
	if err := controlplane.Settle(ctx, w.Plane.Admin(), w.namespace); err != nil {
		return err
	}
	return w.await(ctx, "the runner's pods connect", func() (bool, error) {
		pods, err := w.livePods(ctx)
		return len(pods) == Replicas && w.pods.connected(names(pods)), err
	})
}

func (w *World) scale(ctx context.Context, replicas int) error {
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	_, err := w.Clients.AppsV1().Deployments(w.namespace).Patch(ctx, Deployment, types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
	return err
}

// Changed takes what there is now for what a rotation must not change, but that an autoscaler is to make it so many replicas.
func (w *World) Changed(ctx context.Context, replicas int) (err error) {
	w.mu.Lock()
	w.wanted = replicas
	w.mu.Unlock()
	w.others, err = w.untouched(ctx)
	return err
}

// replicas are the live ones.
func (w *World) replicas() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}

// annotate sets what the stand-in for a kubelet does, see the control plane.
func (w *World) annotate(ctx context.Context, name string, value any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{"runner.test/" + name: value}}})
	if err != nil {
		return err
	}
	_, err = w.Clients.CoreV1().Namespaces().Patch(ctx, w.namespace, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// operatorsHelm is the configuration of an administrator's Helm.
func (w *World) operatorsHelm() *action.Configuration {
	namespace := w.namespace
	flags := genericclioptions.NewConfigFlags(false).WithWrapConfigFn(func(*rest.Config) *rest.Config { return w.Plane.Admin() })
	flags.Namespace = &namespace
	configuration := new(action.Configuration)
	_ = configuration.Init(flags, namespace, "secret", func(string, ...any) {}) // fails for another driver only
	return configuration
}

const awaitTimeout = 3 * time.Minute

// await waits until something is so.
func (w *World) await(ctx context.Context, what string, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	for {
		if ok, err := is(); err != nil || ok {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waited until %s: %w", what, ctx.Err())
		}
	}
}

// Call calls the function as Cloud Scheduler does. That it answers with a failure, or does not, is no error.
func (w *World) Call(ctx context.Context) (status int, answer rotation.Answer) {
	return w.CallAt(ctx, w.Function)
}

// CallAt is Call for one of its instances.
func (w *World) CallAt(ctx context.Context, function *Function) (status int, answer rotation.Answer) {
	w.NewRun()
	w.Journal.Add(sandbox.FromSchedule, "call-started", "Cloud Scheduler calls the function …")
	return w.call(ctx, function)
}

func (w *World) call(ctx context.Context, function *Function) (status int, answer rotation.Answer) {
	began := time.Now()
	status, body, err := function.Call(ctx)
	w.Keep(body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		w.Journal.Fail(sandbox.FromSchedule, "call-failed", "the call gets no answer: %v", errors.Unwrap(err))
		return 0, answer
	}
	says := answer.Note
	if answer.Error != nil {
		says = answer.Error.Error()
	}
	for _, target := range answer.Targets {
		says += target.Text()
	}
	add := w.Journal.Add
	if status != 200 {
		add = w.Journal.Fail
	}
	add(sandbox.FromSchedule, "call-ended", "%d (%.1f s): %s", status, time.Since(began).Seconds(), says)
	return status, answer
}

// Close ends everything.
func (w *World) Close() {
	w.Journal.Stop()
	w.end()
	w.endFunction()
	w.leave()
	w.working.Wait()
	w.Stage.Close()
	_ = os.RemoveAll(w.dir)
}

// leave ends the control plane, or, in one that is shared, removes the namespace and waits for the runner's pods to end: else
// they would go on logging in, at whoever has the address by then.
func (w *World) leave() {
	switch {
	case w.Plane == nil:
	case w.options.Plane == nil:
		_ = w.Plane.Close()
	case w.Clients != nil:
		ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), leaveTimeout)
		defer cancel()
		err := w.Clients.CoreV1().Namespaces().Delete(ctx, w.namespace, metav1.DeleteOptions{})
		if err == nil {
			_ = w.await(ctx, "the pods end", func() (bool, error) { return w.pods.gone(), nil }) // their control plane ends soon, too
		}
	}
}

const leaveTimeout = time.Minute

// Requests are those that the function has sent to the API server.
func (w *World) Requests() []Request { return w.proxy.seen() }
