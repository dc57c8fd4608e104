package aws

import (
	"context"
	"errors"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// checkServices finds the runner as the function does, and checks its services and the note on the secret.
func (r *run) checkServices(ctx context.Context) error {
	const check = "services"
	switch {
	case r.function == nil:
		return nil
	case r.environment == nil:
		r.report.Skip("the function's configuration is not known", check, "note")
		return nil
	}
	config := ecs.Config{SecretARN: r.arn, Clusters: r.environment.Clusters, Services: r.environment.Services}
	runner, err := ecs.Discover(ctx, r.secrets, r.ecs, config)
	if err == nil {
		err = function.Allow(r.environment.AgentIDs, runner.AgentID())
	}
	if err != nil {
		r.report.Skip("the runner was not found", "note")
		return r.refused(check, err)
	}
	r.runner = runner
	if r.current == nil || r.current.document == nil {
		r.report.OK(check, "%s", r.served())
		r.report.Skip("the secret could not be read", "the state of the services", "note")
		return nil
	}
	platform, err := runner.Observe(ctx)
	if err != nil {
		r.report.Skip("the runner could not be observed", "note")
		return r.refused(check, err)
	}
	r.platform = &platform
	r.judgeInstances(platform.Instances)
	r.judgeServices()
	r.judgeNote(platform.Note)
	return nil
}

// served names what was found, for a person.
func (r *run) served() string {
	return strings.Join(r.runner.Services(), ", ") + " of agent " + r.runner.AgentID()
}

// refused reports an error of the function's code. If the operator may not make a call, that says nothing about the function.
func (r *run) refused(check string, err error) error {
	typed := words(err)
	switch {
	case code(err) == "" && !errors.As(err, new(*rotate.Error)), code(err) != "" && fatal(err):
		return err
	case denied(err):
		r.report.Warn(check, "check with credentials that allow it", "could not be tested: your credentials are not enough: %s", typed.What)
	case typed.Kind == rotate.Configuration:
		r.report.Problem(check, typed.Hint, "%s", typed.What)
	default:
		r.report.Warn(check, typed.Hint, "could not be tested: %s", typed.What)
	}
	return nil
}

func (r *run) judgeInstances(instances rotate.Instances) {
	const check = "services"
	switch instances.State {
	case rotate.Stopped:
		r.report.Problem(check, "scale it up: until then a rotation is refused, and so it fails", "scaled to zero: %s", instances.Detail)
	case rotate.Failed:
		r.report.Problem(check, "check the instances' logs, and correct the deployment: nothing is refreshed while it has failed",
			"the deployment has failed: %s", instances.Detail)
	case rotate.Failing:
		r.report.Problem(check, "check the tasks' logs, and correct the deployment: nothing is refreshed until it is steady",
			"the tasks of the deployment fail: %s", instances.Detail)
	case rotate.Short:
		r.report.Warn(check,
			"nothing if tasks are starting or ending; else check the service's events: nothing is refreshed until it is steady",
			"not all tasks run, or old ones have not ended: %s", instances.Detail)
	case rotate.Rolling:
		r.report.Warn(check, "nothing: a rotation waits for it, or is tried again", "a deployment is under way: %s", instances.Detail)
	default:
		r.report.OK(check, "%s, steady", r.served())
	}
}

// judgeServices judges what a restart would meet.
func (r *run) judgeServices() {
	const check = "services"
	for _, left := range r.runner.LeftOut() {
		r.report.Warn(check, "nothing if it is being deleted; take it out of the function's configuration then",
			"%s: it is left out, and not restarted", left)
	}
	if err := r.runner.CanMove(); err != nil {
		typed := words(err)
		r.report.Problem(check, typed.Hint, "%s", typed.What)
	}
}

// judgeNote reports what earlier runs have left behind.
func (r *run) judgeNote(note rotate.Note) {
	const check = "note"
	heal := "nothing if a rotation is under way; if none is, the next healing event goes on from here, or this one:\n" + r.heal()
	clean := true
	warn := func(format string, args ...any) {
		clean = false
		r.report.Warn(check, heal, format, args...)
	}
	if intent := note.Intent; intent != nil {
		warn("a refresh was about to be sent at %s, and what became of it is not noted", minute(intent.At))
	}
	if paused := note.Paused; paused != nil {
		text := "the function paused the runner at " + minute(paused.At)
		if !paused.Until.IsZero() {
			text += ", until " + minute(paused.Until)
		}
		warn("%s", text)
	}
	if note.Applied == rotate.AppliedNothing {
		warn("a restart of the runner is owed")
	}
	switch {
	case !clean:
	case note.LastRotation == nil:
		r.report.OK(check, "nothing is left of an earlier run; the function has not refreshed this secret yet")
	default:
		r.report.OK(check, "nothing is left of an earlier run; the last refresh was at %s", minute(note.LastRotation.At))
	}
}
