package fleet_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// runner is a platform in memory. A restart takes half a second.
type runner struct {
	place *place
	id    string

	mu       sync.Mutex
	secret   string
	note     rotate.Note
	wishes   rotate.Wishes
	state    rotate.InstanceState
	read     rotate.ReadState
	instance *maiatest.Instance
	busy     string // who is at work on it
	unfit    error  // what Check says
	broken   bool   // restarts do not come back
	starts   time.Duration
	bad      string // what Observe panics with
}

const clientID = "runner-client"

func (r *runner) AgentID() string { return r.id }

func (r *runner) StoreTime() time.Duration { return rotate.DefaultStoreTime }

func (r *runner) Busy(context.Context) (string, bool, error) { return r.busy, r.busy != "", nil }

func (r *runner) Observe(context.Context) (rotate.Platform, error) {
	if r.bad != "" {
		panic(r.bad)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return rotate.Platform{
		Stored:    maia.Credentials{ClientID: clientID, ClientSecret: maia.NewSecret(r.secret)},
		Instances: rotate.Instances{State: r.state, Read: r.read}, Note: r.note, Wishes: r.wishes,
	}, nil
}

func (r *runner) Wish(_ context.Context, change func(*rotate.Wishes)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.wishes)
	return nil
}

func (r *runner) Check(context.Context) error { return r.unfit }

func (r *runner) SaveNote(_ context.Context, note rotate.Note) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if note.Intent != nil && r.note.Intent == nil {
		r.place.begins(r.id)
	}
	r.note = note
	return nil
}

func (r *runner) Store(_ context.Context, credentials maia.Credentials) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret, r.read = credentials.ClientSecret.Reveal(), rotate.ReadOlder
	return nil
}

func (r *runner) Restart(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read, r.state = rotate.ReadCurrent, rotate.Rolling
	time.AfterFunc(cmp.Or(r.starts, 500*time.Millisecond), func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.state = rotate.Failed; r.broken {
			return
		}
		r.state = rotate.Steady
		r.connect()
	})
	return nil, nil
}

// connect has a new instance log in, in place of the one before.
func (r *runner) connect() {
	if r.instance != nil {
		r.instance.Close()
	}
	r.instance, _ = r.place.maia.Connect(r.id, clientID, r.secret)
}

// stop scales the runner to zero.
func (r *runner) stop() {
	r.state = rotate.Stopped
	r.instance.Close()
}

// place is several runners and Maia.
type place struct {
	t       *testing.T
	maia    *maiatest.Server
	client  *maia.Client
	runners []*runner
	log     bytes.Buffer
	every   time.Duration

	mu      sync.Mutex
	order   []string // in which refreshes were begun
	at      map[string]time.Time
	opening func(name string) error // nil: succeeds
}

func newPlace(t *testing.T, n int) *place {
	p := &place{t: t, maia: maiatest.New(), every: 720 * time.Hour, at: map[string]time.Time{}}
	t.Cleanup(p.maia.Close)
	p.client = p.maia.Client(t)
	for i := range n {
		r := &runner{place: p, id: fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1), state: rotate.Steady, read: rotate.ReadUnknown}
		p.maia.AddAgent(maiatest.AgentSpec{ID: r.id, Name: fmt.Sprint("runner ", i), ClientID: clientID})
		r.secret = p.maia.LiveSecret(r.id)
		r.connect()
		p.runners = append(p.runners, r)
	}
	return p
}

func (p *place) begins(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order = append(p.order, id)
	p.at[id] = time.Now()
}

func (p *place) policy() rotate.Policy {
	policy := rotate.DefaultPolicy()
	policy.Drain, policy.ConnectTimeout, policy.Every = rotate.DrainNone, time.Minute, p.every
	return policy
}

func (p *place) fleet() fleet.Fleet {
	return fleet.Fleet{Policy: p.policy(), Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: &p.log}, nil))}
}

func (p *place) targets() []fleet.Target {
	targets := make([]fleet.Target, len(p.runners))
	for i, r := range p.runners {
		name := fmt.Sprintf("target %02d", i+1)
		targets[i] = fleet.Target{Name: name, Open: func(context.Context) (fleet.Runner, *rotate.Rotator, error) {
			if p.opening != nil {
				if err := p.opening(name); err != nil {
					return nil, nil, err
				}
			}
			return r, &rotate.Rotator{Maia: p.client, Policy: p.policy()}, nil
		}}
	}
	return targets
}

