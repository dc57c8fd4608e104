package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// ErrOtherRun is wrapped by the error of a lock that another run has.
var ErrOtherRun = errors.New("another run")

// ErrTaken is what an attempt to take the lock returns if another run holds it now: its end is waited for.
var ErrTaken = errors.New("the lock is held")

// Lock is the lock of one runner, for one run at a time. Its methods, except Left and Release, are called only by whoever has the
// turn, which [Lock.Use] gives.
type Lock struct {
	backend Backend
	turn    chan struct{}                      // holds one token, which is that of whoever uses the lock
	till    atomic.Pointer[time.Time]          // the lock is ours until then; nil: it was not taken, or is lost
	stop    atomic.Pointer[context.CancelFunc] // ends the renewal; nil: there is none

	seen State
	from time.Time     // since when it is seen so, by our own clock
	gone chan struct{} // closed when the renewal has ended
}

// New returns the lock that a backend keeps.
func New(backend Backend) *Lock {
	l := &Lock{backend: backend, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// Use waits for the turn. The renewal in the background takes its own.
func (l *Lock) Use() (done func()) {
	<-l.turn
	return func() { l.turn <- struct{}{} }
}

// Left is how long the lock is still this run's. Two clocks count: the wall clock may be set back, and the other stands still
// while a machine sleeps.
func (l *Lock) Left() time.Duration {
	till := l.till.Load()
	if till == nil {
		return 0
	}
	return min(time.Until(*till), till.Round(0).Sub(time.Now().Round(0)))
}

// Held reports whether the lock is this run's.
func (l *Lock) Held() bool { return l.Left() > 0 }

// Claimed reports whether this run has taken the lock and has not learned since that it is lost. Its time may be over.
func (l *Lock) Claimed() bool { return l.till.Load() != nil }

// Free reports whether no other run is at work, as last read.
func (l *Lock) Free() bool {
	return l.seen.Owner != OtherRun || time.Since(l.from) >= l.seen.Lasts+Margin
}

// Read reads whose the lock is. If this run's time is over and the lock is not shown as its own, the lock is lost: what is done
// from then on is based on this read, under a lock that is taken anew.
func (l *Lock) Read(ctx context.Context) error {
	held := l.Held()
	state, err := l.backend.Read(ctx, held)
	if err != nil {
		return err
	}
	if !state.same(l.seen) {
		l.from = time.Now()
	}
	l.seen = state
	if !held && state.Owner != ThisRun {
		l.Lose()
	}
	return nil
}

// Await reads the lock until it is free, or until its holder renews it and so shows that it is alive. It is an error if the lock
// is held for longer than any run does.
func (l *Lock) Await(ctx context.Context) (free bool, err error) {
	if err := l.Read(ctx); err != nil {
		return false, err
	}
	for began, first := time.Now(), l.seen; !l.Free(); {
		switch {
		case l.seen.Renewal != first.Renewal:
			return false, nil
		case l.seen.Endless != nil && l.seen.Renewal == "", time.Since(began) > Duration+Margin:
			return false, l.seen.Endless
		}
		if err := wait(ctx, poll); err != nil {
			return false, err
		}
		if err := l.Read(ctx); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Take makes the lock this run's, or renews it, by an attempt that returns since when it is this run's. It waits for another run
// as [Lock.Await] does.
func (l *Lock) Take(ctx context.Context, attempt func(context.Context) (since time.Time, err error)) error {
	for began := time.Now(); ; {
		if !l.Claimed() && !l.Free() {
			if free, err := l.Await(ctx); err != nil {
				return err
			} else if !free {
				return l.Busy()
			}
		}
		since, err := attempt(ctx)
		switch {
		case err == nil:
			l.extend(since)
			l.keepRenewed(ctx)
			return nil
		case !errors.Is(err, ErrTaken):
			return err
		case time.Since(began) > Duration+Margin:
			return l.Busy()
		}
		if err := wait(ctx, poll); err != nil {
			return err
		}
		if err := l.Read(ctx); err != nil {
			return err
		}
	}
}

// Enough is an error unless the lock is this run's for at least d from now.
func (l *Lock) Enough(d time.Duration) error {
	if left := l.Left(); left < d {
		return rotate.Errorf(rotate.NotReady, "the lock on the runner is this run's for %s more, a refresh may take %s",
			left.Round(time.Second), d).
			WithHint("nothing: the next run tries again; if this repeats, the cluster's control plane, or the storage account, answers too slowly")
	}
	return nil
}

// Lose forgets that the lock is this run's.
func (l *Lock) Lose() { l.till.Store(nil) }

// Release gives the lock back. A renewal that is under way is not waited for.
func (l *Lock) Release(ctx context.Context) {
	l.endRenewal()
	done := l.Use()
	gone, held := l.gone, l.Held()
	l.gone, l.seen = nil, State{}
	l.Lose()
	if held {
		l.backend.Release(ctx)
	}
	done()
	if gone != nil {
		<-gone
	}
}

// Busy is the error of a lock that another run holds, or has held.
func (l *Lock) Busy() *rotate.Error {
	who := ""
	if l.seen.Holder != "" {
		who = " (" + l.seen.Holder + ")"
	}
	busy := rotate.Errorf(rotate.NotReady, "another run is at work on this runner%s, or was since this one read the note", who).
		WithHint("nothing: that run goes on, or the next one does")
	busy.Err = ErrOtherRun
	return busy
}
