// Package fleet does one call of a function that serves several runners: it heals them all, then rotates those that are
// due, so that one bad runner neither stops nor hides the others, and a bad day does not take all of them down.
//
//	result := fleet.Fleet{Policy: policy, Log: log}.Run(ctx, targets)
//	if result.Failed() { … }
//
// What is promised (promise 9 of the README):
//   - A runner that cannot be looked at, or fails before its refresh, fails alone.
//   - Two targets that name one agent are both refused: one of them is not its home.
//   - While a target cannot be opened its agent is unknown, and may be another target's: nothing is adopted into a runner of which
//     there is no note.
//   - A runner on which another run is at work is left to that run.
//   - While a runner is dark by a refresh of ours, no other is refreshed: also one on which another run is at work.
//   - While one that was refreshed in this call is not back after two minutes, no other is begun until it is.
//   - The oldest credentials come first, and behind them runners that were paused before, and not rotated: some are busy
//     whenever they are tried, and would use up the time of every call. The first refresh is alone until one has gone well,
//     then there are a few at a time.
//   - No refresh begins that the rest of the time might not suffice for. Where not even a whole call would suffice, that is
//     an error of the configuration.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Target is one runner that the function is to serve.
type Target struct {
	Name string // for the reader of a report, such as the name of the release
	// Open finds the runner and makes what works on it. It changes nothing.
	Open func(ctx context.Context) (Runner, *rotate.Rotator, error)
}

// Runner is one whose home has a lock.
type Runner interface {
	rotate.Runner
	// Busy says whether another run, which is alive, holds the lock of the runner's home, and who that is.
	Busy(ctx context.Context) (holder string, busy bool, err error)
}

// Fleet is how runners are served.
type Fleet struct {
	Policy rotate.Policy // Every says when a runner is due
	Log    *slog.Logger
}

const (
	atOnce        = 8                // runners that are looked at and healed at a time
	rotatedAtOnce = 4                // after the first
	reserve       = 40 * time.Second // for the refresh itself, and what else is asked
	patience      = 2 * time.Minute  // with a runner that was refreshed, before no other is
	watchEvery    = 2 * time.Second  // whether such a one is back
)

// Result is what a call came to, target by target, in the order of their names.
type Result struct {
	Targets []TargetResult `json:"targets"`
}

// TargetResult is what came of one target. It holds no secret.
type TargetResult struct {
	Target   string         `json:"target"`
	AgentID  string         `json:"agent_id,omitempty"`
	Outcome  string         `json:"outcome"`            // in a few words
	Healing  *rotate.Report `json:"healing,omitempty"`  // of the run that heals, which never refreshes
	Rotation *rotate.Report `json:"rotation,omitempty"` // of the run that rotates, if one was due and begun
	Error    string         `json:"error,omitempty"`    // what is in the way, in which state the runner is, and what to do
	Kind     rotate.Kind    `json:"kind,omitempty"`     // of the error

	err error
}

// Failed says that a runner failed or is dark.
func (r Result) Failed() bool {
	return slices.ContainsFunc(r.Targets, func(t TargetResult) bool { return t.err != nil || t.down() })
}

// Err is the error of the target; nil if there was none.
func (r TargetResult) Err() error { return r.err }

// last is the report of the last run.
func (r TargetResult) last() *rotate.Report {
	if r.Rotation != nil {
		return r.Rotation
	}
	return r.Healing
}

// dark says that the runner is down by a refresh of ours.
func (r TargetResult) down() bool {
	report := r.last()
	return report != nil && report.DownSince != nil
}

// dark reports whether the runner is down by a refresh of ours, or may be: of one that is left to another run the note tells, and
// where that could not be read nothing does.
func (m *member) down() bool {
	if m.waits && m.Outcome == leftAlone {
		return m.note == nil || m.note.Down()
	}
	return m.TargetResult.down()
}

