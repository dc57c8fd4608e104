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

	"github.com/maia-rotate/maia-rotate/internal/function"
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

	rotators function.Rotators

	busy   function.Busy
	atWork atomic.Pointer[work]

	ending    chan struct{} // closed by End
	answering sync.RWMutex  // held for reading by each call until it is answered
}

// New reads the configuration from an environment in the form of os.Environ. Every call reports what is wrong with it.
func New(environ []string, out io.Writer) *Handler {
	config, err := ParseConfig(environ)
	return &Handler{
		config: config, configErr: err, log: NewLog(out), google: newGoogleAPIs, ending: make(chan struct{}),
		rotators: function.Rotators{
			Shared: config.Shared, UserAgent: userAgent,
			Place: settings.Place{Name: "release (value dpcAgent.dpcAgent.env.matillionRegion)", Lacks: "names no region"},
		},
	}
}

// End is for a process that the platform has asked to end (SIGTERM) and kills soon. A run that has refreshed nothing gives up and
// takes back what it has changed; one that has refreshed goes on until the restart is ordered, or until its deadline. End returns
// when all calls are answered, and is called once: no other call is served after it.
func (h *Handler) End() {
	close(h.ending)
	h.answering.Lock()
}

// Answer is what a call is answered with.
type Answer struct {
	fleet.Result
	Note  string        `json:"note,omitempty"`
	Error *rotate.Error `json:"error,omitempty"` // of a call that could not begin
}

// ServeHTTP implements http.Handler. It answers with an [Answer]: 200, or 500 if any runner failed or is down, or 503 if another call is
// at work whose caller may not be waiting any more. It does not read the request's body, and goes on when its caller has gone.
func (h *Handler) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	h.answering.RLock()
	defer h.answering.RUnlock()
	// The work goes on when the caller has gone, but not for longer than the call's time: the function must report in which state
	// the runners are.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(request.Context()), function.Deadline(request.Context(), longestAttempt))
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
	began, err := h.busy.Do(func() (err error) {
		h.atWork.Store(&work{began: time.Now(), caller: request.Context(), run: ctx, scheduled: scheduled(request)})
		defer h.atWork.Store(nil)
		answer.Result, err = h.work(ctx, log)
		return err
	})
	switch {
	case !began:
		answer, status = turnedAway(ctx, log, h.atWork.Load(), request)
	case err != nil:
		answer, status = refuse(ctx, log, err), http.StatusInternalServerError
	case answer.Failed():
		status = http.StatusInternalServerError
	}
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(answer)     // the caller may have gone
	_ = http.NewResponseController(writer).Flush() // before End returns; a test's writer may not be able to
}

func (h *Handler) work(ctx context.Context, log *slog.Logger) (fleet.Result, error) {
	targets, err := h.targets(ctx, h.config.Releases, log)
	if err != nil {
		return fleet.Result{}, err
	}
	return h.fleet(log).Run(ctx, targets), nil
}

// Plan says what a call would do now for these releases, or, if there are none, for all that are configured. It changes nothing.
func (h *Handler) Plan(ctx context.Context, releases ...Release) (fleet.Result, error) {
	if len(releases) == 0 {
		releases = h.config.Releases
	}
	targets, err := h.targets(ctx, releases, h.log)
	if err != nil {
		return fleet.Result{}, err
	}
	return h.fleet(h.log).Plan(ctx, targets), nil
}

func refuse(ctx context.Context, log *slog.Logger, err error) Answer {
	return Answer{Error: function.LogFailure(ctx, log, "the call failed", err)}
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

// targets are the releases. The credential of the Maia API is read once for all of them, and so is each cluster.
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

// open finds the runner of a release, and makes its rotator.
func (c *call) open(ctx context.Context, release Release) (fleet.Runner, *rotate.Rotator, error) {
	h := c.handler
	cluster, err := c.cluster(ctx, release.Cluster)
	if err != nil {
		return nil, nil, err
	}
	log := c.log.With("release", release.String())
	runner, err := helmrelease.Discover(ctx, helmrelease.Config{
		REST: cluster, Namespace: release.Namespace, Release: release.Name, SecretPath: h.config.SecretPath, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	rotator, err := h.rotators.Of(runner, c.credential, log)
	return runner, rotator, err
}

// cluster is a copy of the cluster's configuration, for one release.
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

// fleet is the runners' as the configuration has it.
func (h *Handler) fleet(log *slog.Logger) fleet.Fleet {
	return fleet.Fleet{Policy: h.config.Policy, Log: log, First: h.config.Schedule.First, Soak: h.config.Schedule.Soak}
}

// Wish changes what operators have asked for of the runners with these agent IDs; of all that are served, if there are none.
func (h *Handler) Wish(ctx context.Context, agentIDs []string, change func(*rotate.Wishes)) (fleet.Result, error) {
	targets, err := h.targets(ctx, h.config.Releases, h.log)
	if err != nil {
		return fleet.Result{}, err
	}
	return h.fleet(h.log).Wish(ctx, targets, agentIDs, change)
}
