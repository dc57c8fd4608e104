package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/journal"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	awsRegion   = "eu-west-1"
	functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:maia-rotate"
)

// The paces of the world: those of the real services would be minutes.
const (
	startDelay      = 1200 * time.Millisecond // from a restart to the new task
	rollDelay       = 500 * time.Millisecond  // from the new task to the end of the old one
	retryDelay      = time.Second             // between two tries of a rotation
	functionTimeout = 15 * time.Minute
)

// Options are the settings of a World.
type Options struct {
	Binary         string      // the compiled function, see [Build]
	Env            []string    // further variables of the function, NAME=value
	Fault          Fault       // what goes wrong; the zero Fault is nothing
	Attempts       int         // how often Secrets Manager tries a rotation; 0: as often as it does
	OnEvent        func(Event) // gets the events, one at a time, until Proofs or Close; may be nil
	FunctionOutput io.Writer   // gets what the function prints; may be nil

	rollDelay time.Duration // 0: the usual one

	// Wrap gets the handler of each service, from Maia, Secrets Manager and ECS, and returns the one that is served in
	// its place, which sees all requests; may be nil.
	Wrap func(Source, http.Handler) http.Handler
}

// World is one runner with everything around it. The services may be used and disturbed at any time; [World.Close] ends
// them.
type World struct {
	Maia     *maiatest.Server
	Secrets  *secretsmanager.Server
	ECS      *ecs.Server
	Function *lambda.Function

	MaiaURL, SecretsURL, ECSURL string
	SecretARN                   string // of the runner's secret
	Document                    string // its first value

	ctx       context.Context // ends the function with the caller's
	options   Options
	journal   journal.Journal
	fleet     *fleet
	client    *awssecrets.Client
	maia      *maia.Client
	servers   []*http.Server
	serving   sync.WaitGroup
	afterStep func(step string, err error) // called between two steps; nil is nothing

	mu          sync.Mutex
	known       map[string]string // every secret there ever was → what it is
	agentStatus string            // as Maia said last
	refreshes   int               // carried out, as far as events tell
	labels      labels            // as far as events tell
	broken      map[string]bool   // deployments that were seen to have failed
	rotations   int               // started
	operators   time.Time         // until when an operator has paused the runner
	struck      bool              // the fault has happened
	proofs      []Proof           // of the fault
	answers     bytes.Buffer      // what the function answered, errors included
}

