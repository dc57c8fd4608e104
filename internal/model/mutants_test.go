package model

import (
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// mutant is an engine that is broken in one way.
type mutant struct {
	name  string
	spoil func(m *Model)
}

// does makes a mutant that decides otherwise.
func does(name string, next Logic) mutant {
	return mutant{name, func(m *Model) { m.next = next }}
}

type decided func(o rotate.Observation, p rotate.Policy, now time.Time, step rotate.Step) rotate.Step

// knowing makes a decision that goes by what was observed alone.
func knowing(do func(o rotate.Observation, step rotate.Step) rotate.Step) decided {
	return func(o rotate.Observation, _ rotate.Policy, _ time.Time, step rotate.Step) rotate.Step {
		return do(o, step)
	}
}

// instead makes a mutant that does something else where Next says one thing.
func instead(name string, of rotate.StepKind, do decided) mutant {
	return does(name, func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
		step := rotate.Next(o, p, now)
		if step.Kind == of {
			step = do(o, p, now, step)
		}
		return step
	})
}

// blind makes a mutant that does not see something.
func blind(name string, to func(o *rotate.Observation, p *rotate.Policy)) mutant {
	return mutant{name, func(m *Model) { m.blind = to }}
}

func paused(o rotate.Observation) bool {
	return o.Agent.Status == maia.StatusPaused || o.Agent.Status == maia.StatusPausing
}

func step(kind rotate.StepKind) rotate.Step {
	s := rotate.Step{Kind: kind, Reason: "a mutant says so"}
	if kind == rotate.Refuse {
		s.Refusal = rotate.Errorf(rotate.NotReady, "a mutant says so").WithHint("nothing: the next run tries again")
	}
	return s
}

func always(kind rotate.StepKind) func(rotate.Observation, rotate.Policy, time.Time, rotate.Step) rotate.Step {
	return func(rotate.Observation, rotate.Policy, time.Time, rotate.Step) rotate.Step { return step(kind) }
}

