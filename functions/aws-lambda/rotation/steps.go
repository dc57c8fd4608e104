package rotation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// errAbandoned marks the error of a rotation that was given up because its staged value is no longer valid.
var errAbandoned = errors.New("rotation abandoned")

// invocation is one call of the function, for one step of a rotation.
type invocation struct {
	handler *Handler
	event   events.SecretsManagerSecretRotationEvent
	log     *slog.Logger

	runner  *ecs.Runner
	rotator *rotate.Rotator
}

// step carries out the event's step. The cases of the token, which every step checks first:
//
//  1. The token is not a version of the secret: an error.
//  2. It is AWSCURRENT: the rotation is over, but finishSecret still sees to the restart.
//  3. It is not AWSPENDING: an error. The rotation was abandoned.
//  4. Rotation is not enabled: an error, except in testSecret, which may come before rotation is enabled.
//  5. Its version has no value: createSecret makes one; testSecret is a configuration test.
//  6. Its version has the value that Maia holds: the step goes on.
//  7. Its version has another value: it can never be replaced. What Maia holds goes to AWSCURRENT under a fresh token,
//     the runner is restarted, and the rotation is abandoned.
func (i *invocation) step(ctx context.Context) error {
	if err := i.handler.config.serves(i.event.SecretID); err != nil {
		return err
	}
	described, err := i.describe(ctx)
	if err != nil {
		return err
	}
	stages := described.VersionIdsToStages[i.event.ClientRequestToken]
	current := slices.Contains(stages, "AWSCURRENT")
	if !current && !slices.Contains(stages, "AWSPENDING") {
		return i.notPending(described)
	}
	enabled := aws.ToBool(described.RotationEnabled)
	if !enabled && i.event.Step != stepTest {
		return errNotEnabled(i.event.SecretID)
	}
	if current && i.event.Step != stepFinish {
		i.log.InfoContext(ctx, "this version is AWSCURRENT already: nothing to do")
		return nil
	}
	switch i.event.Step {
	case stepCreate:
		return i.create(ctx)
	case stepSet:
		return i.confirm(ctx)
	case stepTest:
		return i.test(ctx, enabled)
	}
	return i.finish(ctx)
}

func (i *invocation) describe(ctx context.Context) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := i.handler.secrets.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &i.event.SecretID})
	if err != nil {
		return nil, ecs.Failure("DescribeSecret", i.event.SecretID, err)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(out.VersionIdsToStages)),
		func(stages []string) bool { return slices.Contains(stages, "AWSCURRENT") }) {
		return nil, ecs.NoValueError(i.event.SecretID)
	}
	if _, known := out.VersionIdsToStages[i.event.ClientRequestToken]; !known {
		return nil, settings.Errorf("the event's ClientRequestToken %s is not a version of secret %s, or not one any more: a value that "+
			"another writer puts ends a rotation", i.event.ClientRequestToken, i.event.SecretID).
			WithHint("if a rotation was under way the runner may be waiting for its secret: start another now with aws secretsmanager " +
				"rotate-secret, which finishes it")
	}
	return out, nil
}

// notPending is the error of an event whose version is not AWSPENDING: it names the one that is, and how to clear it.
func (i *invocation) notPending(described *secretsmanager.DescribeSecretOutput) error {
	for id, stages := range described.VersionIdsToStages {
		if slices.Contains(stages, "AWSPENDING") {
			return settings.Errorf("version %s of secret %s is not AWSPENDING, version %s is", i.event.ClientRequestToken, i.event.SecretID, id).
				WithHint("if no other rotation is under way, clear it: %s", clearPending(i.event.SecretID, id))
		}
	}
	return settings.Errorf("version %s of secret %s is not AWSPENDING, and none is", i.event.ClientRequestToken, i.event.SecretID).
		WithHint("nothing if the rotation was abandoned; else start one with aws secretsmanager rotate-secret")
}

// noValue is the error of a version that should have one by now.
func (i *invocation) noValue() error {
	return rotate.Errorf(rotate.NotReady, "AWSPENDING of secret %s is version %s, which has no value", i.event.SecretID,
		i.event.ClientRequestToken).
		WithHint("if this repeats, clear it: %s", clearPending(i.event.SecretID, i.event.ClientRequestToken))
}

func clearPending(secret, version string) string {
	return fmt.Sprintf("aws secretsmanager update-secret-version-stage --secret-id %s --version-stage AWSPENDING --remove-from-version-id %s",
		secret, version)
}

func errNotEnabled(arn string) error {
	return settings.Errorf("rotation is not enabled for secret %s", arn).WithHint("enable it with aws secretsmanager rotate-secret")
}

// create stages a new value as AWSPENDING: that of a refresh, or one that Maia holds already.
func (i *invocation) create(ctx context.Context) error {
	if err := i.discover(ctx, true, i.event.ClientRequestToken); err != nil {
		return err
	}
	platform, err := i.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if platform.Staged {
		return i.confirm(ctx)
	}
	return i.run(ctx, rotate.Stage)
}