// New starts the services and the runner, which is connected and runs a pipeline when New returns. ctx bounds all that
// the world does.
func New(ctx context.Context, options Options) (*World, error) {
	w := &World{
		ctx:     ctx,
		options: options,
		known:   map[string]string{},
		broken:  map[string]bool{},
	}
	w.journal.Tell(options.OnEvent)
	if err := w.start(ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	w.journal.Start()
	return w, nil
}

func (w *World) start(ctx context.Context) error {
	apiClient, apiSecret := "maia-api-client", rand.Text()+rand.Text()
	w.learn(apiSecret, "the secret of the Maia API credential")
	w.Maia = maiatest.New(maiatest.WithAPICredential(apiClient, apiSecret))
	w.fleet = &fleet{maia: w.Maia, journal: &w.journal, tasks: map[string]*task{}}
	w.Secrets = secretsmanager.New(secretsmanager.Options{Region: awsRegion, Invoke: w.invoke, Attempts: cmp.Or(w.options.Fault.attempts, w.options.Attempts), RetryDelay: retryDelay})
	w.ECS = ecs.New(ecs.Options{
		Region: awsRegion, StartDelay: startDelay, RollDelay: cmp.Or(w.options.rollDelay, rollDelay),
		SecretValue: w.Secrets.Value, StartTask: w.fleet.start, StopTask: w.fleet.stop,
	})
	for _, service := range []struct {
		source  Source
		handler http.Handler
		url     *string
	}{{FromMaia, w.tap(w.Maia), &w.MaiaURL}, {FromSecretsManager, w.Secrets, &w.SecretsURL}, {FromECS, w.ECS, &w.ECSURL}} {
		handler := service.handler
		if w.options.Wrap != nil {
			handler = w.options.Wrap(service.source, handler)
		}
		url, err := w.serve(ctx, handler)
		if err != nil {
			return err
		}
		*service.url = url
	}

	pipeline := pipelineTime
	if w.options.Fault.endless {
		pipeline = 0
	}
	w.Maia.AddAgent(maiatest.AgentSpec{ID: AgentID, Name: "sandbox runner", ClientID: ClientID, TaskDuration: pipeline})
	w.Document = document(w.Maia.LiveSecret(AgentID))
	w.SecretARN = w.Secrets.AddSecret(SecretName, w.Document)
	credentialARN := w.Secrets.AddSecret("maia-api-credential", fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, apiClient, apiSecret))
	w.labels = labelsOf(w.Secrets.Versions(w.SecretARN))

	w.ECS.AddCluster(Cluster)
	definition := w.ECS.RegisterTaskDefinition(Service, container(w.SecretARN))
	w.ECS.CreateService(ecs.ServiceSpec{
		Cluster: Cluster, Name: Service, TaskDefinition: definition, DesiredCount: 1, CircuitBreaker: true, Rollback: true,
	})
	w.Function = lambda.New(lambda.Options{
		Binary: w.options.Binary, FunctionARN: functionARN, Timeout: functionTimeout, Output: w.options.FunctionOutput,
		Env: append(append([]string{
			"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + w.SecretsURL,
			"AWS_ENDPOINT_URL_ECS=" + w.ECSURL,
			"MAIA_API_URL=" + maiatest.APIURL(w.MaiaURL),
			"MAIA_TOKEN_URL=" + maiatest.TokenURL(w.MaiaURL),
			"MAIA_CREDENTIALS_SECRET_ARN=" + credentialARN,
			"MAIA_ECS_CLUSTERS=" + Cluster,
			"MAIA_AGENT_IDS=" + AgentID,
			"MAIA_ROTATE_CONNECT_TIMEOUT=1m", // so that a runner that stays away shows soon
		}, w.options.Fault.env...), w.options.Env...),
	})
	if err := w.connect(apiClient, apiSecret); err != nil {
		return err
	}
	w.watch()
	w.Maia.SetRunningTasks(AgentID, 1)
	if inject := w.options.Fault.inject; inject != nil {
		return inject(ctx, w)
	}
	return ctx.Err()
}

// connect makes the clients with which the world itself asks its services.
func (w *World) connect(apiClient, apiSecret string) (err error) {
	w.client = awssecrets.New(awssecrets.Options{
		Region: awsRegion, BaseEndpoint: &w.SecretsURL,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", ""),
	})
	w.maia, err = maia.New(maia.Config{
		APIURL: maiatest.APIURL(w.MaiaURL), TokenURL: maiatest.TokenURL(w.MaiaURL),
		ClientID: apiClient, ClientSecret: maia.NewSecret(apiSecret),
	})
	return err
}

// serve serves a handler on a port of loopback.
func (w *World) serve(ctx context.Context, handler http.Handler) (url string, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	w.servers = append(w.servers, server)
	w.serving.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String(), nil
}

// Close ends the function's processes and all services.
func (w *World) Close() {
	w.journal.Stop()
	// In this order: whoever calls another service ends before it.
	if w.Secrets != nil {
		w.Secrets.Close()
	}
	if w.Function != nil {
		w.Function.Close()
	}
	if w.ECS != nil {
		w.ECS.Close()
	}
	if w.Maia != nil {
		w.Maia.Close()
	}
	for _, server := range w.servers {
		_ = server.Close()
	}
	w.serving.Wait()
}

// Rotations is how many rotations were started.
func (w *World) Rotations() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rotations
}

// Dark is, for each time that a refresh cut the runner off, how long it took until it was connected again.
func (w *World) Dark() []time.Duration { return w.fleet.darkTimes() }

// learn remembers a secret, to find it where it must not be.
func (w *World) learn(secret, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[secret] = what
}
