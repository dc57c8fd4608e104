package rotation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// Result is the answer to an action: an entry for each secret, in the order of their ARNs.
type Result struct {
	Action  string         `json:"action"`
	Secrets []SecretResult `json:"secrets"`
}

// SecretResult is what an action came to for one secret. It holds no secret.
type SecretResult struct {
	Secret   string         `json:"secret"` // its ARN
	Services []string       `json:"services,omitempty"`
	Report   *rotate.Report `json:"report,omitempty"` // nil if its runner was not found
	Error    string         `json:"error,omitempty"`  // what is in the way, in which state the runner is, and what to do

	err error
}

// atOnce is how many secrets an action works on at a time: each that waits for its runner reads Maia once a second, of
// the 1,000 requests a minute that an account has.
const atOnce = 8

// act takes an action. That of a plan which finds something in the way is its answer; a healing run that fails for one
// secret goes on with the others and then fails.
func (h *Handler) act(ctx context.Context, event event, log *slog.Logger) ([]byte, error) {
	secrets, err := h.served(ctx, event)
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		log.WarnContext(ctx, "no secret names this function as its rotation function: nothing to do")
	}
	services, err := ecs.ReadServices(ctx, h.ecs, h.config.places())
	if err != nil {
		return nil, err
	}
	do := h.plan
	if event.Action == actionHeal {
		onlyKnown := h.agentUnknown(services, secrets)
		do = func(ctx context.Context, services *ecs.Services, arn string, log *slog.Logger) SecretResult {
			return h.heal(ctx, services, arn, onlyKnown, log)
		}
	}
	result := Result{Action: event.Action, Secrets: make([]SecretResult, len(secrets))}
	free := make(chan struct{}, atOnce)
	var working sync.WaitGroup
	for i, arn := range secrets {
		free <- struct{}{} // here, so that there are no more goroutines than have something to do
		working.Go(func() {
			defer func() { <-free }()
			result.Secrets[i] = do(ctx, services, arn, log.With("secret", arn))
		})
	}
	working.Wait()
	if err := result.failure(); err != nil && event.Action == actionHeal {
		return nil, err
	}
	return json.Marshal(result)
}

// failure is the first error, and how many there were.
func (r Result) failure() error {
	var first error
	failed := 0
	for _, secret := range r.Secrets {
		if secret.err == nil {
			continue
		}
		if failed++; first == nil {
			first = fmt.Errorf("secret %s: %w", secret.Secret, secret.err)
		}
	}
	if failed > 1 {
		return fmt.Errorf("%d of %d secrets failed, see the log; the first was %w", failed, len(r.Secrets), first)
	}
	return first
}

// served lists the ARNs of the secrets that an action is about.
func (h *Handler) served(ctx context.Context, event event) ([]string, error) {
	if event.Secret != "" {
		return []string{event.Secret}, h.config.serves(event.Secret)
	}
	if len(h.config.Secrets) > 0 {
		return slices.Compact(slices.Sorted(slices.Values(h.config.Secrets))), nil
	}
	called, ok := lambdacontext.FromContext(ctx)
	if !ok || called.InvokedFunctionArn == "" {
		return nil, settings.Errorf("the event names no secret, %s is not set, and the ARN of this function is not known", envSecrets)
	}
	var found []string
	pages := secretsmanager.NewListSecretsPaginator(h.secrets, &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, ecs.Failure("ListSecrets", "*", err)
		}
		for _, secret := range page.SecretList {
			if unqualified(aws.ToString(secret.RotationLambdaARN)) == unqualified(called.InvokedFunctionArn) {
				found = append(found, aws.ToString(secret.ARN))
			}
		}
	}
	slices.Sort(found)
	return found, nil
}

// unqualified is the ARN of a function without its version or alias.
func unqualified(functionARN string) string {
	parts := strings.Split(functionARN, ":")
	return strings.Join(parts[:min(len(parts), 7)], ":")
}

