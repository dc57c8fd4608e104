package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	memory "github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxgcp "github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// onGCP is the function behind Cloud Scheduler, with a real Kubernetes API server, which all worlds share: each has a
// namespace and a function's user of its own.
type onGCP struct {
	binary string
	plane  *controlplane.ControlPlane
	worlds atomic.Int64
}

func (*onGCP) name() string { return "gcp" }

func (g *onGCP) build(ctx context.Context, dir string) (err error) {
	if g.binary, err = sandboxgcp.Build(ctx, dir); err != nil {
		return err
	}
	plane, err := controlplane.Build(ctx, nil)
	if err != nil {
		return err
	}
	g.plane, err = controlplane.Start(ctx, plane)
	return err
}

func (g *onGCP) close() {
	if g.plane != nil {
		_ = g.plane.Close() // nobody needs it any more
	}
}

// pairs implements cloud: each upgrade takes two seconds of a processor.
func (*onGCP) pairs() int { return 100 }

func (*onGCP) folded() []string {
	return []string{"renewals of the Lease, which come by the clock: stories inject faults into them"}
}

// withoutTimed leaves out the renewals of the Lease: they write what was written before.
func (*onGCP) withoutTimed(calls []call) []call {
	written := map[string]bool{}
	return slices.DeleteFunc(calls, func(c call) bool {
		renewal := written[c.name] && strings.HasPrefix(c.name, noteWrite)
		written[c.name] = true
		return renewal
	})
}

func (*onGCP) quirks() []named { return quirksOf(onKubernetes, controlplane.Quirks()) }

// faults implements cloud: as few as there are pairs.
func (*onGCP) faults() int { return 1 }

// noteWrite begins the names of the calls that write the Lease, but for those that give it back.
const noteWrite = "write Lease "

func kubernetesService() service {
	return service{source: sandbox.FromKubernetes, identify: identifyKubernetes, refuse: func(many bool, _ *http.Request) answer {
		status, reason, header := http.StatusServiceUnavailable, "ServiceUnavailable", http.Header{"Content-Type": {"application/json"}}
		if many {
			status, reason = http.StatusTooManyRequests, "TooManyRequests"
			header.Set("Retry-After", "1")
		}
		return answer{status, header, fmt.Appendf(nil, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",`+
			`"message":"refused","reason":%q,"details":{"retryAfterSeconds":1},"code":%d}`, reason, status)}
	}}
}

// ofRevision is the name of a Secret in which Helm keeps a revision.
var ofRevision = regexp.MustCompile(`^sh\.helm\.release\.v1\..+\.v([0-9]+)$`)

// identifyKubernetes names a request as a Role does, and its object by its part in the release, so that names are the same in
// each world. Questions about rights and kinds, and dry runs, count as reads.
func identifyKubernetes(request *http.Request, body []byte) identity {
	asked := sandboxgcp.RequestOf(request)
	switch {
	case asked.Resource == "" || asked.Resource == "openapi":
		return identity{name: "discover"}
	case asked.Resource == "selfsubjectaccessreviews":
		return identity{name: "ask for a right"}
	}
	id := identity{name: asked.Verb + " " + objectOf(asked), changes: asked.Changes()}
	switch {
	case asked.DryRun:
		id.name = "dry-run " + id.name
	case asked.Changes() && asked.Resource == "leases":
		id.name = noteOf(body)
	case asked.Verb == "patch" && asked.Resource == "deployments" && strings.Contains(string(body), "maia-rotate/secret"):
		id.name, id.begins = "restart Deployment", restarted
	}
	return id
}

// objectOf is what a request is about.
func objectOf(asked sandboxgcp.Request) string {
	revision := ofRevision.FindStringSubmatch(asked.Name)
	switch {
	case asked.Resource == "secrets" && asked.Verb == "create":
		return "revision" // only Helm makes some
	case asked.Resource == "secrets" && revision != nil:
		return "revision-" + revision[1]
	case asked.Resource == "secrets" && asked.Name == sandboxgcp.Secret:
		return "Secret"
	}
	return asked.Resource
}

