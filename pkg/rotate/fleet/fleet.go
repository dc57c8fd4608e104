// Package fleet does one call of a function that serves several runners: it heals them all, then rotates those that are
// due, so that one bad runner neither stops nor hides the others, and a bad day does not take all of them down.
//
//	result := fleet.Fleet{Policy: policy, Log: log}.Run(ctx, targets)
//	if result.Failed() { … }
//
// What is promised (promise 9 of the README):
//   - A runner that cannot be observed, or fails before its refresh, fails alone.
//   - Two targets that name one agent are both refused: one of them is not its platform.
//   - While a target cannot be opened its agent is unknown, and may be another target's: nothing is adopted into a runner of which
//     there is no note.
//   - A runner on which another run is at work is left to that run.
//   - While a runner is down by a refresh of ours, no other is refreshed, even if another run is at work on it.
//   - While a runner that was refreshed in this call is not back after two minutes, no other is begun.
//   - The oldest credentials come first, and after them runners that were paused before and not rotated: some are busy
//     whenever they are tried, and would use up the time of every call. The first refresh is alone until one has gone well,
//     then there are a few at a time.
//   - No refresh begins that the rest of the time might not suffice for. Where not even a whole call would suffice, that is
//     an error of the configuration.
package fleet

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Target is one runner that the function is to serve.
type Target struct {
	Name string // for the reader of a report, such as the name of the release
	// Open finds the runner and makes what works on it. It changes nothing.
	Open func(ctx context.Context) (Runner, *rotate.Rotator, error)
}

// Runner is one whose platform has a lock.
type Runner interface {
	rotate.Runner
	// Busy reports whether another run, which is alive, holds the lock of the runner's platform, and who that is.
	Busy(ctx context.Context) (holder string, busy bool, err error)
	// Wish changes what operators have asked for, also while a run holds the lock.
	Wish(ctx context.Context, change func(*rotate.Wishes)) error
}

// Fleet is how runners are served.
type Fleet struct {
	Policy rotate.Policy // Every says when a runner is due
	Log    *slog.Logger
	First  []string      // agent IDs: no other is rotated by its age until these have been, and are back for the soak time
	Soak   time.Duration // see First
}

const (
	atOnce  = 8                // runners that are observed and healed at a time
	reserve = 40 * time.Second // for the refresh itself, and what else is asked
)

// Run serves the targets until ctx's deadline.
func (f Fleet) Run(ctx context.Context, targets []Target) Result {
	whole := left(ctx)
	members := f.find(ctx, targets)
	f.each(members, atOnce, func(m *member) { m.heal(ctx) })
	f.rotate(ctx, members, whole)
	result := resultOf(ctx, members)
	for _, m := range members {
		m.summarize(ctx)
	}
	return result
}

// Plan returns for each target what a run would do now, and changes nothing.
func (f Fleet) Plan(ctx context.Context, targets []Target) Result {
	members := f.find(ctx, targets)
	f.each(members, atOnce, func(m *member) {
		if m.err == nil {
			report, err := m.rotator.Plan(ctx, m.runner, rotate.Rotate)
			m.Rotation, m.err, m.Outcome = &report, err, report.Outcome
		}
	})
	return resultOf(ctx, members)
}

// find opens the targets, and settles which are not to be touched.
func (f Fleet) find(ctx context.Context, targets []Target) []*member {
	members := f.members(targets)
	f.each(members, atOnce, func(m *member) { m.find(ctx) })
	refuseDuplicates(members)
	adoptOnlyKnown(members)
	return members
}

func (f Fleet) members(targets []Target) []*member {
	log := f.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	members := make([]*member, len(targets))
	for i, target := range targets {
		members[i] = &member{
			TargetResult: TargetResult{Target: target.Name, Outcome: NotObserved},
			open:         target.Open, every: f.Policy.Every, log: log.With("target", target.Name),
		}
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
			defer rotate.Recover(&m.err)
			do(m)
		})
	}
	working.Wait()
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
			m.err = rotate.Errorf(rotate.Configuration, "agent %s is named by %s, and can be the runner of one of them only",
				m.AgentID, strings.Join(names, " and ")).
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