// agentUnknown reports whether it cannot be told, of one of the secrets that the function serves, whose it is. Another that names
// the same agent may be the wrong one then: nothing is adopted into one that has no note.
func (h *Handler) agentUnknown(services *ecs.Services, secrets []string) bool {
	if len(h.config.Secrets) > 0 {
		secrets = h.config.Secrets
	}
	return slices.ContainsFunc(secrets, func(arn string) bool {
		_, err := services.Runner(h.secrets, h.config.of(arn))
		return err != nil
	})
}

// heal finishes or mends what an earlier run, a person or a tool has left of one runner. It never refreshes.
func (h *Handler) heal(ctx context.Context, services *ecs.Services, arn string, onlyKnown bool, log *slog.Logger) (result SecretResult) {
	result.Secret = arn
	defer func() { result.close(ctx, recover(), log) }()
	runner, rotator, err := h.wire(ctx, services, h.config.of(arn), log)
	if err != nil {
		result.err = err
		return result
	}
	rotator.Policy.OnlyKnown = onlyKnown
	report, err := rotator.Run(ctx, runner, rotate.Heal)
	result.Services, result.Report, result.err = runner.Services(), &report, err
	if errors.Is(err, rotate.ErrStopped) {
		report.DownSince = nil // it is down because somebody wants it so
	}
	h.metrics.run(actionHeal, report)
	if since := runner.CurrentSince(); report.State != rotate.NotObserved && !since.IsZero() {
		if report.RotatedAt != nil {
			since = *report.RotatedAt
		}
		h.metrics.observed(report.AgentID, report.Connected, time.Since(since))
	}
	if report.Outcome != rotate.NoOp {
		logReport(ctx, rotator.Log, report)
	}
	if errors.Is(err, rotate.ErrStopped) {
		rotator.Log.WarnContext(ctx, "there is nothing to heal", "error", err)
		result.err = nil
	}
	if err == nil {
		cleared, err := runner.ClearDead(ctx)
		if cleared && err == nil {
			rotator.Log.WarnContext(ctx, "AWSPENDING was on a value that Maia does not accept, and is taken off: a rotation can begin again")
		}
		result.err = err
	}
	return result
}

// plan tells what a rotation of one runner would do now, and changes nothing.
func (h *Handler) plan(ctx context.Context, services *ecs.Services, arn string, log *slog.Logger) (result SecretResult) {
	result.Secret = arn
	defer func() { result.close(ctx, recover(), log) }()
	config := h.config.of(arn)
	config.Stage = true
	runner, rotator, err := h.wire(ctx, services, config, log)
	if err != nil {
		result.err = err
		return result
	}
	report, err := rotator.Plan(ctx, runner, rotate.Stage)
	result.Services, result.Report, result.err = runner.Services(), &report, err
	return result
}

// close puts the error into words.
func (r *SecretResult) close(ctx context.Context, panicked any, log *slog.Logger) {
	if panicked != nil {
		r.err = rotate.Errorf(rotate.Internal, "panic of type %T", panicked) // its value may hold anything
	}
	if r.err == nil {
		return
	}
	typed := rotate.AsError(r.err, rotate.NotObserved)
	r.Error = typed.Error()
	log.ErrorContext(ctx, "the action failed for this secret", "kind", typed.Kind, "state", typed.State, "error", r.Error)
}

// Plan is the action of that name for one secret, for a caller that is not Lambda.
func (h *Handler) Plan(ctx context.Context, arn string) (SecretResult, error) {
	if h.configErr != nil {
		return SecretResult{}, h.configErr
	}
	if err := checkSecretARN("the secret", arn); err != nil {
		return SecretResult{}, err
	}
	if err := h.config.serves(arn); err != nil {
		return SecretResult{}, err
	}
	if err := h.connect(ctx); err != nil {
		return SecretResult{}, err
	}
	services, err := ecs.ReadServices(ctx, h.ecs, h.config.places())
	if err != nil {
		return SecretResult{}, err
	}
	return h.plan(ctx, services, arn, h.log), nil
}
