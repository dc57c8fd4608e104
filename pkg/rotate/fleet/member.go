package fleet

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// member is one target at work.
type member struct {
	TargetResult
	err      error
	open     func(context.Context) (Runner, *rotate.Rotator, error)
	log      *slog.Logger
	runner   Runner
	rotator  *rotate.Rotator
	waits    bool // is not to be worked on
	every    time.Duration
	note     *rotate.Note // of one that another run is at work on, if it could be read
	cutOffAt atomic.Int64 // since when the run at work may have it cut off, in nanoseconds since 1970; 0: it has not
}

func (m *member) find(ctx context.Context) {
	if m.runner, m.rotator, m.err = m.open(ctx); m.err == nil {
		m.AgentID = m.runner.AgentID()
	}
}

func (m *member) heal(ctx context.Context) {
	if m.err != nil {
		return
	}
	holder, busy, err := m.runner.Busy(ctx)
	switch {
	case err != nil:
		m.err = err
		return
	case busy:
		m.log.InfoContext(ctx, "another run is at work on this runner", "holder", holder)
		m.Outcome, m.Reason, m.waits = LeftAlone, "another run is at work on it", true
		if platform, err := m.runner.Observe(ctx); err == nil {
			m.note = &platform.Note // for its age
		}
		return
	}
	m.Healing = m.run(ctx, rotate.Heal)
}

// run does one run. A runner that is scaled to zero is no failure, for an operator wants it so, unless a refresh of ours had
// cut it off: it has not been seen to come back.
func (m *member) run(ctx context.Context, mode rotate.Mode) *rotate.Report {
	report, err := m.rotator.Run(ctx, m.runner, mode)
	m.err, m.Outcome = err, report.Outcome
	if report.Outcome != rotate.NoOp && report.Outcome != rotate.Planned {
		m.log.InfoContext(ctx, "report", append([]any{"runner", report.AgentID, "mode", mode}, report.Attributes()...)...)
	}
	if errors.Is(err, rotate.ErrHeld) && report.Held != nil { // since the run that healed
		m.err = nil
		m.notBegun(report.Held.Text())
	}
	if errors.Is(err, rotate.ErrStopped) && mode == rotate.Heal && report.DownSince == nil {
		m.log.WarnContext(ctx, "the runner is scaled to zero", rotate.LogError(err))
		m.err, m.Outcome, m.Reason, m.waits = nil, Stopped, "it is scaled to zero, and there is nothing to heal", true
		if m.old(&report) {
			m.notBegun("it is scaled to zero")
		}
	}
	return &report
}

// notBegun says that the runner is due, and why it is not rotated by this call.
func (m *member) notBegun(why string) { m.Outcome, m.Reason = NotBegun, why }

// due reports whether a runner is to be rotated now.
func (m *member) due() bool { return m.err == nil && !m.waits && m.Healing != nil && m.old(m.Healing) }

// old reports whether a runner's credentials are old enough, or an operator has asked for others. Those of one that no run of ours has
// rotated yet are.
func (m *member) old(seen *rotate.Report) bool {
	return seen.Requested != nil || seen.RotatedAt == nil || time.Since(*seen.RotatedAt) >= m.every
}

// age is since when the credentials of a runner are as they are; that of one that was never rotated is the greatest.
func (m *member) age() time.Duration {
	if m.Healing.RotatedAt == nil {
		return 1<<63 - 1
	}
	return time.Since(*m.Healing.RotatedAt)
}

// asked is 1 if an operator has asked for a rotation.
func (m *member) asked() int {
	if m.Healing.Requested != nil {
		return 1
	}
	return 0
}

// tried is when a rotation of a runner last came to nothing after its pause; zero if none has since it was rotated.
func (m *member) tried() time.Time {
	if m.Healing.TriedAt == nil {
		return time.Time{}
	}
	return *m.Healing.TriedAt
}

// rotated is when a run last rotated the runner; nil, if it is known, that none has.
func (m *member) rotated() (at *time.Time, known bool) {
	if report := m.last(); report != nil {
		return report.RotatedAt, report.State != rotate.NotObserved
	}
	if m.note == nil {
		return nil, false
	}
	if rotation := m.note.LastRotation; rotation != nil {
		at = &rotation.At
	}
	return at, true
}

// down reports whether the runner is down by a refresh of ours, or may be: of one that is left to another run only the note
// says it, and one whose note could not be read may be.
func (m *member) down() bool {
	if m.waits && m.Outcome == LeftAlone {
		return m.note == nil || m.note.Down()
	}
	return m.TargetResult.down()
}
