// Package rotation is the function behind Secrets Manager's scheduled rotation: it reads the event and the environment,
// wires [ecs.Runner] and [rotate.Rotator], and answers.
//
// Secrets Manager invokes it once for each of the four steps. Only two of them act: createSecret drains, refreshes and
// stages the answer; finishSecret moves AWSCURRENT, restarts the services and waits until the runner is back. setSecret
// and testSecret confirm. Any error fails the step, and Secrets Manager retries the whole rotation with the same token.
//
//	lambda.Start(rotation.New(os.Environ(), rotation.LoadAWS, slog.Default(), os.Stdout))
package rotation

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// Handler answers invocations. Nothing but clients and their tokens outlives one.
type Handler struct {
	config    Config
	configErr error
	load      func(context.Context) (aws.Config, error)
	log       *slog.Logger
	metrics   metrics

	rotators function.Rotators

	mu      sync.Mutex
	secrets *secretsmanager.Client
	ecs     *awsecs.Client
}

// New reads the configuration from an environment in the form of os.Environ. Every invocation reports what is wrong with it, so that
// whoever starts a rotation sees it. load yields the configuration of the AWS clients, see [LoadAWS].
func New(environ []string, load func(context.Context) (aws.Config, error), log *slog.Logger, out io.Writer) *Handler {
	config, err := ParseConfig(environ)
	return &Handler{
		config: config, configErr: err, load: load, log: log, metrics: newMetrics(environ, out),
		rotators: function.Rotators{
			Shared: config.Shared, Place: settings.Place{Name: "task definition", Lacks: "has no MATILLION_REGION"}, UserAgent: userAgent,
		},
	}
}

// Invoke implements lambda.Handler, which gets the payload as it came: so one that is not JSON gets a clear error, too.
// Its error is a messages.InvokeResponse_Error whose type is the kind of the error, for example NotReadyError, and whose
// message says what happened, in which state the runner is, and what to do.
func (h *Handler) Invoke(ctx context.Context, payload []byte) (reply []byte, err error) {
	log := h.log
	defer func() {
		if err != nil {
			err = answer(ctx, log, err)
		}
	}()
	defer rotate.Recover(&err)
	if h.configErr != nil {
		return nil, h.configErr
	}
	event, err := parseEvent(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, function.Deadline(ctx, lambdaLimit))
	defer cancel()
	if err := h.connect(ctx); err != nil {
		return nil, err
	}
	if event.Action != "" {
		log = log.With("event", event.Action)
		return h.act(ctx, event, log)
	}
	log = log.With("secret", event.SecretID, "step", event.Step, "rotation", event.ClientRequestToken)
	invocation := &invocation{handler: h, event: event.SecretsManagerSecretRotationEvent, log: log}
	return []byte("null"), invocation.step(ctx)
}

// answer logs the error and gives it a stable type.
func answer(ctx context.Context, log *slog.Logger, err error) error {
	typed := function.LogFailure(ctx, log, "the invocation failed", err)
	name := map[rotate.Kind]string{
		rotate.Configuration:  "ConfigurationError",
		rotate.Permission:     "PermissionError",
		rotate.NotReady:       "NotReadyError",
		rotate.UnknownOutcome: "UnknownOutcomeError",
		rotate.Vendor:         "VendorError",
		rotate.Internal:       "InternalError",
	}[typed.Kind]
	if errors.Is(err, errAbandoned) {
		name = "RotationAbandoned"
	}
	return messages.InvokeResponse_Error{Type: name, Message: typed.Message()} // the type is the kind
}

// connect makes the AWS clients on the first invocation.
func (h *Handler) connect(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.secrets != nil {
		return nil
	}
	config, err := h.load(ctx)
	if err != nil {
		return rotate.Errorf(rotate.Configuration, "the AWS SDK cannot be configured: %w", err)
	}
	h.secrets, h.ecs = secretsmanager.NewFromConfig(config), awsecs.NewFromConfig(config)
	return nil
}

// wire finds the runner of a secret, and makes its rotator.
func (h *Handler) wire(
	ctx context.Context, services *ecs.Services, config ecs.Config, log *slog.Logger,
) (*ecs.Runner, *rotate.Rotator, error) {
	runner, err := services.Runner(h.secrets, config)
	if err != nil {
		return nil, nil, err
	}
	for _, left := range runner.LeftOut() {
		log.WarnContext(ctx, "a service is left out: it is not waited for, and not restarted", "service", left)
	}
	rotator, err := h.rotators.Of(runner, func() (maia.Credentials, error) { return h.apiCredentials(ctx) }, log)
	return runner, rotator, err
}

func (h *Handler) apiCredentials(ctx context.Context) (maia.Credentials, error) {
	arn := h.config.CredentialsSecretARN
	if arn == "" {
		return h.config.Credentials, nil
	}
	in := &secretsmanager.GetSecretValueInput{SecretId: &arn, VersionStage: aws.String("AWSCURRENT")}
	out, err := h.secrets.GetSecretValue(ctx, in)
	if err != nil {
		return maia.Credentials{}, rotate.Within("the Maia API credential", ecs.Failure("GetSecretValue", arn, err))
	}
	document, err := ecs.ParseDocument(aws.ToString(out.SecretString))
	if err != nil {
		return maia.Credentials{}, rotate.Within("the Maia API credential in "+arn, err)
	}
	return document.Credentials(), nil
}