// run is one call of a function, which may take an hour.
func (p *place) run() fleet.Result {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Hour)
	defer cancel()
	return p.fleet().Run(ctx, p.targets())
}

func (p *place) refreshes() (n int) {
	for _, r := range p.runners {
		n += p.maia.Refreshes(r.id)
	}
	return n
}

// aged has all runners been rotated some time ago, the first one the longest.
func (p *place) aged(ages ...time.Duration) {
	for i, age := range ages {
		r := p.runners[i]
		r.note.LastRotation = &rotate.Rotation{At: time.Now().Add(-age), New: maia.NewSecret(r.secret).Fingerprint()}
		r.note.Applied = r.note.LastRotation.New
	}
}

func (p *place) outcomes(result fleet.Result) []string {
	outcomes := make([]string, len(result.Targets))
	for i, target := range result.Targets {
		outcomes[i] = string(target.Outcome)
		if target.Reason != "" {
			outcomes[i] += ": " + target.Reason
		}
	}
	return outcomes
}

// failed reports whether a target has an error of this kind whose text has all of these words.
func failed(target fleet.TargetResult, kind rotate.Kind, words ...string) bool {
	return target.Error != nil && target.Error.Kind == kind &&
		!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(target.Error.Error(), word) })
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// in plays a test in a bubble, where hours take no time.
func in(t *testing.T, play func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, play)
}

func TestAllAreRotatedOnce(t *testing.T) {
	in(t, func(t *testing.T) {
		for _, n := range []int{1, 2, 20} {
			p := newPlace(t, n)
			result := p.run()
			if result.Failed() || p.refreshes() != n {
				t.Errorf("of %d runners %d were refreshed; failed %t", n, p.refreshes(), result.Failed())
			}
			for _, target := range result.Targets {
				if target.Outcome != rotate.Rotated || target.AgentID == "" || target.Error != nil {
					t.Errorf("%s: %s", target.Target, target.Text())
				}
			}
			again := p.run()
			if again.Failed() || p.refreshes() != n || slices.ContainsFunc(p.outcomes(again), func(o string) bool { return o != "nothing_due" }) {
				t.Errorf("one more call: %v, %d refreshes", p.outcomes(again), p.refreshes())
			}
		}
	})
}

// TestOrder: the oldest first, one that was never rotated before all; the first alone until it has gone well, then at most
// four at a time.
func TestOrder(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 12)
		const day = 24 * time.Hour
		p.aged(31*day, 40*day, 29*day, 60*day, 35*day, 32*day, 33*day, 34*day, 36*day, 37*day, 38*day) // the last one never
		result := p.run()
		want := []int{12, 4, 2, 11, 10, 9, 5, 8, 7, 6, 1}
		got := make([]int, 0, len(want))
		for _, id := range p.order {
			got = append(got, slices.IndexFunc(p.runners, func(r *runner) bool { return r.id == id })+1)
		}
		if got[0] != want[0] || len(got) != len(want) {
			t.Fatalf("rotated are %v, expected %v", got, want)
		}
		first, second := p.at[p.order[0]], p.at[p.order[1]]
		if second.Sub(first) < time.Second {
			t.Errorf("the second begins %s after the first, expected it to wait for its end", second.Sub(first))
		}
		// The four after the first begin together, in whatever order; so do the next ones.
		for at := 1; at < len(want); at += 4 {
			group := slices.Sorted(slices.Values(got[at:min(at+4, len(got))]))
			if expected := slices.Sorted(slices.Values(want[at:min(at+4, len(want))])); !slices.Equal(group, expected) {
				t.Errorf("together are %v, expected %v", group, expected)
			}
		}
		if outcome := result.Targets[2].Outcome; outcome != fleet.NothingDue {
			t.Errorf("the one that is not old enough: %s", outcome)
		}
	})
}

