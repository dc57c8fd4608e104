package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// stopped refuses a runner that is scaled to zero.
func (f *facts) stopped() Step {
	detail := f.Platform.Instances.Detail
	if f.Agent.Connected {
		return refuse(Errorf(NotReady,
			"Maia says that the runner is connected, and its platform shows no instance that uses the secret: %s", detail).
			WithHint("find out where the runner runs; if it was scaled to zero just now, nothing"))
	}
	return refuse(Errorf(NotReady, "%w: %s", ErrStopped, detail).WithHint("scale it up; it reads what the store holds when it starts"))
}

// restart orders instances that read the store. Ones that are alive are drained before. Ones that this run's refresh cut off, or
// that are not connected, cannot drain; those that it has restarted since can.
func (f *facts) restart() Step {
	if f.Run.Restarts >= maxTries {
		return refuse(Errorf(Vendor, "the instances do not come up with the stored secret after %d restarts: %s",
			f.Run.Restarts, f.Platform.Instances.Detail).
			WithHint("check the instances' logs; the next run restarts them again"))
	}
	alive := f.Run.Sent == nil || f.Run.Restarts > 0 && f.Platform.Instances.up()
	if f.Agent.Connected && alive && !f.partlyOrdered() && (f.Agent.Status == maia.StatusRunning || f.paused()) {
		if step, decided := f.drain(0); decided {
			return step
		}
	}
	return Step{Kind: Restart, Reason: "the instances do not run with what the store holds"}
}

// partlyOrdered reports whether only a part of what runs with the secret was restarted for what is stored now. The rest is cut
// off, and cannot drain.
func (f *facts) partlyOrdered() bool {
	ordered := f.Platform.Note.Ordered
	return ordered != nil && ordered.For == f.inStore && f.Platform.Instances.Read != ReadCurrent
}

// awaitBack waits for instances that are on the way, and refuses if they will not come; decided is false if they are steady and
// as connected as this run needs it.
func (f *facts) awaitBack() (step Step, decided bool) {
	instances := f.Platform.Instances
	if f.notSeenBack() || f.Run.Mode == Finish && !f.Agent.Connected {
		if f.comesNoMore() {
			return f.restart(), true
		}
		if !instances.up() || !f.Agent.Connected || f.Run.ConnectedReads < 2 {
			return f.awaitConnected(), true
		}
	}
	if !f.Agent.Connected {
		since := f.Run.DrainSince
		if !since.IsZero() && f.now.Before(since.Add(f.policy.DrainTimeout)) && f.left() > f.budget() {
			return Step{Kind: AwaitDrained, Reason: "the runner lost its connection while it drained"}, true
		}
		return refuse(Errorf(NotReady,
			"Maia says that the runner is not connected (status %q), though store and instances hold the valid secret", f.Agent.Status).
			WithHint("check the runner's logs and network; nothing is refreshed while it is down")), true
	}
	if instances.State != Steady && f.due() {
		return refuse(Errorf(NotReady, "the deployment is %s: %s", instances.State, instances.Detail).
			WithHint("wait until it is steady, or repair it")), true
	}
	return Step{}, false
}

// left is how long this run may go on.
func (f *facts) left() time.Duration { return f.Run.Deadline.Sub(f.now) }

// wedged is the age of an order whose instances run, and are still not connected, at which a run may order others.
const wedged = time.Hour

// comesNoMore reports whether the ordered instances are given up: by the platform; or by us, once in a run, if they did not come
// up within the connect time-out, or have run for long without a connection. Instances that are only slow are not given up.
func (f *facts) comesNoMore() bool {
	instances, ordered := f.Platform.Instances, f.Platform.Note.Ordered
	if instances.State == Failed {
		return true
	}
	if f.Run.Restarts > 0 {
		return false
	}
	if ordered == nil {
		return instances.State == Failing // since when is not known
	}
	age := f.now.Sub(ordered.At)
	return instances.State == Failing && age >= f.policy.ConnectTimeout || instances.up() && !f.Agent.Connected && age >= wedged
}

// waitingSince is when this run began to wait for the instances.
func (f *facts) waitingSince() time.Time {
	if since := f.Run.RestartedAt; !since.IsZero() {
		return since
	}
	return f.Run.Started
}

func (f *facts) awaitConnected() Step {
	late, instances := !f.now.Before(f.waitingSince().Add(f.policy.ConnectTimeout)), f.Platform.Instances
	switch {
	case late && instances.State == Rolling:
		return refuse(Errorf(NotReady, "%w, and were not up within %s: %s", ErrStarting, f.policy.ConnectTimeout, instances.Detail).
			WithHint("nothing: the next run waits on, and orders no other restart; if this repeats, check the deployment's events"))
	case late:
		return refuse(Errorf(Vendor, "the runner has not come back within %s (instances %s, Maia says status %q, connected %t): %s",
			f.policy.ConnectTimeout, instances.State, f.Agent.Status, f.Agent.Connected, instances.Detail).
			WithHint("check the instances' logs; the store holds the valid secret"))
	case f.left() <= 0:
		return refuse(Errorf(NotReady, "%w when the time of this run was up: %s", ErrStarting, instances.Detail).
			WithHint("nothing: the next run waits on; give the function more time if this repeats"))
	}
	return Step{Kind: AwaitConnected, Reason: "instances are starting"}
}
