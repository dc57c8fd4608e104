package rotate_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// locked is a platform with a lock.
type locked struct {
	*platform
	asks []time.Duration
}

func (l *locked) Hold(ctx context.Context, d time.Duration) error {
	l.asks = append(l.asks, d)
	return l.do(ctx, "hold", func() {})
}

func (l *locked) Release(ctx context.Context) {
	if ctx.Err() == nil {
		_ = l.do(ctx, "release", func() {})
	}
}

func TestPromise2TheLockIsHeldWhenTheRefreshIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &locked{platform: newPlatform(t)}
		rotator := &rotate.Rotator{Maia: l.maia.Client(t), Policy: rotate.DefaultPolicy()}
		if _, err := rotator.Run(t.Context(), l, rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(l.asks, []time.Duration{maia.RefreshTimeout}) {
			t.Errorf("the lock was asked for %v, want once for the time of a refresh", l.asks)
		}
		hold, store := slices.Index(l.calls, "hold"), slices.Index(l.calls, "store")
		if hold < 0 || slices.Contains(l.calls[hold:store], "save note") || l.calls[len(l.calls)-1] != "release" {
			t.Errorf("calls %v, want hold right before the refresh and release in the end", l.calls)
		}
		l.mustBeBack()
	})
}

func TestPromise2NoRefreshWithoutTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &locked{platform: newPlatform(t)}
		l.before("hold", 1, func() error { return rotate.Errorf(rotate.NotReady, "the lock is lost") })
		rotator := &rotate.Rotator{Maia: l.maia.Client(t), Policy: rotate.DefaultPolicy()}
		_, err := rotator.Run(t.Context(), l, rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		l.mustRefresh(0)
		if l.note.Intent != nil || l.note.Paused != nil || l.calls[len(l.calls)-1] != "release" {
			t.Errorf("note %+v, calls %v; want nothing left, and the lock given back", l.note, l.calls)
		}
	})
}

func TestPromise4TheLockIsGivenBackWhenTheCallerHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &locked{platform: newPlatform(t)}
		ctx, cancel := context.WithCancel(t.Context())
		l.before("check", 1, func() error { cancel(); return nil })
		rotator := &rotate.Rotator{Maia: l.maia.Client(t), Policy: rotate.DefaultPolicy()}
		if _, err := rotator.Run(ctx, l, rotate.Rotate); err == nil {
			t.Error("a run whose caller has gone before the refresh goes on")
		}
		if l.calls[len(l.calls)-1] != "release" {
			t.Errorf("calls %v, want release in the end", l.calls)
		}
	})
}

// torn is a platform whose store is not whole until something is stored.
type torn struct {
	*platform
	whole bool
}

func (h *torn) Observe(ctx context.Context) (rotate.Platform, error) {
	seen, err := h.platform.Observe(ctx)
	seen.Unfinished = !h.whole
	return seen, err
}

func (h *torn) Store(ctx context.Context, credentials maia.Credentials) error {
	h.whole = true
	return h.platform.Store(ctx, credentials)
}

func TestPromise6AStoreThatIsNotWholeIsCompleted(t *testing.T) {
	for _, mode := range []rotate.Mode{rotate.Heal, rotate.Rotate} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &torn{platform: newPlatform(t)}
				rotator := &rotate.Rotator{Maia: h.maia.Client(t), Policy: rotate.DefaultPolicy()}
				report, err := rotator.Run(t.Context(), h, mode)
				if err != nil {
					t.Fatal(err)
				}
				if !h.whole {
					t.Error("nothing was stored")
				}
				if mode == rotate.Heal && (report.Outcome != rotate.Healed || h.restarts > 0 || h.maia.Refreshes(agentID) > 0) {
					t.Errorf("outcome %q, %d restarts, %d refreshes; want the store repaired and nothing else",
						report.Outcome, h.restarts, h.maia.Refreshes(agentID))
				}
				if mode == rotate.Rotate && report.Outcome != rotate.Rotated {
					t.Errorf("outcome %q, want a rotation after the store is repaired", report.Outcome)
				}
			})
		})
	}
}

// A run whose process is stopped right before it sends its refresh, for so long that another run does its work, must not
// send it when it wakes up.
func TestPromise2ARunThatWasHeldUpReadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &locked{platform: newPlatform(t)}
		l.before("hold", 1, func() error {
			report, err := l.run(rotate.Rotate, every(time.Hour))
			if err != nil || report.Outcome != rotate.Rotated {
				t.Errorf("the concurrent run: %q, %v", report.Outcome, err)
			}
			return nil
		})
		policy := rotate.DefaultPolicy()
		policy.Every = time.Hour
		rotator := &rotate.Rotator{Maia: l.maia.Client(t), Policy: policy}
		report, err := rotator.Run(t.Context(), l, rotate.Rotate)
		if err != nil || report.Outcome == rotate.Rotated {
			t.Errorf("outcome %q, error %v; want that it finds nothing due", report.Outcome, err)
		}
		l.mustRefresh(1)
		l.mustBeBack()
	})
}