// TestFailuresBeforeARefreshAreIsolated has one in four fail.
func TestFailuresBeforeARefreshAreIsolated(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 8)
		p.runners[0].unfit = rotate.Errorf(rotate.Permission, "may not patch deployments")
		p.opening = func(name string) error {
			if name == "target 05" {
				return rotate.Errorf(rotate.Configuration, "there is no such release")
			}
			return nil
		}
		result := p.run()
		if !result.Failed() || p.refreshes() != 6 {
			t.Errorf("failed %t, %d refreshes", result.Failed(), p.refreshes())
		}
		for i, want := range map[int]rotate.Kind{0: rotate.Permission, 4: rotate.Configuration} {
			if target := result.Targets[i]; !failed(target, want) {
				t.Errorf("%s: %s", target.Target, target.Text())
			}
		}
	})
}

// TestBusyRunnersDoNotStarveTheOthers: pipelines run for ever on the oldest, and each try waits for them for as long as it
// may, so that a call has no time for more than a few such tries.
func TestBusyRunnersDoNotStarveTheOthers(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 12)
		for _, busy := range p.runners[:8] {
			p.maia.SetRunningTasks(busy.id, 1)
		}
		call := func() {
			f := p.fleet()
			f.Policy.Drain = rotate.DrainPause
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
			f.Run(ctx, targets)
		}
		call()
		first := p.refreshes()
		call()
		if p.refreshes() != 4 || first == 4 {
			t.Errorf("%d were refreshed by the first call and %d by the second, expected 4 in all, and not by the first", first, p.refreshes()-first)
		}
		for i, r := range p.runners {
			if tried := !r.note.Tried.IsZero(); i == 0 && !tried || i >= 8 && tried {
				t.Errorf("runner %d: tried %t", i, tried)
			}
		}
		for _, busy := range p.runners[:8] {
			p.maia.FinishTasks(busy.id)
		}
		call()
		for i, r := range p.runners {
			if p.maia.Refreshes(r.id) != 1 || !r.note.Tried.IsZero() {
				t.Errorf("runner %d: %d refreshes, tried %s", i, p.maia.Refreshes(r.id), r.note.Tried)
			}
		}
	})
}

func TestDuplicatesAreRefused(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 3)
		p.runners[2].id = strings.ToUpper(p.runners[0].id)
		result := p.run()
		if p.maia.Refreshes(p.runners[0].id) != 0 || p.maia.Refreshes(p.runners[1].id) != 1 {
			t.Error("duplicates were refreshed, or the other one was not")
		}
		for _, i := range []int{0, 2} {
			if target := result.Targets[i]; !failed(target, rotate.Configuration, "is named by target 01 and target 03") {
				t.Errorf("%s: %s", target.Target, target.Text())
			}
		}
	})
}

func TestBusyIsLeftAlone(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		p.runners[0].busy = "another"
		result := p.run()
		if result.Failed() || p.refreshes() != 1 || result.Targets[0].Outcome != fleet.LeftAlone {
			t.Errorf("failed %t, %d refreshes, %q", result.Failed(), p.refreshes(), result.Targets[0].Outcome)
		}
	})
}

// TestDownAndHeldByAnotherCallStopsRefreshes: of a runner that is left to another call the note says whether it is down.
func TestDownAndHeldByAnotherCallStopsRefreshes(t *testing.T) {
	for name, test := range map[string]struct {
		note      rotate.Note
		refreshes int
	}{
		"back":                    {rotate.Note{Applied: "b", LastRotation: &rotate.Rotation{Over: "a", New: "b"}}, 1},
		"refreshed, and not back": {rotate.Note{Applied: "a", LastRotation: &rotate.Rotation{Over: "a", New: "b"}}, 0},
		"about to be refreshed":   {rotate.Note{Applied: "a", Intent: &rotate.Intent{Over: "a"}}, 0},
		"owed a restart":          {rotate.Note{Applied: rotate.AppliedNothing}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				p := newPlace(t, 2)
				p.runners[0].busy, p.runners[0].note = "another", test.note
				if result := p.run(); p.refreshes() != test.refreshes {
					t.Errorf("%d refreshes, want %d; %v", p.refreshes(), test.refreshes, p.outcomes(result))
				}
			})
		})
	}
}

