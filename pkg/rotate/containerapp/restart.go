package containerapp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

// Restart implements [rotate.Runner]: each revision that runs is restarted, except those of which a restart stands for what the
// app holds. One that Azure refuses to restart does not hold back the others.
func (r *Runner) Restart(ctx context.Context) ([]string, error) {
	if err := r.enter(ctx); err != nil {
		if !r.restartDue || errors.Is(err, lease.ErrOtherRun) {
			return nil, err
		}
		// The runner is down, or will be: it must not wait for the storage account.
		r.log.WarnContext(ctx, "the lock could not be taken; instances are restarted without it", rotate.LogError(err))
	}
	if len(r.running()) == 0 {
		return nil, r.nothingToRestart()
	}
	if err := r.awaitAllowed(ctx); err != nil {
		return r.ids(), failure("restart revisions of app "+r.id.Name, actionRestart, err)
	}
	var failed []*rotate.Error
	owed := r.owed()
	for _, found := range owed {
		at, err := r.restart(ctx, found.name)
		if err != nil {
			failed = append(failed, rotate.AsError(failure("restart revision "+found.name, actionRestart, err), ""))
			continue
		}
		r.ordered[found.name] = order{before: found.replicas, at: at}
		if r.held.IsZero() {
			r.held = at
		}
		r.restartDue = false
	}
	return r.ids(), joined(failed, len(owed))
}

// nothingToRestart is the error of an app of which no revision that uses the secret runs.
func (r *Runner) nothingToRestart() error {
	if len(r.seen.strays) > 0 {
		return r.seen.strayedError()
	}
	return rotate.Errorf(rotate.NotReady, "app %s has no active revision that could be restarted", r.id.Name).
		WithHint("activate one: az containerapp revision activate; it reads what the store holds when it starts")
}

// joined is one error that names each that failed. Its kind and its hint are those of the worst: what a person must put right
// comes before what passes by itself.
func joined(failed []*rotate.Error, of int) error {
	switch len(failed) {
	case 0:
		return nil
	case 1:
		return failed[0]
	}
	worst := failed[0]
	texts := make([]string, len(failed))
	for i, one := range failed {
		if rank(one.Kind) > rank(worst.Kind) {
			worst = one
		}
		texts[i] = one.What
	}
	all := *worst
	all.What = fmt.Sprintf("%d of %d revisions were not restarted: %s", len(failed), of, strings.Join(texts, "; "))
	return &all
}

func rank(kind rotate.Kind) int {
	switch kind {
	case rotate.Permission, rotate.Configuration:
		return 2
	case rotate.NotReady:
		return 1
	}
	return 0
}