// noteAnnotation is the Lease's that holds the note.
const noteAnnotation = "maia-rotate/note"

// noteOf names the write of a Lease by what its note holds: a renewal writes the same again.
func noteOf(body []byte) string {
	var lease coordinationv1.Lease
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &lease); err != nil {
		return noteWrite + "unknown"
	}
	if holder := lease.Spec.HolderIdentity; holder == nil || *holder == "" {
		return "give Lease back"
	}
	text, noted := lease.Annotations[noteAnnotation]
	if !noted {
		return noteWrite + "taken"
	}
	note, err := rotate.ParseNote([]byte(text))
	if err != nil {
		return noteWrite + "unknown"
	}
	var parts []string
	if note.Paused != nil {
		parts = append(parts, "paused")
		if note.Paused.Confirmed {
			parts = []string{"confirmed"}
		}
	}
	if note.Intent != nil {
		parts = append(parts, "intent")
	}
	if note.Ordered != nil {
		parts = append(parts, "ordered")
	}
	if note.LastRotation != nil {
		parts = append(parts, "rotated")
	}
	if note.Applied != "" {
		parts = append(parts, "applied")
	}
	if len(parts) == 0 {
		return noteWrite + "empty"
	}
	return noteWrite + strings.Join(parts, "-")
}

// gcpWorld is a world of the function on Google Cloud.
type gcpWorld struct {
	*sandboxgcp.World
	wire  *wire
	trace *trace
}

func (g *onGCP) open(ctx context.Context, s scenario, w *wire, trace *trace) (world, error) {
	number, in := g.worlds.Add(1), &cluster{}
	options := sandboxgcp.Options{
		Plane: g.plane, Binary: g.binary, OnEvent: trace.event,
		Namespace: fmt.Sprintf("world-%d", number), FunctionUser: fmt.Sprintf("world-%d@sandbox.iam.gserviceaccount.com", number),
		Env: []string{"MAIA_ROTATE_DRAIN_TIMEOUT=1m"},
		Wrap: func(source sandbox.Source, next http.Handler) http.Handler {
			if source == sandbox.FromMaia {
				return w.wrap(maiaService(), next)
			}
			in.next = next
			return w.wrap(kubernetesService(), in)
		},
	}
	options.StartDelay = start
	if s.long {
		options.Pipeline, options.StartDelay = longDrain, longStart
	}
	if s.operator {
		options.Fault, _ = sandboxgcp.Faults().Find("paused-by-operator")
	}
	opened, err := sandboxgcp.New(ctx, options)
	if err != nil {
		return nil, err
	}
	w.kill = opened.Function.Kill
	this := gcpWorld{opened, w, trace}
	if err := this.play(ctx, s, in); err != nil {
		this.Close()
		return nil, err
	}
	return this, nil
}

// cluster is the API server, with the stage that plays its quirks in front of it, if there is one.
type cluster struct {
	next  http.Handler
	plays atomic.Pointer[httputil.ReverseProxy]
}

func (c *cluster) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if plays := c.plays.Load(); plays != nil {
		plays.ServeHTTP(writer, request)
		return
	}
	c.next.ServeHTTP(writer, request)
}

// play has a stage play in front.
func (c *cluster) play(stage *controlplane.Stage) {
	c.plays.Store(&httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "cluster" },
		Transport:    stage.Wrap(memory.Transport(c.next)),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as the API server's own end
	})
}