// Outcomes of a target for which no run says it.
const (
	notObserved = "not looked at"
	leftAlone   = "left to the run that is at work on it"
	stopped     = "scaled to zero: there is nothing to heal"
	stoppedDue  = "due, and not begun: it is scaled to zero"
	downWaits   = "due, and not begun: a runner is dark"
	timeWaits   = "due, and not begun: too little time is left, the next call rotates it"
	timeNever   = "due, and not begun: no call has the time for it"
	nothingDone = "nothing was due"
)

// member is one target at work.
type member struct {
	TargetResult
	open     func(context.Context) (Runner, *rotate.Rotator, error)
	log      *slog.Logger
	runner   Runner
	rotator  *rotate.Rotator
	waits    bool // is not to be worked on
	every    time.Duration
	note     *rotate.Note // of one that another run is at work on, if it could be read
	cutOffAt atomic.Int64 // since when the run at work may have it cut off, in nanoseconds since 1970; 0: it has not
}

// Run serves the targets until ctx's deadline.
func (f Fleet) Run(ctx context.Context, targets []Target) Result {
	whole := left(ctx)
	members := f.members(targets)
	f.each(members, atOnce, func(m *member) { m.find(ctx) })
	refuseDuplicates(members)
	adoptOnlyKnown(members)
	f.each(members, atOnce, func(m *member) { m.heal(ctx) })
	f.rotate(ctx, members, whole)
	result := resultOf(ctx, members)
	for _, m := range members {
		m.summarize(ctx)
	}
	return result
}

// Plan says for each target what a run would do now, and changes nothing.
func (f Fleet) Plan(ctx context.Context, targets []Target) Result {
	members := f.members(targets)
	f.each(members, atOnce, func(m *member) { m.find(ctx) })
	refuseDuplicates(members)
	adoptOnlyKnown(members)
	f.each(members, atOnce, func(m *member) {
		if m.err == nil {
			report, err := m.rotator.Plan(ctx, m.runner, rotate.Rotate)
			m.Rotation, m.err, m.Outcome = &report, err, string(report.Outcome)
		}
	})
	return resultOf(ctx, members)
}

func (f Fleet) members(targets []Target) []*member {
	log := f.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	members := make([]*member, len(targets))
	for i, target := range targets {
		members[i] = &member{TargetResult: TargetResult{Target: target.Name, Outcome: notObserved}, open: target.Open, every: f.Policy.Every, log: log.With("target", target.Name)}
	}
	slices.SortStableFunc(members, func(a, b *member) int { return strings.Compare(a.Target, b.Target) })
	return members
}

// each does something with the members, a few at a time.
func (f Fleet) each(members []*member, atATime int, do func(*member)) {
	free := make(chan struct{}, atATime)
	var working sync.WaitGroup
	for _, m := range members {
		free <- struct{}{} // here, so that there are no more goroutines than have something to do
		working.Go(func() {
			defer func() { <-free }()
			defer m.contain()
			do(m)
		})
	}
	working.Wait()
}

// contain makes a panic the error of its own runner. Its value may hold anything: only its type is told.
func (m *member) contain() {
	if panicked := recover(); panicked != nil {
		m.err = rotate.Errorf(rotate.Internal, "panic of type %T", panicked)
	}
}

func (m *member) find(ctx context.Context) {
	if m.runner, m.rotator, m.err = m.open(ctx); m.err == nil {
		m.AgentID = m.runner.AgentID()
	}
}

// refuseDuplicates refuses targets that name the same agent.
func refuseDuplicates(members []*member) {
	named := map[string][]*member{}
	for _, m := range members {
		if m.err == nil {
			id := strings.ToLower(m.AgentID)
			named[id] = append(named[id], m)
		}
	}
	for _, duplicates := range named {
		if len(duplicates) < 2 {
			continue
		}
		names := make([]string, len(duplicates))
		for i, m := range duplicates {
			names[i] = m.Target
		}
		for _, m := range duplicates {
			m.err = rotate.Errorf(rotate.Configuration, "agent %s is named by %s, and can be at home in one of them only", m.AgentID, strings.Join(names, " and ")).
				WithHint("find out which is the agent's, and correct the other: nothing is done for them until then")
		}
	}
}

