package rotation

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// errAbandoned marks the error of a rotation that was given up, because what it had staged is not valid any more.
var errAbandoned = errors.New("rotation abandoned")

// rotation is one invocation for one step.
type rotation struct {
	handler *Handler
	event   events.SecretsManagerSecretRotationEvent
	log     *slog.Logger

	runner  *ecs.Runner
	rotator *rotate.Rotator
}

// step takes the event's step. The cases of the token, which every step checks first:
//
//  1. The token is not a version of the secret: an error.
//  2. It is AWSCURRENT: the rotation is over, except that finishSecret makes sure of the restart.
//  3. It is not AWSPENDING: an error. Someone abandoned the rotation.
//  4. Rotation is not enabled: an error, except that testSecret of a configuration test may come before.
//  5. Its version has no value: createSecret makes one; testSecret is a configuration test.
//  6. Its version has the value that Maia holds: the step goes on.
//  7. Its version has another value: it can never be replaced. What Maia holds goes to AWSCURRENT under a fresh token,
//     the runner is restarted, and the rotation is abandoned.
func (r *rotation) step(ctx context.Context) error {
	described, err := r.describe(ctx)
	if err != nil {
		return err
	}
	stages := described.VersionIdsToStages[r.event.ClientRequestToken]
	current := slices.Contains(stages, "AWSCURRENT")
	if !current && !slices.Contains(stages, "AWSPENDING") {
		return configError("version %s of secret %s is not AWSPENDING", r.event.ClientRequestToken, r.event.SecretID).
			WithTodo("nothing if the rotation was abandoned; else start one with aws secretsmanager rotate-secret")
	}
	enabled := aws.ToBool(described.RotationEnabled)
	if !enabled && r.event.Step != stepTest {
		return errNotEnabled(r.event.SecretID)
	}
	if current && r.event.Step != stepFinish {
		r.log.InfoContext(ctx, "this version is AWSCURRENT already: nothing to do")
		return nil
	}
	switch r.event.Step {
	case stepCreate:
		return r.create(ctx)
	case stepSet:
		return r.confirm(ctx)
	case stepTest:
		return r.test(ctx, enabled)
	}
	return r.finish(ctx)
}

func (r *rotation) describe(ctx context.Context) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := r.handler.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &r.event.SecretID})
	if err != nil {
		return nil, ecs.Failure("DescribeSecret", r.event.SecretID, err)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(out.VersionIdsToStages)), func(stages []string) bool { return slices.Contains(stages, "AWSCURRENT") }) {
		return nil, ecs.NoValueError(r.event.SecretID)
	}
	if _, known := out.VersionIdsToStages[r.event.ClientRequestToken]; !known {
		return nil, configError("the event's ClientRequestToken %s is not a version of secret %s", r.event.ClientRequestToken, r.event.SecretID).
			WithTodo("start rotations with aws secretsmanager rotate-secret, not by invoking the function")
	}
	return out, nil
}

func errNotEnabled(arn string) error {
	return configError("rotation is not enabled for secret %s", arn).WithTodo("enable it with aws secretsmanager rotate-secret")
}

// create brings a new value to AWSPENDING: a refresh of this rotation's, or one that Maia holds already.
func (r *rotation) create(ctx context.Context) error {
	if err := r.discover(ctx, ecs.Config{Stage: true, Token: r.event.ClientRequestToken}); err != nil {
		return err
	}
	home, err := r.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if home.Staged {
		return r.confirm(ctx)
	}
	return r.run(ctx, rotate.Stage)
}

// confirm makes sure that what is pending is what Maia holds. That Maia cannot be read is no reason to stop: it would
// only lengthen the dark.
func (r *rotation) confirm(ctx context.Context) error {
	if err := r.discover(ctx, ecs.Config{Token: r.event.ClientRequestToken}); err != nil {
		return err
	}
	home, err := r.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if home.Pending.ClientSecret.IsZero() {
		return rotate.Errorf(rotate.NotReady, "AWSPENDING of secret %s is version %s, which has no value", r.event.SecretID, r.event.ClientRequestToken).
			WithTodo("if this repeats, clear it: aws secretsmanager update-secret-version-stage --secret-id %s --version-stage AWSPENDING --remove-from-version-id %s",
				r.event.SecretID, r.event.ClientRequestToken)
	}
	return r.compare(ctx, home)
}

