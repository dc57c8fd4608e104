package load_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// site is where the runners of a fleet live, and the function that serves them.
type site interface {
	call() (said string, failed bool) // one call, and what it said of targets that failed
	forbid(i int, forbidden bool)     // takes away what a rotation needs: that is seen before the refresh
	breakRestarts(i int, broken bool)
	stored(i int) string
	connected(i int) bool
}

// timer is what calls the function.
type timer struct {
	every, again time.Duration // again: after a call that failed
	retries      int
	calls        int
	first        time.Time
}

// turn is one time that the timer fires: the call, and, if it fails, the next ones.
func (c *timer) turn(call func() (failed bool)) {
	if c.first.IsZero() {
		c.first = time.Now()
	}
	time.Sleep(c.every - time.Since(c.first)%c.every)
	for try := 0; ; try++ {
		c.calls++
		if !call() || try == c.retries {
			return
		}
		time.Sleep(c.again)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func name(i int) string { return fmt.Sprintf("runner-%04d", i+1) }

// play is the life of a fleet: the first rotation of all, of which one in fifty cannot be; then that of these; and a month
// later one that does not come back.
func play(t *testing.T, cloud string, a *account, s site, c *timer) {
	goroutines := settled()
	must := func(call func() (string, bool)) (said string, failed bool) {
		t.Helper()
		begun := time.Now()
		said, failed = call()
		if now := settled(); now > goroutines {
			t.Errorf("%d goroutines are left of a call", now-goroutines)
		}
		t.Logf("%s call %d: %s, %d refreshes so far, %d refusals", cloud, c.calls, time.Since(begun), len(a.order()), a.refused)
		return said, failed
	}

	// One in fifty: three of four are busy for ever, so that each try waits as long as it may.
	n := len(a.ids)
	bad := map[int]bool{}
	for i := 24; i < n || len(bad) < 2; i += 50 {
		bad[i%n] = true
		if len(bad)%4 == 1 {
			s.forbid(i%n, true)
		} else {
			a.SetRunningTasks(a.ids[i%n], 1)
		}
	}
	reported := map[int]bool{}
	for done := 0; done < n-len(bad); {
		c.turn(func() bool {
			before := done
			said, failed := must(s.call)
			done = len(a.order())
			for i := range bad {
				reported[i] = reported[i] || failed && strings.Contains(said, name(i))
			}
			if done == before {
				t.Fatalf("no runner was rotated by call %d: %d are, of %d", c.calls, done, n-len(bad))
			}
			return failed && done < n-len(bad)
		})
	}
	t.Logf("figure: load, %s: calls until all were rotated: %d", cloud, c.calls)
	t.Logf("figure: load, %s: hours until all were rotated, simulated: %.1f", cloud, time.Since(c.first).Hours())
	t.Logf("figure: load, %s: longest wait of a runner that was due, in calls: %d", cloud, c.calls-1)
	t.Logf("figure: load, %s: runners that failed before their refresh, and stopped no other: %d", cloud, len(bad))
	for i := range bad {
		if a.Refreshes(a.ids[i]) > 0 || !reported[i] {
			t.Errorf("%s was refreshed %d times; that it failed was reported: %t", name(i), a.Refreshes(a.ids[i]), reported[i])
		}
		s.forbid(i, false)
		a.FinishTasks(a.ids[i])
	}

	c.turn(func() bool {
		said, failed := must(s.call)
		if failed {
			t.Errorf("when nothing is in the way any more: %s", said)
		}
		return false
	})
	c.turn(func() bool {
		said, failed := must(s.call)
		if failed || len(a.order()) != n {
			t.Errorf("when nothing is due any more: %s", said)
		}
		return false
	})
	runners, refreshes := a.rotated()
	t.Logf("figure: load, %s: runners rotated: %d", cloud, runners)
	t.Logf("figure: load, %s: refreshes: %d", cloud, refreshes)
	if runners != n || refreshes != n {
		t.Errorf("%d of %d runners were rotated by %d refreshes", runners, n, refreshes)
	}
	a.mustKeepTheLimit(t, cloud, true)
	client := a.unlimited(t)
	for i, id := range a.ids {
		a.mustBeBack(t, client, id, s.stored(i))
	}

	// A month later: the sixth does not come back.
	time.Sleep(720 * time.Hour)
	oldest := a.order()
	down := number(oldest[5]) - 1
	s.breakRestarts(down, true)
	c.turn(func() bool {
		said, failed := must(s.call)
		if !failed || !strings.Contains(said, name(down)) {
			t.Errorf("that %s is down is not reported", name(down))
		}
		return false
	})
	at := len(a.order())
	if a.Refreshes(oldest[5]) != 2 || s.connected(down) {
		t.Fatalf("%s is not down", name(down))
	}
	for i := range a.ids {
		if i != down && !s.connected(i) {
			t.Errorf("%s is down too", name(i))
		}
	}
	t.Logf("figure: load, %s: refreshes that went well while one stayed down: %d", cloud, at-n-1)
	c.turn(func() bool {
		_, failed := must(s.call)
		if !failed || len(a.order()) != at {
			t.Errorf("while it is down %d runners were refreshed", len(a.order())-at)
		}
		return false
	})
	s.breakRestarts(down, false)
	var begun atomic.Bool
	a.onRefresh = func() {
		if !begun.Swap(true) && !s.connected(down) {
			t.Errorf("another was refreshed before %s was healed", name(down))
		}
	}
	c.turn(func() bool {
		said, failed := must(s.call)
		if failed {
			t.Errorf("when it can come back: %s", said)
		}
		return false
	})
	if !begun.Load() || a.Refreshes(oldest[5]) != 2 {
		t.Errorf("when it can come back: no other was rotated, or it was again")
	}
	again := a.order()[n:]
	if compact := slices.Compact(slices.Sorted(slices.Values(again))); len(compact) != len(again) {
		t.Errorf("%d refreshes for %d runners", len(again), len(compact))
	}
	for i := range a.ids {
		if !s.connected(i) {
			t.Errorf("%s is down", name(i))
		}
	}
}

// settled is how many goroutines of this test there are when all that have something to do now have done it. Others, as that
// which runs finalizers, come and go.
func settled() int {
	synctest.Wait()
	stacks := make([]byte, 16<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("synctest bubble"))
}
