// Package rotation is the function that Azure's timer calls: it reads the environment, finds the apps, wires
// [containerapp.Runner], [rotate.Rotator] and [fleet.Fleet], and answers the host.
//
// Every invocation heals what needs it and rotates what is due. So one that is past due, or replayed because the timer's
// lease was lost, finds nothing due.
//
// The host speaks the protocol of custom handlers: [Handler.ServeHTTP]. The work itself is [Handler.RotateRunnerSecrets], which does
// not depend on that protocol: a main for Azure's worker for Go would register it.
package rotation

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// FunctionName is that of the function's folder, which the host calls.
const FunctionName = "RotateRunnerSecrets"

// Handler does the work of invocations. Nothing but clients and their tokens outlives one.
type Handler struct {
	config    Config
	configErr error
	log       *slog.Logger
	azure     func() (*azureAPIs, error)

	busy     function.Busy
	rotators function.Rotators
}

// New reads the configuration from an environment in the form of os.Environ. Every invocation reports what is wrong with it.
func New(environ []string, out io.Writer) *Handler {
	config, err := ParseConfig(environ)
	return &Handler{
		config: config, configErr: err, log: NewLog(out),
		azure: sync.OnceValues(func() (*azureAPIs, error) { return newAzureAPIs(config) }),
		rotators: function.Rotators{
			Shared: config.Shared, Place: settings.Place{Name: "app", Lacks: "has no MATILLION_REGION"}, UserAgent: userAgent,
		},
	}
}

// alreadyAtWork is the result of a concurrent invocation: the host may replay one.
const alreadyAtWork = "another invocation of this function is at work: nothing was done"

// RotateRunnerSecrets is the function: it heals and rotates, for as long as an invocation may last. The error says which
// runners failed or are down.
func (h *Handler) RotateRunnerSecrets(ctx context.Context, timer TimerInfo) error {
	_, err := h.invoke(ctx, h.log, timer)
	return err
}

// invoke does the work of one invocation, and says what came of each app.
func (h *Handler) invoke(ctx context.Context, log *slog.Logger, timer TimerInfo) (lines []string, err error) {
	if ctx.Err() != nil {
		return nil, refuse(ctx, log, rotate.Errorf(rotate.NotReady, "the function is ending").WithHint("nothing: the next run does it"))
	}
	var result fleet.Result
	began, err := h.busy.Do(func() (err error) {
		result, err = h.work(ctx, log, timer)
		return err
	})
	switch {
	case !began:
		log.WarnContext(ctx, alreadyAtWork)
		return []string{alreadyAtWork}, nil
	case err != nil:
		return nil, refuse(ctx, log, err)
	}
	return summary(result)
}

// WorkTime is how long an invocation may work.
func WorkTime() time.Duration { return function.WorkTime(timeout) }

func (h *Handler) work(ctx context.Context, log *slog.Logger, timer TimerInfo) (fleet.Result, error) {
	ctx, cancel := context.WithDeadline(ctx, function.Deadline(ctx, timeout))
	defer cancel()
	log.InfoContext(ctx, "called", "past_due", bool(timer.IsPastDue))
	targets, err := h.targets(ctx, nil, false, log)
	if err != nil {
		return fleet.Result{}, err
	}
	result := h.fleet(log).Run(ctx, targets)
	if len(h.config.Groups) > 0 {
		h.warnOfMissing(ctx, log, result)
	}
	return result, nil
}

// summary is a result in words: a line for each app.
func summary(result fleet.Result) (lines []string, err error) {
	var failed []string
	for _, target := range result.Targets {
		line := target.Target + ": " + target.Text()
		lines = append(lines, line)
		if target.Failed() {
			failed = append(failed, line)
		}
	}
	if len(failed) == 0 {
		return lines, nil
	}
	return lines, fmt.Errorf("%d of %d runners failed or are down:\n%s", len(failed), len(lines), strings.Join(failed, "\n"))
}

const tag = containerapp.Tag + "=" + containerapp.TagValue