// TestNothingIsAdoptedWhileATargetIsUnknown: two targets name one agent, and the one that is its platform cannot be opened in this call.
func TestNothingIsAdoptedWhileATargetIsUnknown(t *testing.T) {
	for name, known := range map[string]bool{"without a note": false, "with a note": true} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				p := newPlace(t, 2)
				second := p.runners[1]
				if known {
					second.note.Applied = maia.NewSecret(second.secret).Fingerprint()
				}
				second.secret = "what the other target's runner does not hold"
				second.instance.Close()
				p.opening = func(name string) error {
					if name == "target 01" {
						return rotate.Errorf(rotate.NotReady, "the cluster does not answer")
					}
					return nil
				}
				result := p.run()
				if adopted := second.secret == p.maia.LiveSecret(second.id); adopted != known {
					t.Errorf("adopted %t; %v", adopted, result.Targets[1].Error)
				}
				if !known && !strings.Contains(result.Targets[1].Text(), "another target is not known") {
					t.Errorf("error %q", result.Targets[1].Text())
				}
			})
		})
	}
}

// TestSlowRunnerHoldsTheOthers: while one that was refreshed does not come back no other is begun; when it is back they go on.
func TestSlowRunnerHoldsTheOthers(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 30)
		slow := p.runners[2]
		for _, r := range p.runners {
			r.starts = 40 * time.Second
		}
		slow.starts = 4 * time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		f := p.fleet()
		f.Policy.ConnectTimeout = 8 * time.Minute
		targets := p.targets()
		for i, target := range targets {
			targets[i].Open = func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
				runner, rotator, err := target.Open(ctx)
				rotator.Policy = f.Policy
				return runner, rotator, err
			}
		}
		f.Run(ctx, targets)
		if p.refreshes() != 30 {
			t.Errorf("%d refreshes, want all", p.refreshes())
		}
		cut := p.at[slow.id]
		for id, at := range p.at {
			if at.After(cut.Add(2*time.Minute+5*time.Second)) && at.Before(cut.Add(4*time.Minute)) {
				t.Errorf("%s was begun %s after the slow one, which was not back", id, at.Sub(cut))
			}
		}
	})
}

// TestDownStopsRefreshes: one that does not come back ends the refreshes of this call; the next call heals it first.
func TestDownStopsRefreshes(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 6)
		p.runners[0].broken = true
		result := p.run()
		if !result.Failed() || p.refreshes() != 1 {
			t.Fatalf("failed %t, %d refreshes, expected one", result.Failed(), p.refreshes())
		}
		if got := p.outcomes(result)[1]; got != "not_begun: a runner is down (target 01)" {
			t.Errorf("the second: %q", got)
		}
		if again := p.run(); !again.Failed() || p.refreshes() != 1 {
			t.Errorf("while it is down: failed %t, %d refreshes", again.Failed(), p.refreshes())
		}
		p.runners[0].broken = false
		healed := p.run()
		if healed.Failed() || p.refreshes() != 6 || healed.Targets[0].Healing == nil || !healed.Targets[0].Healing.Connected {
			t.Errorf("when it can come back: %v, %d refreshes", p.outcomes(healed), p.refreshes())
		}
		if p.maia.Refreshes(p.runners[0].id) != 1 {
			t.Error("the one that was healed was refreshed again")
		}
	})
}

// TestDownInTheMiddle: those at work together end, and no other begins.
func TestDownInTheMiddle(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 12)
		p.runners[1].broken = true
		result := p.run()
		if !result.Failed() || p.refreshes() < 2 || p.refreshes() > 5+8 {
			t.Errorf("failed %t, %d refreshes", result.Failed(), p.refreshes())
		}
		waiting := 0
		for _, outcome := range p.outcomes(result) {
			if strings.Contains(outcome, "a runner is down (target 02)") {
				waiting++
			}
		}
		if waiting+p.refreshes() != 12 || waiting == 0 {
			t.Errorf("%d wait, %d were refreshed", waiting, p.refreshes())
		}
	})
}

