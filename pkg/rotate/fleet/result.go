package fleet

import (
	"context"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Outcomes of a target beyond those of a run.
const (
	NotObserved rotate.Outcome = "not_observed" // the error says why
	LeftAlone   rotate.Outcome = "left_alone"   // another run is at work on it
	Stopped     rotate.Outcome = "stopped"      // scaled to zero
	NotBegun    rotate.Outcome = "not_begun"    // due, and the reason says why it is not rotated
	NothingDue  rotate.Outcome = "nothing_due"
	Wished      rotate.Outcome = "noted" // what an operator has asked for
)

// Result is what a call came to, target by target, in the order of their names.
type Result struct {
	Targets []TargetResult `json:"targets"`
}

// TargetResult is what came of one target. It holds no secret.
type TargetResult struct {
	Target   string         `json:"target"`
	AgentID  string         `json:"agent_id,omitempty"`
	Outcome  rotate.Outcome `json:"outcome"`
	Reason   string         `json:"reason,omitempty"`   // of an outcome that no report explains
	Healing  *rotate.Report `json:"healing,omitempty"`  // of the run that heals, which never refreshes
	Rotation *rotate.Report `json:"rotation,omitempty"` // of the run that rotates, if one was due and begun
	Error    *rotate.Error  `json:"error,omitempty"`    // what is in the way
}

// Failed reports whether a runner failed or is down.
func (r Result) Failed() bool { return slices.ContainsFunc(r.Targets, TargetResult.Failed) }

// Failed reports whether the runner failed or is down.
func (r TargetResult) Failed() bool { return r.Error != nil || r.down() }

// Text is what came of the target, for people.
func (r TargetResult) Text() string {
	switch {
	case r.Error != nil:
		return r.Error.Error()
	case r.Reason != "":
		return r.Outcome.Text() + ": " + r.Reason
	}
	return r.Outcome.Text()
}

// last is the report of the last run.
func (r TargetResult) last() *rotate.Report {
	if r.Rotation != nil {
		return r.Rotation
	}
	return r.Healing
}

// down reports whether the runner is down by a refresh of ours.
func (r TargetResult) down() bool {
	report := r.last()
	return report != nil && report.DownSince != nil
}

// resultOf is the result, with the errors in it, which are logged.
func resultOf(ctx context.Context, members []*member) Result {
	result := Result{Targets: make([]TargetResult, len(members))}
	for i, m := range members {
		if m.err != nil {
			m.Error = rotate.AsError(m.err, rotate.NotObserved)
			m.log.ErrorContext(ctx, "the runner failed", "runner", m.AgentID, rotate.LogError(m.Error))
		} else if m.Rotation == nil && m.Outcome == rotate.NoOp {
			m.Outcome = NothingDue
		}
		result.Targets[i] = m.TargetResult
	}
	return result
}

// summarize logs the line from which metrics are made: one in each call for each runner whose agent is known.
func (m *member) summarize(ctx context.Context) {
	if m.AgentID == "" {
		return
	}
	attributes := []any{"runner", m.AgentID, "outcome", m.Outcome}
	if report := m.last(); report != nil {
		attributes = append(attributes, "connected", report.Connected, "refreshed", m.Rotation != nil && m.Rotation.Refreshed)
		if report.State != rotate.NotObserved { // one that could not be observed is not reported to be back
			down := 0.0
			if m.down() {
				down = time.Since(*report.DownSince).Seconds()
			}
			attributes = append(attributes, "downtime_seconds", down)
		}
		if report.LeftPaused {
			attributes = append(attributes, "left_paused", true)
		}
	}
	switch rotated, known := m.rotated(); {
	case rotated != nil:
		attributes = append(attributes, "age_days", time.Since(*rotated).Hours()/24)
	case known:
		attributes = append(attributes, "never_rotated", true)
	}
	m.log.InfoContext(ctx, "runner", attributes...)
}
