package fleet_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const day = 24 * time.Hour

// call is one of a function that is configured so. Its rotators have the same policy.
func (p *place) call(change func(*fleet.Fleet)) fleet.Result {
	f := p.fleet()
	change(&f)
	targets := p.targets()
	for i, target := range targets {
		targets[i].Open = func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
			runner, rotator, err := target.Open(ctx)
			rotator.Policy = f.Policy
			return runner, rotator, err
		}
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Minute)
	defer cancel()
	return f.Run(ctx, targets)
}

func (p *place) mustSay(result fleet.Result, wants ...string) {
	p.t.Helper()
	for i, outcome := range p.outcomes(result) {
		if !strings.HasPrefix(outcome, wants[i]) {
			p.t.Errorf("%s: %s, want %s", result.Targets[i].Target, outcome, wants[i])
		}
	}
	if result.Failed() {
		p.t.Error("the call has failed")
	}
}

func TestRequestsAndHolds(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 4)
		p.aged(day, 2*day, 60*day, 60*day)
		hold := &rotate.Hold{Until: time.Now().Add(time.Hour), By: "jo", Why: "month-end run"}
		p.runners[1].wishes.Requested = &rotate.Request{ID: "one", By: "jo"}
		p.runners[2].wishes.Held = hold
		p.runners[3].wishes = rotate.Wishes{Held: hold, Requested: &rotate.Request{ID: "two", By: "jo"}}
		held := "not_begun: held until 2000-01-01T01:00:00Z by jo: month-end run"
		p.mustSay(p.run(), "nothing_due", "rotated", held, held)
		if p.refreshes() != 1 {
			t.Errorf("%d refreshes", p.refreshes())
		}
		for range 2 {
			time.Sleep(time.Hour)
			p.run()
		}
		if p.refreshes() != 3 {
			t.Errorf("%d refreshes after the holds", p.refreshes())
		}
	})
}

// A hold that comes after the call has read the runner is no failure either.
func TestAHoldThatComesDuringACall(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 1)
		p.aged(60 * day)
		p.opening = func(string) error {
			time.AfterFunc(20*time.Second, func() {
				p.runners[0].mu.Lock()
				defer p.runners[0].mu.Unlock()
				p.runners[0].wishes.Held = &rotate.Hold{Until: time.Now().Add(time.Hour), By: "jo"}
				p.maia.SetRunningTasks(p.runners[0].id, 0)
			})
			return nil
		}
		p.maia.SetRunningTasks(p.runners[0].id, 1)
		p.mustSay(p.call(func(f *fleet.Fleet) { f.Policy.Drain = rotate.DrainPause }), "not_begun: held until")
		if p.refreshes() != 0 {
			t.Errorf("%d refreshes", p.refreshes())
		}
	})
}

func TestRotationsBeginInsideTheWindow(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		p.aged(60*day, day)
		window, err := rotate.ParseWindow("Sat 02:00-03:00") // it is a Saturday, 00:00
		if err != nil {
			t.Fatal(err)
		}
		inWindow := func(f *fleet.Fleet) { f.Policy.Window = window }
		p.mustSay(p.call(inWindow), "not_begun: outside of the window Sat 02:00-03:00, or too close to its end: the next call after "+
			"2000-01-01T02:00:00Z rotates it", "nothing_due")
		time.Sleep(2*time.Hour + 55*time.Minute)
		p.mustSay(p.call(inWindow), "not_begun: outside of the window", "nothing_due") // it would end at 02:55
		p.runners[1].wishes.Requested = &rotate.Request{ID: "one", By: "jo"}
		p.mustSay(p.call(inWindow), "not_begun: outside of the window", "rotated") // whoever asks for it wants it now
		time.Sleep(7*day - 45*time.Minute)
		p.mustSay(p.call(inWindow), "rotated", "nothing_due")
		p.aged(60*day, day)
		p.runners[1].wishes = rotate.Wishes{}
		if window, err = rotate.ParseWindow("Sat 02:00-02:05"); err != nil {
			t.Fatal(err)
		}
		p.mustSay(p.call(inWindow), "not_begun: the window Sat 02:00-02:05 never has the 7m0s", "nothing_due")
	})
}

func TestSomeAreFirst(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 3)
		p.aged(60*day, 31*day, 90*day)
		canary := p.runners[1].id
		first := func(f *fleet.Fleet) { f.First, f.Soak = []string{strings.ToUpper(canary)}, day }
		waits := "not_begun: target 02 is to be first"
		p.mustSay(p.call(first), waits, "rotated", waits)
		time.Sleep(23 * time.Hour)
		p.mustSay(p.call(first), "not_begun: target 02 was first, 23h", "nothing_due", "not_begun: target 02 was first, 23h")
		p.runners[0].wishes.Requested = &rotate.Request{ID: "one", By: "jo"}
		p.mustSay(p.call(first), "rotated", "nothing_due", "not_begun: target 02 was first")
		time.Sleep(2 * time.Hour)
		p.mustSay(p.call(first), "nothing_due", "nothing_due", "rotated")
		if !slices.Equal(p.order, []string{canary, p.runners[0].id, p.runners[2].id}) {
			t.Errorf("in the order %v", p.order)
		}
	})
}

// One that is to be first and does not come back keeps the others from being rotated.
func TestTheFirstIsNotBack(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		p.aged(60*day, 60*day)
		p.runners[1].unfit = rotate.Errorf(rotate.Permission, "may not patch deployments")
		result := p.call(func(f *fleet.Fleet) { f.First, f.Soak = []string{p.runners[1].id}, day })
		if outcomes := p.outcomes(result); !strings.Contains(outcomes[0], "is to be first, and is due or not back") || p.refreshes() != 0 {
			t.Errorf("%v, %d refreshes", outcomes, p.refreshes())
		}
	})
}