// TestTooLittleTime: finding the runners takes some of it.
func TestTooLittleTime(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		// A drain, a store and a connect, and what else is asked, are seven minutes.
		ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
		defer cancel()
		targets := p.targets()
		for i, target := range targets {
			targets[i].Open = func(ctx context.Context) (fleet.Runner, *rotate.Rotator, error) {
				time.Sleep(time.Minute)
				return target.Open(ctx)
			}
		}
		result := p.fleet().Run(ctx, targets)
		if result.Failed() || p.refreshes() != 0 || !strings.Contains(result.Targets[0].Reason, "too little time is left") {
			t.Errorf("failed %t, %d refreshes, %v", result.Failed(), p.refreshes(), p.outcomes(result))
		}
	})
}

// TestNeverEnoughTime: what would wait for ever is reported, and only of those that are due.
func TestNeverEnoughTime(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Minute)
		defer cancel()
		result := p.fleet().Run(ctx, p.targets())
		first := result.Targets[0]
		if !result.Failed() || p.refreshes() != 0 || !failed(first, rotate.Configuration, "may take 7m0s") || first.Healing == nil {
			t.Errorf("failed %t, %d refreshes, %q", result.Failed(), p.refreshes(), first.Text())
		}
		if result := p.run(); result.Failed() {
			t.Fatalf("failed: %v", p.outcomes(result))
		}
		again, cancel := context.WithTimeout(t.Context(), 7*time.Minute)
		defer cancel()
		if result := p.fleet().Run(again, p.targets()); result.Failed() {
			t.Errorf("nothing is due, and it failed: %q", result.Targets[0].Text())
		}
	})
}

// TestNeeded: the time for storing is that of the runners' platforms.
func TestNeeded(t *testing.T) {
	policy := rotate.DefaultPolicy()
	if got := fleet.Needed(policy, rotate.DefaultStoreTime); got != 14*time.Minute {
		t.Errorf("by default %s", got)
	}
	if got := fleet.Needed(policy, 2*time.Minute); got != 15*time.Minute+40*time.Second {
		t.Errorf("with more time for storing %s", got)
	}
}

func TestScaledToZeroIsNoFailure(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 3)
		p.aged(24 * time.Hour)
		for _, r := range p.runners[:2] {
			r.stop()
		}
		result := p.run()
		want := []string{"stopped: it is scaled to zero, and there is nothing to heal", "not_begun: it is scaled to zero", "rotated"}
		if result.Failed() || p.refreshes() != 1 || !slices.Equal(p.outcomes(result), want) {
			t.Errorf("failed %t, %d refreshes, %v", result.Failed(), p.refreshes(), p.outcomes(result))
		}
	})
}

// TestScaledToZeroWhileDown: that does not hide that a refresh of ours has cut it off.
func TestScaledToZeroWhileDown(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		first := p.runners[0]
		first.broken = true
		p.run()
		first.state, first.read = rotate.Stopped, rotate.ReadUnknown
		p.log.Reset()
		result := p.run()
		target := result.Targets[0]
		if !result.Failed() || p.refreshes() != 1 || !failed(target, rotate.NotReady, "scaled to zero", "scale it up") {
			t.Errorf("failed %t, %d refreshes, %q, %v", result.Failed(), p.refreshes(), target.Text(), p.outcomes(result))
		}
		if down, _ := p.lines()["runner"][0]["downtime_seconds"].(float64); down <= 0 {
			t.Errorf("it is reported to be down for %g s", down)
		}
		first.broken, first.state = false, rotate.Steady
		first.connect()
		if result := p.run(); result.Failed() || p.refreshes() != 2 {
			t.Errorf("scaled up: failed %t, %d refreshes, %v", result.Failed(), p.refreshes(), p.outcomes(result))
		}
	})
}

// TestPanic: one runner's is reported by its type only, and the others go on.
func TestPanic(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		p.runners[0].bad = "holds " + p.runners[0].secret
		result := p.run()
		if !result.Failed() || p.refreshes() != 1 || !failed(result.Targets[0], rotate.Internal, "panic of type string") {
			t.Errorf("failed %t, %d refreshes, %q", result.Failed(), p.refreshes(), result.Targets[0].Text())
		}
		p.noSecret(result)
	})
}

