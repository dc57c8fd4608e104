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

	"github.com/maia-rotate/maia-rotate/internal/function"
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
	Error    *rotate.Error  `json:"error,omitempty"`  // what is in the way

	err error // the same, until close
}

// atOnce is how many secrets an action works on at a time. Each that waits for its runner reads Maia once a second, and an account has
// 1,000 requests a minute.
const atOnce = 8

// act carries out an action. A plan that finds something in the way is an answer, not an error. Healing that fails for one secret
// goes on with the others, and fails in the end.
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
		free <- struct{}{} // here, so that no goroutine only waits
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
		if secret.Error == nil {
			continue
		}
		if failed++; first == nil {
			first = rotate.Within("secret "+secret.Secret, secret.Error)
		}
	}
	if failed > 1 {
		return rotate.Within(fmt.Sprintf("%d of %d secrets failed, see the log; the first", failed, len(r.Secrets)), first)
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

// agentUnknown reports whether the runner of one of the function's secrets cannot be found. Its agent may be one that another
// secret names too, so that nothing may be adopted into a secret that has no note.
func (h *Handler) agentUnknown(services *ecs.Services, secrets []string) bool {
	if len(h.config.Secrets) > 0 {
		secrets = h.config.Secrets
	}
	return slices.ContainsFunc(secrets, func(arn string) bool {
		runner, err := services.Runner(h.secrets, h.config.of(arn))
		return err != nil || function.Allow(h.config.AgentIDs, runner.AgentID()) != nil
	})
}

// heal finishes or repairs what an earlier run, an operator or a tool has left of one runner. It never refreshes.
func (h *Handler) heal(ctx context.Context, services *ecs.Services, arn string, onlyKnown bool, log *slog.Logger) (result SecretResult) {
	result.Secret = arn
	defer result.close(ctx, log)
	defer rotate.Recover(&result.err)
	runner, rotator, err := h.wire(ctx, services, h.config.of(arn), log)
	if err != nil {
		result.err = err
		return result
	}
	rotator.Policy.OnlyKnown = onlyKnown
	report, err := rotator.Run(ctx, runner, rotate.Heal)
	result.Services, result.Report, result.err = runner.Services(), &report, err
	if errors.Is(err, rotate.ErrStopped) {
		report.DownSince = nil // an operator wants it down
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
		rotator.Log.WarnContext(ctx, "there is nothing to heal", rotate.LogError(err))
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

// plan reports what a rotation of one runner would do now, and changes nothing.
func (h *Handler) plan(ctx context.Context, services *ecs.Services, arn string, log *slog.Logger) (result SecretResult) {
	result.Secret = arn
	defer result.close(ctx, log)
	defer rotate.Recover(&result.err)
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

// close makes the error part of the answer, and logs it.
func (r *SecretResult) close(ctx context.Context, log *slog.Logger) {
	if r.err != nil {
		r.Error = function.LogFailure(ctx, log, "the action failed for this secret", r.err)
	}
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
