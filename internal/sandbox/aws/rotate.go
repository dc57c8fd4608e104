package aws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// Rotate asks Secrets Manager to rotate the secret, as an operator does, and waits for the end of the rotation, retries
// included. If one is not complete, Secrets Manager says so and tries that one again.
func (w *World) Rotate(ctx context.Context) (secretsmanager.Event, error) {
	w.Journal.Add(sandbox.FromSecretsManager, "rotation-started", "rotation of %s begins", SecretName)
	input := &awssecrets.RotateSecretInput{SecretId: &w.SecretARN}
	if w.NewRun() == 1 {
		input.RotationLambdaARN = aws.String(functionARN)
		input.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}
	}
	var incomplete *types.InvalidRequestException
	if _, err := w.client.RotateSecret(ctx, input); err != nil && !(errors.As(err, &incomplete) &&
		strings.Contains(incomplete.ErrorMessage(), "will be reattempted")) {
		return secretsmanager.Event{}, fmt.Errorf("sandbox: %w", err)
	}
	end, err := w.Secrets.WaitRotation(ctx, w.SecretARN)
	if err != nil {
		return end, fmt.Errorf("sandbox: %w", err)
	}
	switch end.Name {
	case secretsmanager.RotationSucceeded:
		w.Journal.Add(sandbox.FromSecretsManager, "rotation-succeeded", "rotation succeeded (attempt %d)", end.Attempts)
	case secretsmanager.RotationAbandoned:
		w.Journal.Fail(sandbox.FromSecretsManager, "rotation-abandoned", "rotation abandoned")
	default:
		w.Journal.Fail(sandbox.FromSecretsManager, "rotation-failed", "rotation failed (attempt %d)", end.Attempts)
	}
	return end, nil
}

// Heal invokes the function as the healing schedule does.
func (w *World) Heal(ctx context.Context) error {
	_, err := w.Act(ctx, []byte(`{"action":"heal"}`))
	return err
}

// Invoke invokes the function with an event, whoever's it is.
func (w *World) Invoke(ctx context.Context, event []byte) error {
	_, err := w.Act(ctx, event)
	return err
}

// Act invokes the function with an action and returns its answer.
func (w *World) Act(ctx context.Context, event []byte) ([]byte, error) {
	w.Journal.Add(sandbox.FromSchedule, "action-started", "%s …", event)
	result, err := w.call(ctx, event)
	if err != nil {
		w.Journal.Fail(sandbox.FromSchedule, "action-failed", "it failed: %v", err)
		return nil, err
	}
	w.Journal.Add(sandbox.FromSchedule, "action-ended", "ok (%.1f s)", result.Duration.Seconds())
	return result.Payload, nil
}

// invoke is how Secrets Manager invokes the function.
func (w *World) invoke(ctx context.Context, _ string, payload []byte) error {
	var event struct{ Step string }
	if err := json.Unmarshal(payload, &event); err != nil {
		return err
	}
	w.Journal.Add(sandbox.FromSecretsManager, "step-started", "%s …", event.Step)
	result, err := w.call(ctx, payload)
	if err != nil {
		w.Journal.Fail(sandbox.FromSecretsManager, "step-failed", "%s failed: %v", event.Step, err)
	} else {
		w.Journal.Add(sandbox.FromSecretsManager, "step-ended", "%s ok (%.1f s)", event.Step, result.Duration.Seconds())
	}
	if w.afterStep != nil {
		w.afterStep(event.Step, err)
	}
	return err
}

// call invokes the function; a failure of the function's is an error.
func (w *World) call(ctx context.Context, payload []byte) (lambda.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	ended := func(error) {}
	if w.options.OnInvoke != nil {
		ended = w.options.OnInvoke(payload)
	}
	result, err := w.Function.Invoke(ctx, payload)
	w.Keep(result.Payload)
	if err == nil && result.FunctionError != "" {
		err = functionError(result.Payload)
	}
	ended(err)
	return result, err
}

func functionError(payload []byte) error {
	var reported struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &reported); err != nil {
		return errors.New("the function failed without saying why")
	}
	return fmt.Errorf("%s: %s", reported.Type, reported.Message)
}