// adoptOnlyKnown has nothing adopted into runners without a note while the agent of a target is unknown.
func adoptOnlyKnown(members []*member) {
	unknown := slices.ContainsFunc(members, func(m *member) bool { return m.AgentID == "" })
	for _, m := range members {
		if unknown && m.rotator != nil {
			m.rotator.Policy.OnlyKnown = true
		}
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
		m.Outcome, m.waits = leftAlone, true
		if platform, err := m.runner.Observe(ctx); err == nil {
			m.note = &platform.Note // for its age
		}
		return
	}
	m.Healing = m.run(ctx, rotate.Heal)
}

// run does one run. A runner that is scaled to zero is no failure, for somebody wants it so, unless a refresh of ours had
// cut it off: it has not been seen to come back.
func (m *member) run(ctx context.Context, mode rotate.Mode) *rotate.Report {
	report, err := m.rotator.Run(ctx, m.runner, mode)
	m.err, m.Outcome = err, string(report.Outcome)
	if report.Outcome != rotate.NoOp {
		m.log.InfoContext(ctx, "report", append([]any{"runner", report.AgentID, "mode", mode}, report.Attributes()...)...)
	}
	if errors.Is(err, rotate.ErrStopped) && mode == rotate.Heal && report.DownSince == nil {
		m.log.WarnContext(ctx, "the runner is scaled to zero", "error", err)
		m.err, m.Outcome, m.waits = nil, stopped, true
		if m.old(&report) {
			m.Outcome = stoppedDue
		}
	}
	return &report
}

// due says that a runner is to be rotated now.
func (m *member) due() bool { return m.err == nil && !m.waits && m.Healing != nil && m.old(m.Healing) }

// old says that a runner's credentials are old enough. Those of one that no run of ours has rotated yet are.
func (m *member) old(seen *rotate.Report) bool {
	return seen.RotatedAt == nil || time.Since(*seen.RotatedAt) >= m.every
}

// rotate rotates those that are due, in the order that is promised. whole is the time that a call has.
func (f Fleet) rotate(ctx context.Context, members []*member, whole time.Duration) {
	var due []*member
	for _, m := range members {
		if m.due() {
			due = append(due, m)
		}
	}
	slices.SortStableFunc(due, func(a, b *member) int {
		return cmp.Or(tried(a).Compare(tried(b)), cmp.Compare(age(b), age(a)))
	})
	var mu sync.Mutex // of stop and proved
	stop, proved := "", false
	for _, m := range members {
		if m.down() {
			stop = fmt.Sprintf("%s (%s)", downWaits, m.Target)
		}
	}
	free := make(chan struct{}, rotatedAtOnce)
	var working sync.WaitGroup
	for _, m := range due {
		needed := Needed(f.Policy, m.runner.StoreTime())
		if whole <= needed {
			m.err, m.Outcome = tooShort(needed, whole), timeNever
			continue
		}
		free <- struct{}{}
		mu.Lock()
		alone, why := !proved, stop
		mu.Unlock()
		for why == "" && isSlow(members) && ctx.Err() == nil {
			pause(ctx, watchEvery)
			mu.Lock()
			why = stop
			mu.Unlock()
		}
		if why == "" && left(ctx) <= needed {
			why = timeWaits
		}
		if why != "" {
			m.log.WarnContext(ctx, "this runner is not rotated now", "reason", why)
			m.Outcome = why
			<-free
			continue
		}
		working.Go(func() {
			defer func() { <-free }()
			defer m.contain()
			m.runner = watched{m.runner, &m.cutOffAt}
			m.Rotation = m.run(ctx, rotate.Rotate)
			m.cutOffAt.Store(0)
			mu.Lock()
			defer mu.Unlock()
			proved = proved || m.err == nil && m.Rotation.Refreshed
			if m.down() {
				stop = fmt.Sprintf("%s (%s)", downWaits, m.Target)
			}
		})
		if alone {
			working.Wait()
		}
	}
	working.Wait()
}