// confirm checks that the pending value is what Maia holds. It also passes if Maia cannot be read: to stop would only lengthen
// the downtime.
func (i *invocation) confirm(ctx context.Context) error {
	if err := i.discover(ctx, false, i.event.ClientRequestToken); err != nil {
		return err
	}
	platform, err := i.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if platform.Pending.ClientSecret.IsZero() {
		return i.noValue()
	}
	return i.compare(ctx, platform)
}

// confirmTime is how long Maia may take to confirm: the runner is down in that time, and Maia may ask a client to wait for
// minutes.
const confirmTime = 10 * time.Second

// compare handles cases 6 and 7 of step.
func (i *invocation) compare(ctx context.Context, platform rotate.Platform) error {
	if platform.Pending.ClientID != platform.Stored.ClientID {
		return settings.Errorf("AWSPENDING of secret %s is for client %q, AWSCURRENT for %q", i.event.SecretID, platform.Pending.ClientID,
			platform.Stored.ClientID)
	}
	bounded, cancel := context.WithTimeout(ctx, confirmTime)
	defer cancel()
	read, err := i.rotator.Maia.Credentials(bounded, i.runner.AgentID())
	if err != nil {
		i.rotator.Log.WarnContext(ctx, "Maia could not be read; what is pending stands", rotate.LogError(rotate.AsError(err, rotate.OnlyStaged)))
		return nil
	}
	if platform.PendingStands(read) {
		i.rotator.Log.InfoContext(ctx, "what is pending is what Maia holds", "state", rotate.OnlyStaged)
		return nil
	}
	i.rotator.Log.WarnContext(ctx, "what is pending is not what Maia holds", "state", rotate.NotStored)
	return i.finish(ctx)
}

// test confirms the new value. If there is none, this is Secrets Manager's test of the configuration: everything that precedes a
// refresh is checked, and nothing is changed.
func (i *invocation) test(ctx context.Context, enabled bool) error {
	if err := i.discover(ctx, false, i.event.ClientRequestToken); err != nil {
		return err
	}
	platform, err := i.runner.Observe(ctx)
	if err != nil {
		return err
	}
	if !platform.Pending.ClientSecret.IsZero() && !platform.Pending.Equal(platform.Stored) {
		if !enabled {
			return errNotEnabled(i.event.SecretID)
		}
		return i.compare(ctx, platform)
	}
	i.log.InfoContext(ctx, "there is nothing new to test: this is a test of the configuration")
	if err := i.discover(ctx, true, ""); err != nil {
		return err
	}
	report, err := i.rotator.Plan(ctx, i.runner, rotate.Stage)
	if err != nil {
		return err
	}
	first := report.Steps[slices.IndexFunc(report.Steps, func(s rotate.StepReport) bool { return s.Kind != rotate.Check })]
	switch first.Kind {
	case rotate.Pause, rotate.AwaitDrained, rotate.Refresh, rotate.Done:
		return nil
	default:
		return rotate.Errorf(rotate.NotReady, "a rotation would first have to %s, because %s", first.Kind.Text(), first.Reason)
	}
}

// finish moves AWSCURRENT and brings the runner back.
func (i *invocation) finish(ctx context.Context) error {
	if err := i.discover(ctx, false, i.event.ClientRequestToken); err != nil {
		return err
	}
	if err := i.run(ctx, rotate.Finish); err != nil {
		return err
	}
	if i.runner.Promoted() {
		return nil
	}
	if !i.runner.HasValue() {
		return i.noValue()
	}
	if err := i.runner.Abandon(ctx); err != nil {
		return err
	}
	return &rotate.Error{
		Kind: rotate.NotReady, State: rotate.Back, Err: errAbandoned,
		What: "rotation abandoned, runner healed: another writer changed the secret while it rotated; what Maia holds is AWSCURRENT now",
		Hint: "nothing: the next rotation comes by its schedule",
	}
}

// run has the rotator do the work and publishes what came of it.
func (i *invocation) run(ctx context.Context, mode rotate.Mode) error {
	report, err := i.rotator.Run(ctx, i.runner, mode)
	i.handler.metrics.run(i.event.Step, report)
	logReport(ctx, i.rotator.Log, report)
	return err
}

func logReport(ctx context.Context, log *slog.Logger, report rotate.Report) {
	log.InfoContext(ctx, "report", report.Attributes()...)
}

// discover finds the runner of the secret, and makes its rotator: to stage under the token, or to finish the token's rotation.
func (i *invocation) discover(ctx context.Context, stage bool, token string) error {
	config := i.handler.config.of(i.event.SecretID)
	config.Stage, config.Token, config.RotationToken = stage, token, i.event.RotationToken
	services, err := ecs.ReadServices(ctx, i.handler.ecs, config)
	if err != nil {
		return err
	}
	i.runner, i.rotator, err = i.handler.wire(ctx, services, config, i.log)
	return err
}
