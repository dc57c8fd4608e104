package rotate

import (
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Drain says what to do about pipelines that run when a runner must be refreshed or restarted.
type Drain string

// The ways to drain.
const (
	DrainPause Drain = "pause" // pause the runner at Maia, wait until its tasks have finished, resume it at the end
	DrainNone  Drain = "none"  // do not wait: running pipelines fail
)

// Policy is what an operator decides. Start from [DefaultPolicy].
type Policy struct {
	Drain          Drain
	DrainTimeout   time.Duration // how long running pipelines may take to finish, else nothing is refreshed
	ConnectTimeout time.Duration // how long restarted instances may take to connect to Maia
	QuietTime      time.Duration // how long after a refresh of unknown outcome no other is sent
	Every          time.Duration // age of the last rotation at which the next is due; 0: every run is due (the trigger decides)
	Window         *Window       // when a refresh that is due by its age may begin; nil: always. A request is answered outside of it, too
	// OnlyKnown adopts nothing into a runner of which there is no note: for a function that does not know at the moment whether
	// another of its targets is the same runner.
	OnlyKnown bool
}

// DefaultPolicy is what fits a runner whose pipelines finish within minutes.
func DefaultPolicy() Policy {
	return Policy{
		Drain:          DrainPause,
		DrainTimeout:   5 * time.Minute,
		ConnectTimeout: 8 * time.Minute,
		QuietTime:      5 * time.Minute,
	}
}

// Validate returns a Configuration error that names the first field that cannot be.
func (p Policy) Validate() error {
	if p.Drain != DrainPause && p.Drain != DrainNone {
		return Errorf(Configuration, "drain is %q, expected %q or %q", p.Drain, DrainPause, DrainNone)
	}
	for _, field := range []struct {
		name     string
		value    time.Duration
		positive bool
	}{
		{"drain time-out", p.DrainTimeout, true},
		{"connect time-out", p.ConnectTimeout, true},
		{"quiet time", p.QuietTime, true},
		{"rotate every", p.Every, false},
	} {
		if field.value < 0 || field.positive && field.value == 0 {
			return Errorf(Configuration, "%s is %s, expected a positive duration", field.name, field.value)
		}
	}
	return nil
}

// pauseTime is how long it may take from noting a pause until it shows.
const pauseTime = time.Minute

// downtimeBudget is the time from the sending of a refresh until the runner is back, at most: a pause must outlast it.
func (p Policy) downtimeBudget(store time.Duration) time.Duration {
	return maia.RefreshTimeout + store + p.ConnectTimeout
}

// budget is the time that must be left in a run when it sends a refresh.
func (f *facts) budget() time.Duration {
	if f.Run.Mode == Rotate {
		return f.policy.downtimeBudget(f.Run.StoreTime)
	}
	return maia.RefreshTimeout + f.Run.StoreTime
}

// rotationBudget is how long a rotation may take from its pause until the runner is back, unless instances are slow.
func (f *facts) rotationBudget() time.Duration {
	return f.policy.DrainTimeout + f.policy.downtimeBudget(f.Run.StoreTime)
}

// Mode says how far a run may go.
type Mode string

// The modes of a run.
const (
	Rotate Mode = "rotate" // refresh if it is due, and bring the runner back
	Stage  Mode = "stage"  // refresh if it is due, and stop as soon as the store holds what Maia holds
	Finish Mode = "finish" // never refresh: bring the runner back, end of a rotation that Stage began
	Heal   Mode = "heal"   // never refresh: finish or repair what an earlier run, a person or a tool left
)

func (m Mode) mayRefresh() bool { return m == Rotate || m == Stage }

func (m Mode) validate() error {
	switch m {
	case Rotate, Stage, Finish, Heal:
		return nil
	}
	return fmt.Errorf("rotate: unknown mode %q", m)
}