// play has Maia and the cluster play the quirks of a scenario.
func (w gcpWorld) play(ctx context.Context, s scenario, in *cluster) error {
	names := s.namesFor(onKubernetes)
	if err := w.Maia.Play(s.namesFor(onMaia)...); err != nil || len(names) == 0 {
		return err
	}
	do := func(do func() error) {
		if err := do(); err != nil && ctx.Err() == nil {
			w.trace.breaks("the cluster cannot play a quirk: %v", err)
		}
	}
	subject := controlplane.Subject{Namespace: w.Namespace(), Release: sandboxgcp.Release, Deployment: sandboxgcp.Deployment,
		Secret: sandboxgcp.Secret}
	stage, err := controlplane.Play(w.Plane.Admin(), subject, do, func() {}, names...)
	if err != nil {
		return err
	}
	stage.Hasten(s.hurry(onKubernetes))
	replicas := sandboxgcp.Replicas
	if s.plays(onKubernetes, "scaled-at-the-refresh") && len(s.refusals()) == 0 { // else there is no upgrade
		replicas *= 2
	}
	if err := w.Changed(ctx, replicas); err != nil {
		return err
	}
	in.play(stage)
	return nil
}

const (
	// start is how long a pod takes to start: so long that each rotation is seen to wait for pods, on any machine.
	start = 1500 * time.Millisecond

	longDrain = 25 * time.Second
	longStart = 10 * time.Second // of each pod, one after the other
)

// claims are the outcomes which say that the runner is back. One that leaves the runner to another run does not.
var claims = map[rotate.Outcome]bool{rotate.Rotated: true, rotate.Healed: true, rotate.NoOp: true, fleet.NothingDue: true}

func (w gcpWorld) call(ctx context.Context) error { return w.callAt(ctx, w.Function) }

// callAt has Cloud Scheduler call once. An error means that the answer is not a success.
func (w gcpWorld) callAt(ctx context.Context, at *sandboxgcp.Function) error {
	status, answer := w.CallAt(ctx, at)
	if status != http.StatusOK {
		return fmt.Errorf("the call is answered with %d: %s", status, saysOf(answer))
	}
	for _, target := range answer.Targets {
		if claims[target.Outcome] {
			w.trace.succeeded("a call ("+target.Outcome.Text()+")", w)
		}
	}
	return ctx.Err()
}

// saysOf is why a call failed.
func saysOf(answer rotation.Answer) error {
	var all []error
	if answer.Error != nil {
		all = append(all, answer.Error)
	}
	for _, target := range answer.Targets {
		if target.Error != nil {
			all = append(all, target.Error)
		}
	}
	return errors.Join(all...)
}

const (
	schedulerTries = 4 // some more than Cloud Scheduler makes, and its next regular calls
	schedulerPause = time.Second
)

// rotate implements world. Cloud Scheduler repeats a call that fails.
func (w gcpWorld) rotate(ctx context.Context) error {
	w.wire.enter("")
	for range schedulerTries {
		if w.call(ctx) == nil {
			return nil
		}
		select {
		case <-time.After(schedulerPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

// heal implements world. There are no other calls than those that rotate too.
func (w gcpWorld) heal(ctx context.Context) error {
	w.wire.enter("heal")
	return w.call(ctx)
}

func (w gcpWorld) due(ctx context.Context) error { return w.rotate(ctx) }

func (w gcpWorld) back() bool { return w.Back(context.Background()) }

func (w gcpWorld) started() int { return w.Started() }

// restarts reads how many revisions the Deployment has had since its first.
func (w gcpWorld) restarts() int {
	d, err := w.Clients.AppsV1().Deployments(w.Namespace()).Get(context.Background(), sandboxgcp.Deployment, metav1.GetOptions{})
	if err != nil {
		return 0
	}
	revisions, _ := strconv.Atoi(d.Annotations["deployment.kubernetes.io/revision"]) // 0 before there is one
	return max(0, revisions-1)
}

func (w gcpWorld) unconfirmed() bool {
	leases, err := w.Clients.CoordinationV1().Leases(w.Namespace()).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return false
	}
	for _, lease := range leases.Items {
		note, err := rotate.ParseNote([]byte(lease.Annotations[noteAnnotation]))
		if err == nil && note.Paused != nil && !note.Paused.Confirmed {
			return true
		}
	}
	return false
}

func (w gcpWorld) maia() *sandbox.Maia { return w.Maia }

func (w gcpWorld) proofs() []sandbox.Proof { return w.Proofs() }

func (w gcpWorld) output() []byte { return w.Output() }

func (w gcpWorld) close() { w.Close() }