// warnOfMissing logs agents that may be served and that no tagged app names: their app may have lost its tag.
func (h *Handler) warnOfMissing(ctx context.Context, log *slog.Logger, result fleet.Result) {
	for _, id := range h.config.AgentIDs {
		found := false
		for _, target := range result.Targets {
			found = found || strings.EqualFold(target.AgentID, id) || target.AgentID == "" && target.Error != nil
		}
		if !found {
			log.WarnContext(ctx, "no app with the tag is this runner's", "runner", id, "tag", tag)
		}
	}
}

// Plan says what an invocation would do now for these apps, or, if there are none, for all that are configured. It changes nothing.
func (h *Handler) Plan(ctx context.Context, apps ...string) (fleet.Result, error) {
	targets, err := h.targets(ctx, apps, true, h.log)
	if err != nil {
		return fleet.Result{}, err
	}
	return h.fleet(h.log).Plan(ctx, targets), nil
}

func refuse(ctx context.Context, log *slog.Logger, err error) error {
	return function.LogFailure(ctx, log, "the invocation failed", err)
}

// targets are these apps, or, if there are none, all that are configured. A resource group that cannot be read is a target that fails
// and stops no other; so is each without an app, if none has any.
func (h *Handler) targets(ctx context.Context, apps []string, dry bool, log *slog.Logger) ([]fleet.Target, error) {
	if h.configErr != nil {
		return nil, h.configErr
	}
	azure, err := h.azure()
	if err != nil {
		return nil, err
	}
	var targets []fleet.Target
	var groups, bare []string
	if len(apps) == 0 {
		apps, groups = h.config.Apps, h.config.Groups
	}
	fails := func(group string, err error) {
		targets = append(targets, fleet.Target{Name: group, Open: func(context.Context) (fleet.Runner, *rotate.Rotator, error) {
			return nil, nil, err
		}})
	}
	for _, group := range groups {
		found, err := containerapp.Tagged(ctx, containerapp.Config{Credential: azure.credential, Client: azure.manager}, group)
		switch {
		case err != nil:
			fails(group, err)
		case len(found) == 0:
			bare = append(bare, group)
		}
		apps = append(apps, found...)
	}
	for _, group := range bare {
		if len(apps) > 0 {
			log.WarnContext(ctx, "no app in this resource group has the tag", "group", group, "tag", tag)
			continue
		}
		fails(group, settings.Errorf("no Container App in %s has the tag %s", group, tag).
			WithHint("tag those of runners; the vendor's Terraform takes tags away that its configuration does not have"))
	}
	for _, app := range apps {
		targets = append(targets, fleet.Target{Name: app, Open: func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
			return h.open(ctx, azure, app, dry, log)
		}})
	}
	return targets, nil
}

// open finds the runner of an app, and makes its rotator. With dry set nothing is sent that could change anything.
func (h *Handler) open(
	ctx context.Context, azure *azureAPIs, app string, dry bool, log *slog.Logger,
) (fleet.Runner, *rotate.Rotator, error) {
	log = log.With("app", app)
	runner, err := containerapp.Discover(ctx, containerapp.Config{
		Credential: azure.credential, Client: azure.manager, App: app, Dry: dry, State: azure.state, Log: log,
	})
	if err != nil {
		return nil, nil, err
	}
	rotator, err := h.rotators.Of(runner, func() (maia.Credentials, error) { return h.config.Credentials, nil }, log)
	return runner, rotator, err
}

// fleet is the runners' as the configuration has it.
func (h *Handler) fleet(log *slog.Logger) fleet.Fleet {
	return fleet.Fleet{Policy: h.config.Policy, Log: log, First: h.config.Schedule.First, Soak: h.config.Schedule.Soak}
}

// Wish changes what operators have asked for of the runners with these agent IDs; of all that are served, if there are none.
func (h *Handler) Wish(ctx context.Context, agentIDs []string, change func(*rotate.Wishes)) (fleet.Result, error) {
	targets, err := h.targets(ctx, nil, true, h.log)
	if err != nil {
		return fleet.Result{}, err
	}
	return h.fleet(h.log).Wish(ctx, targets, agentIDs, change)
}
