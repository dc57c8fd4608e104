package gcp

import (
	"context"
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const releaseCheck = "release"

// checkReleases has the function's own code read each release, its cluster, and Maia.
func (r *run) checkReleases(ctx context.Context) error {
	if !r.ready() {
		r.report.Skip("the function is not ready for it", releaseCheck)
		return nil
	}
	if hidden(r.environ) {
		r.report.Skip(whyHidden, releaseCheck)
		return nil
	}
	result, err := r.checker.planOf(ctx, r.environ, r.service)
	if err != nil {
		return err
	}
	for _, target := range result.Targets {
		r.judgeRelease(target)
	}
	if r.checker.Impersonate == nil {
		r.report.Warn("rights", "check once with --as-function",
			"the releases and the API credential were read with your rights: whether %s has them is not tested",
			r.service.GetServiceAccountEmail())
	}
	return nil
}

func (r *run) judgeRelease(target fleet.TargetResult) {
	if target.Error == nil {
		r.report.OK(releaseCheck, "%s: a call %s", target.Target, doctor.Would(target, r.config.Policy.Every, time.Now()))
		return
	}
	what, hint := doctor.InWords(*target.Error), target.Error.Hint
	text := fmt.Sprintf("%s: in the way of a rotation: %s", target.Target, what)
	switch {
	case target.Error.Kind == rotate.NotReady:
		r.report.Warn(releaseCheck, hint, "%s", text)
	case target.Error.Kind == rotate.Permission && r.checker.Impersonate == nil:
		r.report.Warn(releaseCheck, "check with --as-function, which reads it with the function's rights",
			"%s: could not be tested with your rights: %s", target.Target, what)
	default:
		r.report.Problem(releaseCheck, hint, "%s", text)
	}
}
