package aws

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
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
	Binary         string              // the compiled function, see [Build]
	Env            []string            // further variables of the function, NAME=value
	Fault          Fault               // what goes wrong; the zero Fault is nothing
	Attempts       int                 // how often Secrets Manager tries a rotation; 0: as often as it does
	OnEvent        func(sandbox.Event) // gets the events, one at a time, until Proofs or Close; may be nil
	FunctionOutput io.Writer           // gets what the function prints; may be nil

	pipeline, startDelay, rollDelay time.Duration // 0: the usual ones

	// OnInvoke is called before each invocation of the function with its event; what it returns, if anything, with how that
	// ended, before anybody else knows. May be nil.
	OnInvoke func(event []byte) (ended func(error))

	// Wrap gets the handler of each service, from Maia, Secrets Manager and ECS, and returns the one that is served in
	// its place, which sees all requests; may be nil.
	Wrap func(sandbox.Source, http.Handler) http.Handler
}

// World is one runner with everything around it. The services may be used and disturbed at any time; [World.Close] ends
// them.
type World struct {
	sandbox.Stage[*World]
	Secrets  *secretsmanager.Server
	ECS      *ecs.Server
	Function *lambda.Function

	SecretsURL, ECSURL string
	SecretARN          string // of the runner's secret
	Document           string // its first value
	credentialARN      string // of the secret with the credential of the Maia API

	ctx       context.Context // ends the function with the caller's
	options   Options
	fleet     *fleet
	client    *awssecrets.Client
	afterStep func(step string, err error) // called between two steps; nil is nothing

	mu        sync.Mutex
	untouched string          // all that a rotation must not change, at the beginning
	labels    labels          // as far as events show
	broken    map[string]bool // deployments that were seen to have failed
	sibling   bool            // there is another service of the runner
}

// New starts the services and the runner, which is connected and runs a pipeline when New returns. ctx bounds all that
// the world does.
func New(ctx context.Context, options Options) (*World, error) {
	w := &World{
		ctx:     ctx,
		options: options,
		broken:  map[string]bool{},
	}
	if err := w.start(ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	return w, nil
}

func (w *World) start(ctx context.Context) error {
	if err := w.Open(ctx, w.options.Fault, w.options.pipeline, w.options.OnEvent, w.options.Wrap); err != nil {
		return err
	}
	w.fleet = &fleet{maia: w.Maia, journal: &w.Journal, tasks: map[string]*task{}}
	w.Secrets = secretsmanager.New(secretsmanager.Options{Region: awsRegion, Invoke: w.invoke,
		Attempts: cmp.Or(w.Fault.Attempts, w.options.Attempts), RetryDelay: retryDelay})
	w.ECS = ecs.New(ecs.Options{
		Region: awsRegion, StartDelay: cmp.Or(w.options.startDelay, startDelay), RollDelay: cmp.Or(w.options.rollDelay, rollDelay),
		SecretValue: w.Secrets.Value, StartTask: w.fleet.start, StopTask: w.fleet.stop,
	})
	var err error
	if w.SecretsURL, err = w.Serve(ctx, sandbox.FromSecretsManager, w.Secrets); err != nil {
		return err
	}
	if w.ECSURL, err = w.Serve(ctx, sandbox.FromECS, w.ECS); err != nil {
		return err
	}

	w.Document = document(w.Maia.LiveSecret(sandbox.AgentID))
	w.SecretARN = w.Secrets.AddSecret(SecretName, w.Document)
	w.credentialARN = w.Secrets.AddSecret("maia-api-credential", fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, w.Maia.APIClient,
		w.Maia.APISecret))
	w.labels = labelsOf(w.Secrets.Versions(w.SecretARN))

	w.ECS.AddCluster(Cluster)
	w.ECS.RegisterTaskDefinition(Service, container(w.SecretARN))
	w.createService(Service)
	w.Function = lambda.New(lambda.Options{
		Binary: w.options.Binary, FunctionARN: functionARN, Timeout: functionTimeout, Output: w.options.FunctionOutput,
		Env: slices.Concat(w.Maia.Endpoints(), []string{
			"AWS_ENDPOINT_URL_SECRETS_MANAGER=" + w.SecretsURL,
			"AWS_ENDPOINT_URL_ECS=" + w.ECSURL,
			"MAIA_CREDENTIALS_SECRET_ARN=" + w.credentialARN,
			"MAIA_ECS_CLUSTERS=" + Cluster,
			"MAIA_AGENT_IDS=" + sandbox.AgentID,
			"MAIA_ROTATE_CONNECT_TIMEOUT=1m", // so that a runner that stays away shows soon
		}, w.Fault.Env, w.options.Env),
	})
	w.client = awssecrets.New(awssecrets.Options{
		Region: awsRegion, BaseEndpoint: &w.SecretsURL,
		Credentials: credentials.NewStaticCredentialsProvider("sandbox", "sandbox", ""),
	})
	w.untouched = w.others()
	w.watch()
	return w.Ready(ctx, w)
}

// Close ends the function's processes and all services.
func (w *World) Close() {
	w.Journal.Stop()
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
	w.Stage.Close()
}

// Back reports whether the store holds what Maia holds, and as many tasks as are wanted are connected. Older ones may run on for long.
func (w *World) Back() bool { return w.storeIsMaia() && w.connected() }

// connected reports whether as many tasks as are wanted have their connection.
func (w *World) connected() bool {
	connected := w.fleet.connected()
	return connected > 0 && connected >= w.wanted()
}

// wanted is how many tasks there are to be.
func (w *World) wanted() int {
	wanted := w.ECS.Service(Cluster, Service).Desired
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sibling {
		wanted++
	}
	return wanted
}

// AddSibling adds another service of the runner's task definition, with a task.
func (w *World) AddSibling() {
	w.mu.Lock()
	w.sibling = true
	w.mu.Unlock()
	w.createService(Service + "-b")
}

func (w *World) createService(name string) {
	w.ECS.CreateService(ecs.ServiceSpec{
		Cluster: Cluster, Name: name, TaskDefinition: Service, DesiredCount: 1, CircuitBreaker: true, Rollback: true,
	})
}

// Output is everything that the function has printed so far.
func (w *World) Output() []byte { return w.Function.Output() }

// Started is how many tasks have ever started.
func (w *World) Started() int { return w.fleet.count() }
