package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	rotatedAtOnce = 4               // after the first
	patience      = 2 * time.Minute // with a runner that was refreshed, before no other is
	watchEvery    = 2 * time.Second // whether such a one is back
)

// round is the part of a call that rotates.
type round struct {
	members []*member

	mu     sync.Mutex
	stop   string // why no other rotation is begun; empty: nothing is against it
	proved bool   // one has gone well
}

// rotate rotates those that are due, in the order that is promised. whole is the time that a call has.
func (f Fleet) rotate(ctx context.Context, members []*member, whole time.Duration) {
	r := &round{members: members}
	for _, m := range members {
		r.stopIfDown(m)
	}
	free := make(chan struct{}, rotatedAtOnce)
	var working sync.WaitGroup
	for _, m := range dueInOrder(members) {
		needed := Needed(f.Policy, m.runner.StoreTime())
		if whole <= needed {
			m.err = tooShort(needed, whole)
			m.notBegun("no call has the time for it")
			continue
		}
		if why := f.notNow(m, members, needed); why != "" {
			m.notBegun(why)
			continue
		}
		free <- struct{}{}
		alone := !r.hasProved()
		if why := r.against(ctx, needed); why != "" {
			m.log.WarnContext(ctx, "this runner is not rotated now", "reason", why)
			m.notBegun(why)
			<-free
			continue
		}
		working.Go(func() {
			defer func() { <-free }()
			defer rotate.Recover(&m.err)
			m.runner = watched{m.runner, &m.cutOffAt}
			m.Rotation = m.run(ctx, rotate.Rotate)
			m.cutOffAt.Store(0)
			r.ended(m)
		})
		if alone {
			working.Wait()
		}
	}
	working.Wait()
}

// tooShort is the error of a runner whose rotation fits into no call.
func tooShort(needed, call time.Duration) error {
	return rotate.Errorf(rotate.Configuration, "the runner is due, and a rotation may take %s (drain, store and connect), while a call has %s",
		needed, call.Round(time.Second)).
		WithHint("give the function more time, or lower the drain or the connect time-out")
}

func dueInOrder(members []*member) []*member {
	var due []*member
	for _, m := range members {
		if m.due() {
			due = append(due, m)
		}
	}
	slices.SortStableFunc(due, func(a, b *member) int {
		return cmp.Or(a.tried().Compare(b.tried()), cmp.Compare(b.asked(), a.asked()), cmp.Compare(b.age(), a.age()))
	})
	return due
}

func (r *round) hasProved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proved
}

// against is why no rotation that needs so long may begin now. It waits for a runner that is slow to come back.
func (r *round) against(ctx context.Context, needed time.Duration) string {
	why := r.stopped()
	for why == "" && isSlow(r.members) && ctx.Err() == nil {
		pause(ctx, watchEvery)
		why = r.stopped()
	}
	if why == "" && left(ctx) <= needed {
		return "too little time is left, the next call rotates it"
	}
	return why
}

func (r *round) stopped() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// ended takes note of what a rotation came to.
func (r *round) ended(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proved = r.proved || m.err == nil && m.Rotation.Refreshed
	r.stopIfDown(m)
}

func (r *round) stopIfDown(m *member) {
	if m.down() {
		r.stop = fmt.Sprintf("a runner is down (%s)", m.Target)
	}
}

// isSlow reports whether a runner that was refreshed is not back for longer than usual.
func isSlow(members []*member) bool {
	return slices.ContainsFunc(members, func(m *member) bool {
		since := m.cutOffAt.Load()
		return since != 0 && time.Since(time.Unix(0, since)) > patience
	})
}

// watched is a Runner whose notes say since when it may be cut off.
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
