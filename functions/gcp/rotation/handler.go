// Package rotation is the function that Cloud Scheduler calls: it reads the environment, finds the clusters, wires
// [helmrelease.Runner], [rotate.Rotator] and [fleet.Fleet], and answers.
//
// Every call heals what needs it and rotates what is due. So a call that is delivered twice finds nothing due.
package rotation

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
)

// Handler answers calls. Nothing but clients and their tokens outlives one.
type Handler struct {
	config    Config
	configErr error
	log       *slog.Logger
	google    func(context.Context) (*googleAPIs, error)

	working sync.Mutex // a call is at work
	atWork  atomic.Pointer[work]

	ending    chan struct{} // closed by End
	answering sync.RWMutex  // held for reading by each call until it is answered

	mu   sync.Mutex
	maia map[clientKey]*maia.Client
}

// clientKey tells clients of the Maia API apart: the credential may be rotated too.
type clientKey struct {
	region, clientID string
	secret           maia.Fingerprint
}

// New reads the configuration from an environment in the form of os.Environ. That it is wrong is told by every call.
func New(environ []string, out io.Writer) *Handler {
	config, err := ParseConfig(environ)
	return &Handler{config: config, configErr: err, log: NewLog(out), google: newGoogleAPIs, maia: map[clientKey]*maia.Client{}, ending: make(chan struct{})}
}

// End is for a process that the platform has asked to end (SIGTERM), and that it kills soon. A run that has refreshed nothing
// gives up and takes back what it has changed; one that has goes on until the restart is ordered, which nothing but its
// deadline ends. End returns when all calls are answered, and is called once: no other call is served after it.
func (h *Handler) End() {
	close(h.ending)
	h.answering.Lock()
}

// Answer is what a call is answered with, beside the results.
type Answer struct {
	fleet.Result
	Note  string        `json:"note,omitempty"`
	Error *rotate.Error `json:"error,omitempty"` // of a call that could not begin
}

// ServeHTTP implements http.Handler. It answers 200 with an [Answer], or 500 with one if any runner failed or is down, or 503 if another
// call is at work of which nobody may hear how it ends. It does not read the request's body, and goes on when its caller has gone.
func (h *Handler) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	h.answering.RLock()
	defer h.answering.RUnlock()
	ctx, cancel := bounded(request.Context())
	defer cancel()
	go func() {
		select {
		case <-h.ending:
			cancel()
		case <-ctx.Done():
		}
	}()
	project := ""
	if h.configErr == nil {
		project = h.config.Releases[0].Project()
	}
	log := withTrace(h.log, request, project)
	logCall(ctx, log, request)
	answer, status := Answer{}, http.StatusOK
	if h.working.TryLock() {
		h.atWork.Store(&work{began: time.Now(), caller: request.Context(), run: ctx, scheduled: scheduled(request)})
		answer = h.serve(ctx, log)
		h.atWork.Store(nil)
		h.working.Unlock()
		if answer.Error != nil || answer.Failed() {
			status = http.StatusInternalServerError
		}
	} else {
		answer, status = turnedAway(ctx, log, h.atWork.Load(), request)
	}
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(answer)     // to a caller who may have gone
	_ = http.NewResponseController(writer).Flush() // before End returns; a writer in tests may not know how
}

// bounded is a context that ends some time before the platform ends the process, so that the function can still say in
// which state the runners are; and not with its caller.
func bounded(caller context.Context) (context.Context, context.CancelFunc) {
	const otherwise = 30 * time.Minute // the longest that Cloud Scheduler waits
	deadline, ok := caller.Deadline()
	if !ok {
		deadline = time.Now().Add(otherwise)
	}
	return context.WithDeadline(context.WithoutCancel(caller), deadline.Add(-Margin(time.Until(deadline))))
}

// Margin is how long before its time-out a call ends its work.
func Margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/20) }

// serve does the work of one call.
func (h *Handler) serve(ctx context.Context, log *slog.Logger) (answer Answer) {
	defer func() {
		if panicked := recover(); panicked != nil {
			answer = refuse(ctx, log, rotate.Errorf(rotate.Internal, "panic of type %T", panicked)) // its value may hold anything
		}
	}()
	targets, err := h.targets(ctx, h.config.Releases, log)
	if err != nil {
		return refuse(ctx, log, err)
	}
	return Answer{Result: fleet.Fleet{Policy: h.config.Policy, Log: log}.Run(ctx, targets)}
}