func TestPlanChangesNothing(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 2)
		p.runners[1].unfit = rotate.Errorf(rotate.Permission, "may not patch deployments")
		result := p.fleet().Plan(t.Context(), p.targets())
		if p.refreshes() != 0 || len(p.order) != 0 {
			t.Error("something was refreshed or noted")
		}
		first := result.Targets[0]
		if first.Error != nil || first.Rotation == nil || first.Rotation.Outcome != rotate.Planned || len(first.Rotation.Steps) == 0 {
			t.Errorf("the first: %q, %+v", first.Text(), first.Rotation)
		}
		if second := result.Targets[1]; !failed(second, rotate.Permission) {
			t.Errorf("the second: %q", second.Text())
		}
	})
}

// TestLog: a line "runner" for each runner in each call, from which metrics are made, and no secret anywhere.
func TestLog(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 3)
		p.runners[1].unfit = rotate.Errorf(rotate.Permission, "may not patch deployments")
		p.runners[2].stop()
		p.noSecret(p.run())
		lines := p.lines()
		if len(lines["runner"]) != 3 || len(lines["the runner failed"]) != 1 || len(lines["report"]) == 0 {
			t.Fatalf("lines are:\n%s", p.log.String())
		}
		line := lines["runner"][0]
		if line["runner"] != p.runners[0].id || line["target"] != "target 01" || line["outcome"] != "rotated" || line["refreshed"] != true ||
			line["connected"] != true || line["downtime_seconds"] != 0.0 || line["age_days"] == nil {
			t.Errorf("the line of the first is %v", line)
		}
		if failed := lines["the runner failed"][0]; failed["kind"] != "permission" || failed["state"] != "not_refreshed" ||
			failed["error"] == "" || failed["level"] != "ERROR" {
			t.Errorf("the line of the second is %v", failed)
		}
		if report := lines["report"][0]; report["mode"] == nil || report["outcome"] == nil || report["took_ms"] == nil {
			t.Errorf("the report is %v", report)
		}
	})
}

// lines are those of the log, by their messages.
func (p *place) lines() map[string][]map[string]any {
	p.t.Helper()
	lines := map[string][]map[string]any{}
	for line := range strings.Lines(p.log.String()) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			p.t.Fatal(err)
		}
		lines[object["msg"].(string)] = append(lines[object["msg"].(string)], object)
	}
	return lines
}

// TestAgeIsReported of runners that are not rotated, too, and of those that another run is at work on: by it the alerts find what
// waits for ever.
func TestAgeIsReported(t *testing.T) {
	in(t, func(t *testing.T) {
		p := newPlace(t, 6)
		p.aged(40*24*time.Hour, 24*time.Hour)
		p.runners[0].busy, p.runners[2].busy = "another", "another"
		p.runners[3].stop()
		p.runners[4].unfit = rotate.Errorf(rotate.Permission, "may not patch deployments")
		p.opening = func(name string) error {
			if name == "target 06" {
				return rotate.Errorf(rotate.Configuration, "there is no such release")
			}
			return nil
		}
		p.run()
		ages := map[any]float64{"target 01": 40, "target 02": 1}
		lines := p.lines()["runner"]
		if len(lines) != 5 { // the agent of the last is not known
			t.Errorf("%d lines", len(lines))
		}
		for _, line := range lines {
			age, reported := line["age_days"].(float64)
			want, rotated := ages[line["target"]]
			if reported != rotated || int(age+0.01) != int(want) || (line["never_rotated"] == true) == rotated {
				t.Errorf("got %v, expected an age of %g days", line, want)
			}
			if _, observed := line["downtime_seconds"]; observed == (line["outcome"] == "left_alone") {
				t.Errorf("got %v", line)
			}
		}
	})
}

// noSecret finds no secret in what a call answers and logs.
func (p *place) noSecret(result fleet.Result) {
	p.t.Helper()
	text, err := json.Marshal(result)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, r := range p.runners {
		for _, secret := range append(p.maia.Revoked(r.id), p.maia.LiveSecret(r.id)) {
			if bytes.Contains(text, []byte(secret)) || bytes.Contains(p.log.Bytes(), []byte(secret)) {
				p.t.Error("a secret is in the answer or in the log")
			}
		}
	}
}