// isSlow reports whether a runner that was refreshed is not back for longer than usual.
func isSlow(members []*member) bool {
	return slices.ContainsFunc(members, func(m *member) bool {
		since := m.cutOffAt.Load()
		return since != 0 && time.Since(time.Unix(0, since)) > patience
	})
}

// watched is a Runner whose notes tell since when it may be cut off.
type watched struct {
	Runner
	down *atomic.Int64
}

// SaveNote implements rotate.Runner.
func (w watched) SaveNote(ctx context.Context, note rotate.Note) error {
	err := w.Runner.SaveNote(ctx, note)
	switch {
	case err != nil:
	case !note.Down():
		w.down.Store(0)
	default:
		w.down.CompareAndSwap(0, time.Now().UnixNano())
	}
	return err
}

// Hold implements rotate.Locker, also for a Runner that does not.
func (w watched) Hold(ctx context.Context, d time.Duration) error {
	if locker, ok := w.Runner.(rotate.Locker); ok {
		return locker.Hold(ctx, d)
	}
	return nil
}

// Release implements rotate.Locker.
func (w watched) Release(ctx context.Context) {
	if locker, ok := w.Runner.(rotate.Locker); ok {
		locker.Release(ctx)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// age is since when the credentials of a runner are as they are; that of one that was never rotated is the greatest.
func age(m *member) time.Duration {
	if m.Healing.RotatedAt == nil {
		return 1<<63 - 1
	}
	return time.Since(*m.Healing.RotatedAt)
}

// tried is when a rotation of a runner last came to nothing after its pause; zero if none has since it was rotated.
func tried(m *member) time.Time {
	if m.Healing.TriedAt == nil {
		return time.Time{}
	}
	return *m.Healing.TriedAt
}

// Needed is how long a rotation may take where storing takes so long. One is not begun with less time left.
func Needed(p rotate.Policy, store time.Duration) time.Duration {
	return p.DrainTimeout + store + p.ConnectTimeout + reserve
}

// left is the time until the deadline.
func left(ctx context.Context) time.Duration {
	if deadline, bounded := ctx.Deadline(); bounded {
		return time.Until(deadline)
	}
	return 1<<63 - 1
}

// tooShort is the error of a runner whose rotation fits into no call.
func tooShort(needed, call time.Duration) error {
	return rotate.Errorf(rotate.Configuration, "the runner is due, and a rotation may take %s (drain, store and connect), while a call has %s",
		needed, call.Round(time.Second)).
		WithHint("give the function more time, or lower the drain or the connect time-out")
}

// resultOf puts errors into words.
func resultOf(ctx context.Context, members []*member) Result {
	result := Result{Targets: make([]TargetResult, len(members))}
	for i, m := range members {
		if m.err != nil {
			typed := rotate.AsError(m.err, rotate.NotObserved)
			m.Error, m.Kind = typed.Error(), typed.Kind
			m.log.ErrorContext(ctx, "the runner failed", "runner", m.AgentID, "kind", typed.Kind, "state", typed.State, "error", m.Error)
		} else if m.Healing != nil && m.Rotation == nil && m.Healing.Outcome == rotate.NoOp && m.Outcome == string(rotate.NoOp) {
			m.Outcome = nothingDone
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
		if report.State != rotate.NotObserved { // one that could not be looked at is not told to be back
			down := 0.0
			if m.down() {
				down = time.Since(*report.DownSince).Seconds()
			}
			attributes = append(attributes, "dark_seconds", down)
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