// Plan says what a call would do for releases now, and changes nothing; for none it is all that are configured.
func (h *Handler) Plan(ctx context.Context, releases ...Release) (fleet.Result, error) {
	if len(releases) == 0 {
		releases = h.config.Releases
	}
	targets, err := h.targets(ctx, releases, h.log)
	if err != nil {
		return fleet.Result{}, err
	}
	return fleet.Fleet{Policy: h.config.Policy, Log: h.log}.Plan(ctx, targets), nil
}

func refuse(ctx context.Context, log *slog.Logger, err error) Answer {
	typed := rotate.AsError(err, rotate.NotObserved)
	log.ErrorContext(ctx, "the call failed", rotate.LogError(typed))
	return Answer{Error: typed}
}

// call is what the targets of one call share.
type call struct {
	handler    *Handler
	log        *slog.Logger
	google     func() (*googleAPIs, error)
	credential func() (maia.Credentials, error)

	mu       sync.Mutex
	clusters map[string]func() (*rest.Config, error)
}

// targets are the releases. The credential of the Maia API is read once for all, and so is each cluster.
func (h *Handler) targets(ctx context.Context, releases []Release, log *slog.Logger) ([]fleet.Target, error) {
	if h.configErr != nil {
		return nil, h.configErr
	}
	c := &call{handler: h, log: log, clusters: map[string]func() (*rest.Config, error){}}
	c.google = sync.OnceValues(func() (*googleAPIs, error) { return h.google(context.WithoutCancel(ctx)) })
	c.credential = sync.OnceValues(func() (maia.Credentials, error) { return c.readCredential(ctx) })
	targets := make([]fleet.Target, len(releases))
	for i, release := range releases {
		targets[i] = fleet.Target{Name: release.String(), Open: func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
			return c.open(ctx, release)
		}}
	}
	return targets, nil
}

func (c *call) readCredential(ctx context.Context) (maia.Credentials, error) {
	if c.handler.config.CredentialsSecret == "" {
		return c.handler.config.Credentials, nil
	}
	google, err := c.google()
	if err != nil {
		return maia.Credentials{}, err
	}
	return google.apiCredential(ctx, c.handler.config.CredentialsSecret)
}

const requestTimeout = 10 * time.Second // of one request to a cluster

// open finds the runner of a release and makes what works on it.
func (c *call) open(ctx context.Context, release Release) (fleet.Runner, *rotate.Rotator, error) {
	h := c.handler
	cluster, err := c.cluster(ctx, release.Cluster)
	if err != nil {
		return nil, nil, err
	}
	log := c.log.With("release", release.String())
	runner, err := helmrelease.Discover(ctx, helmrelease.Config{
		REST: cluster, Namespace: release.Namespace, Release: release.Name, SecretPath: h.config.SecretPath, AgentIDs: h.config.AgentIDs, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	credential, err := c.credential()
	if err != nil {
		return nil, nil, err
	}
	client, err := h.maiaClient(runner.Region(), credential)
	if err != nil {
		return nil, nil, err
	}
	return runner, &rotate.Rotator{Maia: client, Policy: h.config.Policy, Log: log.With("runner", runner.AgentID())}, nil
}

// cluster is a configuration of the release's own.
func (c *call) cluster(ctx context.Context, name string) (*rest.Config, error) {
	c.mu.Lock()
	find := c.clusters[name]
	if find == nil {
		find = sync.OnceValues(func() (*rest.Config, error) {
			if name == "" {
				return kubeconfig(c.handler.config.Kubeconfig)
			}
			google, err := c.google()
			if err != nil {
				return nil, err
			}
			return google.cluster(ctx, name)
		})
		c.clusters[name] = find
	}
	c.mu.Unlock()
	found, err := find()
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(found)
	config.Timeout, config.QPS, config.UserAgent = requestTimeout, -1, userAgent
	return config, nil
}

// maiaClient is the client for a runner's region, with the credential as it is now.
func (h *Handler) maiaClient(discovered string, credential maia.Credentials) (*maia.Client, error) {
	key := clientKey{discovered, credential.ClientID, credential.ClientSecret.Fingerprint()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if client := h.maia[key]; client != nil {
		return client, nil
	}
	client, err := h.config.Endpoints.Client(discovered, settings.Place{Name: "release (value dpcAgent.dpcAgent.env.matillionRegion)",
		Lacks: "names no region"}, credential, userAgent)
	if err == nil {
		h.maia[key] = client
	}
	return client, err
}