// mutants are as many ways to be wrong as there are ideas behind Next.
func mutants() []mutant {
	return []mutant{
		does("adopts nothing", func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
			if next := rotate.Next(o, p, now); next.Kind != rotate.Store || o.Run.Sent != nil {
				return next
			}
			return step(rotate.Done)
		}),
		does("refreshes over what the store lacks", func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
			if next := rotate.Next(o, p, now); next.Kind != rotate.Store || o.Run.Sent != nil ||
				o.Run.Mode == rotate.Heal || o.Run.Mode == rotate.Finish {
				return next
			}
			o.Platform.Stored = o.Maia
			return rotate.Next(o, p, now)
		}),
		blind("refreshes while an intent is open", func(o *rotate.Observation, _ *rotate.Policy) {
			if intent := o.Platform.Note.Intent; intent != nil && intent.By != o.Run.ID {
				o.Platform.Note.Intent = nil
			}
		}),
		blind("refreshes before the quiet time is over", func(_ *rotate.Observation, p *rotate.Policy) { p.QuietTime = time.Nanosecond }),
		blind("refreshes when nothing is due", func(_ *rotate.Observation, p *rotate.Policy) { p.Every = 0 }),
		blind("refreshes again what is staged", func(o *rotate.Observation, _ *rotate.Policy) { o.Platform.Staged = false }),
		blind("skips the check", func(o *rotate.Observation, _ *rotate.Policy) { o.Run.Checked = true }),
		blind("skips the drain", func(_ *rotate.Observation, p *rotate.Policy) { p.Drain = rotate.DrainNone }),
		instead("does not wait for the drain", rotate.AwaitDrained, always(rotate.Refresh)),
		instead("refreshes a disconnected runner", rotate.Refuse,
			func(o rotate.Observation, p rotate.Policy, now time.Time, step rotate.Step) rotate.Step {
				if o.Agent.Connected || o.Run.Refusal != nil {
					return step
				}
				o.Agent.Connected, o.Agent.Status = true, maia.StatusPaused
				return rotate.Next(o, p, now)
			}),
		blind("refreshes while instances roll", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Run.Restarts == 0 {
				o.Platform.Instances.State = rotate.Steady
			}
		}),
		blind("refreshes under a pause that is too short", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Platform.Note.Paused == nil {
				o.Agent.PausedUntil = time.Time{}
			}
		}),
		blind("pauses what another run is pausing", func(o *rotate.Observation, _ *rotate.Policy) {
			if own := o.Platform.Note.Paused; own != nil && !own.Confirmed && own.By != o.Run.ID {
				o.Platform.Note.Paused = nil
			}
		}),
		instead("resumes whatever is paused", rotate.Done,
			func(o rotate.Observation, _ rotate.Policy, _ time.Time, done rotate.Step) rotate.Step {
				if paused(o) && o.Run.Resumes == 0 && o.Run.Mode != rotate.Stage {
					return step(rotate.Resume)
				}
				return done
			}),
		instead("never resumes", rotate.Resume, func(o rotate.Observation, _ rotate.Policy, _ time.Time, resume rotate.Step) rotate.Step {
			if resume.Refusal != nil {
				return rotate.Step{Kind: rotate.Refuse, Reason: resume.Reason, Refusal: resume.Refusal}
			}
			return step(rotate.Done)
		}),
		instead("restarts a healthy runner", rotate.Done, func(o rotate.Observation, _ rotate.Policy, _ time.Time, done rotate.Step) rotate.Step {
			if o.Run.Mode == rotate.Heal && o.Run.Restarts == 0 {
				return step(rotate.Restart)
			}
			return done
		}),
		instead("restarts without a drain", rotate.Pause,
			func(o rotate.Observation, _ rotate.Policy, _ time.Time, pause rotate.Step) rotate.Step {
				if o.Run.Mode == rotate.Heal || o.Run.Mode == rotate.Finish {
					return step(rotate.Restart)
				}
				return pause
			}),
		instead("stores and does not restart", rotate.Restart, always(rotate.Done)),
		instead("is done without the connection", rotate.AwaitConnected, always(rotate.Done)),
		instead("believes in the first read that says connected", rotate.AwaitConnected,
			func(o rotate.Observation, _ rotate.Policy, _ time.Time, await rotate.Step) rotate.Step {
				if o.Agent.Connected {
					return step(rotate.Done)
				}
				return await
			}),
		instead("pauses a disconnected runner", rotate.Restart,
			func(o rotate.Observation, _ rotate.Policy, _ time.Time, restart rotate.Step) rotate.Step {
				if !o.Agent.Connected && o.Run.Pause == rotate.PauseNotSent {
					return step(rotate.Pause)
				}
				return restart
			}),
		blind("adopts anything", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Platform.Note.Applied == "" {
				o.Platform.Note.Applied = rotate.AppliedNothing
			}
		}),
		blind("stores for another client", func(o *rotate.Observation, _ *rotate.Policy) { o.Platform.Stored.ClientID = o.Maia.ClientID }),
		blind("believes a read that lags", func(o *rotate.Observation, _ *rotate.Policy) {
			o.Platform.Note.LastRotation = nil
			if !o.Maia.ClientSecret.IsZero() {
				o.Run.Answer = maia.Credentials{}
			}
		}),
		blind("waits for an outcome for ever", func(_ *rotate.Observation, p *rotate.Policy) { p.QuietTime = 1000 * time.Hour }),
		instead("gives up instead of restarting", rotate.Restart, always(rotate.Refuse)),
		instead("forgets the restart that it owes", rotate.Store,
			func(_ rotate.Observation, _ rotate.Policy, _ time.Time, store rotate.Step) rotate.Step {
				store.Owes = false
				return store
			}),
		instead("restarts although a restart is ordered", rotate.AwaitConnected,
			knowing(func(o rotate.Observation, await rotate.Step) rotate.Step {
				if o.Platform.Note.Ordered != nil && o.Run.Restarts == 0 && o.Platform.Instances.State == rotate.Rolling {
					return step(rotate.Restart)
				}
				return await
			})),
		blind("does not see that a restart is ordered", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Platform.Note.Ordered != nil && o.Run.Restarts == 0 {
				o.Platform.Note.Ordered, o.Platform.Instances.Read = nil, rotate.ReadUnknown
			}
		}),
		instead("gives a rollout up that is only slow", rotate.Refuse, knowing(func(o rotate.Observation, refusal rotate.Step) rotate.Step {
			if o.Platform.Instances.State == rotate.Rolling && o.Platform.Note.Ordered != nil && o.Run.Refusal == nil && o.Run.Restarts < 2 {
				return step(rotate.Restart)
			}
			return refusal
		})),
		instead("waits for instances that crash for ever", rotate.Restart, knowing(func(o rotate.Observation, restart rotate.Step) rotate.Step {
			if o.Platform.Instances.State == rotate.Failing {
				return step(rotate.Refuse)
			}
			return restart
		})),
		blind("resumes an operator's pause", func(o *rotate.Observation, _ *rotate.Policy) {
			if own := o.Platform.Note.Paused; own != nil && own.Confirmed {
				own.Until = o.Agent.PausedUntil
			}
		}),
		blind("claims a pause for ever that was never confirmed", func(o *rotate.Observation, _ *rotate.Policy) {
			if own := o.Platform.Note.Paused; own != nil && !own.Confirmed {
				own.At = epoch
			}
		}),
		{"stops at the first service that cannot be restarted", func(m *Model) { m.alone = true }},
		blind("stores a value that was superseded", func(o *rotate.Observation, _ *rotate.Policy) { o.Platform.Note.Adopted = nil }),
		blind("adopts while another target is unknown", func(_ *rotate.Observation, p *rotate.Policy) { p.OnlyKnown = false }),
		blind("rotates a runner that is held", func(o *rotate.Observation, _ *rotate.Policy) { o.Platform.Wishes.Held = nil }),
		blind("does not see a hold that comes after the pause", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Run.Pause != rotate.PauseNotSent {
				o.Platform.Wishes.Held = nil
			}
		}),
		does("a hold stops what follows a refresh", func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
			next := rotate.Next(o, p, now)
			if o.Platform.Wishes.Held != nil && o.Run.Refusal == nil && (next.Kind == rotate.Store || next.Kind == rotate.Restart) {
				return step(rotate.Refuse)
			}
			return next
		}),
		does("a hold stops healing", func(o rotate.Observation, p rotate.Policy, now time.Time) rotate.Step {
			if o.Platform.Wishes.Held != nil && o.Run.Mode == rotate.Heal && o.Run.Refusal == nil {
				return step(rotate.Refuse)
			}
			return rotate.Next(o, p, now)
		}),
		blind("does not answer a request", func(o *rotate.Observation, _ *rotate.Policy) { o.Platform.Wishes.Requested = nil }),
		blind("answers a request again", func(o *rotate.Observation, _ *rotate.Policy) {
			if rotated := o.Platform.Note.LastRotation; rotated != nil {
				rotated.Answers = ""
			}
		}),
		blind("takes a request for answered by the rotation before it", func(o *rotate.Observation, _ *rotate.Policy) {
			if o.Platform.Note.LastRotation != nil {
				o.Platform.Wishes.Requested = nil
			}
		}),
		instead("is done in silence over a pause that may be ours", rotate.Done,
			knowing(func(_ rotate.Observation, done rotate.Step) rotate.Step {
				done.Refusal = nil
				return done
			})),
	}
}

// Every mutant is caught on one platform or the other.
func TestMutantsAreCaught(t *testing.T) {
	caught := 0
	all := mutants()
	for _, mutant := range all {
		t.Run(mutant.name, func(t *testing.T) {
			for _, budget := range []int{0, 1, 2} {
				for _, staged := range []bool{false, true} {
					m := New(staged, budget, rotate.Next)
					mutant.spoil(m)
					if r := m.Explore(); r.Violation != "" {
						caught++
						if len(r.Trace) < 2 || r.Trace[0] == "" {
							t.Errorf("no trace leads to it: %q", r.Trace)
						}
						t.Logf("%d disturbances, %d steps: %s", budget, len(r.Trace), r.Violation)
						return
					}
				}
			}
			t.Error("not caught: the model is too weak")
		})
	}
	t.Logf("figure: model, mutants caught: %d of %d", caught, len(all))
}