// compare handles cases 6 and 7 of step.
func (r *rotation) compare(ctx context.Context, home rotate.Home) error {
	if home.Pending.ClientID != home.Store.ClientID {
		return configError("AWSPENDING of secret %s is for client %q, AWSCURRENT for %q", r.event.SecretID, home.Pending.ClientID, home.Store.ClientID)
	}
	read, err := r.rotator.Maia.Credentials(ctx, r.runner.AgentID())
	if err != nil {
		r.rotator.Log.WarnContext(ctx, "Maia could not be read; what is pending stands", "error", err)
		return nil
	}
	valid, known := rotate.Observation{Home: home, Maia: read, Run: rotate.RunState{Mode: rotate.Finish}}.Valid()
	if !known || home.Pending.Equal(valid) {
		r.rotator.Log.InfoContext(ctx, "what is pending is what Maia holds")
		return nil
	}
	r.rotator.Log.WarnContext(ctx, "what is pending is not what Maia holds")
	return r.finish(ctx)
}

// test confirms; where there is no new value to confirm, it is Secrets Manager's test of the configuration: everything
// that precedes a refresh is checked, and nothing is changed.
func (r *rotation) test(ctx context.Context, enabled bool) error {
	if err := r.discover(ctx, ecs.Config{Token: r.event.ClientRequestToken}); err != nil {
		return err
	}
	home, err := r.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if !home.Pending.ClientSecret.IsZero() && !home.Pending.Equal(home.Store) {
		if !enabled {
			return errNotEnabled(r.event.SecretID)
		}
		return r.compare(ctx, home)
	}
	r.rotator.Log.InfoContext(ctx, "there is nothing new to test: this is a test of the configuration")
	if err := r.discover(ctx, ecs.Config{Stage: true}); err != nil {
		return err
	}
	r.rotator.Policy.DryRun = true
	report, err := r.rotator.Run(ctx, r.runner, rotate.Stage)
	if err != nil {
		return err
	}
	switch planned := report.Steps[len(report.Steps)-1]; planned.Kind {
	case rotate.Pause, rotate.AwaitDrained, rotate.Refresh:
		return nil
	default:
		return rotate.Errorf(rotate.NotReady, "a rotation would first have to %s, because %s", planned.Kind, planned.Reason)
	}
}

// finish moves AWSCURRENT and brings the runner back.
func (r *rotation) finish(ctx context.Context) error {
	if err := r.discover(ctx, ecs.Config{Token: r.event.ClientRequestToken}); err != nil {
		return err
	}
	if err := r.run(ctx, rotate.Finish); err != nil {
		return err
	}
	if r.runner.Promoted() {
		return nil
	}
	if err := r.runner.Abandon(ctx); err != nil {
		return err
	}
	return &rotate.Error{
		Kind: rotate.NotReady, State: rotate.Back, Err: errAbandoned,
		What: "rotation abandoned, runner healed: the secret was refreshed by somebody else while it rotated, and what Maia holds is AWSCURRENT now",
		Todo: "nothing: the next rotation comes by its schedule",
	}
}

// run has the rotator do the work and publishes what came of it.
func (r *rotation) run(ctx context.Context, mode rotate.Mode) error {
	report, err := r.rotator.Run(ctx, r.runner, mode)
	writeMetrics(r.handler.metrics, r.event.Step, report)
	attributes := []any{"outcome", report.Outcome, "state", report.State, "took", report.Took.String()}
	if report.Dark > 0 {
		attributes = append(attributes, "dark", report.Dark.String())
	}
	for _, step := range report.Steps {
		attributes = append(attributes, slog.String("took "+string(step.Kind), step.Took.String()))
	}
	r.rotator.Log.InfoContext(ctx, "report", attributes...)
	return err
}

// discover finds the runner of the secret and wires it.
func (r *rotation) discover(ctx context.Context, config ecs.Config) error {
	handler := r.handler
	config.SecretARN, config.RotationToken = r.event.SecretID, r.event.RotationToken
	config.Clusters, config.Services, config.AgentIDs = handler.config.Clusters, handler.config.Services, handler.config.AgentIDs
	runner, err := ecs.Discover(ctx, handler.secrets, handler.ecs, config)
	if err != nil {
		return err
	}
	client, err := handler.maiaClient(ctx, runner.Region())
	if err != nil {
		return err
	}
	r.runner = runner
	r.rotator = &rotate.Rotator{Maia: client, Policy: handler.config.Policy, Log: r.log.With("runner", runner.AgentID())}
	return nil
}
