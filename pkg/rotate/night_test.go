package rotate_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// showOnce has the next read of the credentials show a secret.
func (h *platform) showOnce(secret string) {
	h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: 1, Kind: maiatest.CustomBody, Status: 200,
		Body: []byte(`{"clientId":"` + clientID + `","clientSecret":"` + secret + `"}`)})
}

// mustStay checks that a stale read changes nothing of a runner that is back.
func (h *platform) mustStay(stale string) {
	h.t.Helper()
	restarts := h.restarts
	h.showOnce(stale)
	if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.NoOp {
		h.t.Errorf("with a stale read: outcome %q, error %v", report.Outcome, err)
	}
	if h.note.Down() || h.restarts != restarts || h.store != h.maia.LiveSecret(agentID) {
		h.t.Errorf("with a stale read: down %t, %d restarts; note %+v", h.note.Down(), h.restarts-restarts, h.note)
	}
}

// An operator refreshes in the console while our own rollout is still starting; later a read goes back to what our refresh made.
func TestAConsoleRefreshDuringASlowRolloutIsNotUndone(t *testing.T) {
	for name, stageFirst := range map[string]bool{"in one run": false, "after a Stage": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				h.starts = 20 * time.Minute
				if _, err := h.run(rotate.Rotate); err == nil {
					t.Fatal("the rollout is not slow")
				}
				ours := h.maia.LiveSecret(agentID)
				if stageFirst {
					h.note.Applied = maia.NewSecret(first).Fingerprint()
				}
				h.maia.ConsoleRefresh(agentID)
				for range 6 {
					_, _ = h.run(rotate.Heal)
					time.Sleep(10 * time.Minute)
				}
				h.mustStay(ours)
			})
		})
	}
}

// Two console refreshes in a row, and then a read of what our last refresh made.
func TestTwoAdoptionsDoNotBringAnOlderValueBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		ours := h.maia.LiveSecret(agentID)
		for range 2 {
			time.Sleep(time.Minute)
			h.maia.ConsoleRefresh(agentID)
			if _, err := h.run(rotate.Heal); err != nil {
				t.Fatal(err)
			}
		}
		h.mustStay(ours)
	})
}

// A note of a pause from the day before claims no operator's, also where our own restart has cut the runner off since.
func TestAnOldNoteDoesNotUndoAnOperatorsPause(t *testing.T) {
	for _, form := range []string{"paused-until-moves", "paused-until-absent"} {
		for _, mode := range []rotate.Mode{rotate.Rotate, rotate.Heal} {
			t.Run(form+", "+string(mode), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newPlatform(t, maiatest.WithQuirk(form))
					h.after("save note", 2, h.kill) // the pause is confirmed, nothing else
					h.runUntilKilled(rotate.Rotate)
					time.Sleep(time.Hour)
					h.maia.ConsoleResume(agentID) // an operator puts it right, and no run of ours sees it
					time.Sleep(20 * time.Hour)
					h.maia.ConsolePause(agentID, 9*time.Hour)
					if mode == rotate.Heal {
						h.note.Applied = maia.NewSecret(first).Fingerprint()
						h.maia.ConsoleRefresh(agentID)
					}
					time.Sleep(time.Minute)
					if report, err := h.run(mode); err == nil || !report.LeftPaused {
						t.Errorf("left paused %t, error %v; want it said", report.LeftPaused, err)
					}
					for _, c := range h.maia.Calls() {
						if c.Name == maiatest.Resume {
							t.Error("the operator's pause is undone")
						}
					}
				})
			})
		}
	}
}

// RESUME is not carried out, its answer says nothing, and the next read shows a connection that flaps: that is no sign of its effect.
func TestAHiddenStatusIsNoSignThatARunnerWasResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 1, Kind: maiatest.Status5xx, Status: 503})
		flapped := false
		h.maia.OnCall(func(c maiatest.Call) {
			if c.Name == maiatest.Resume && !flapped {
				flapped = true
				h.maia.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: 1, Kind: maiatest.CustomBody, Status: 200,
					Body: []byte(`{"agentId":"` + agentID + `","agentStatus":"unknown","connected":false,"agentType":"data_productivity_cloud"}`)})
			}
		})
		report, err := h.run(rotate.Rotate)
		if running := h.status() == maia.StatusRunning; (err == nil) != running || report.LeftPaused == running {
			t.Errorf("status %q, left paused %t, error %v", h.status(), report.LeftPaused, err)
		}
		if _, err := h.run(rotate.Heal); err != nil || h.status() != maia.StatusRunning {
			t.Errorf("after the next run: status %q, error %v", h.status(), err)
		}
	})
}

// The end of a pause that is computed anew when pausing becomes paused is still ours.
func TestAnEndThatChangesWhenTheRunnerIsDrainedIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		changed := false
		h.maia.OnCall(func(c maiatest.Call) {
			if c.Name == maiatest.Pause && !changed {
				changed = true
				time.AfterFunc(30500*time.Millisecond, func() { h.maia.ConsolePause(agentID, 25*time.Hour) })
			}
		})
		report, err := h.run(rotate.Rotate)
		if err != nil || h.status() != maia.StatusRunning {
			t.Errorf("outcome %q, status %q, error %v", report.Outcome, h.status(), err)
		}
	})
}

// A healing run reads a pause twice before it takes one for ours whose end is not the noted one.
func TestAHealingRunReadsAPauseTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.free = true
		h.after("save note", 2, h.kill)
		h.runUntilKilled(rotate.Rotate)
		time.Sleep(time.Minute)
		h.maia.ConsoleResume(agentID)
		time.Sleep(time.Minute)
		h.maia.ConsolePause(agentID, 9*time.Hour)
		time.Sleep(time.Minute)
		if report, err := h.run(rotate.Heal); h.status() == maia.StatusRunning {
			t.Errorf("the operator's pause is undone: outcome %q, error %v", report.Outcome, err)
		}
	})
}

// RESUME is refused after a slow rollout where the end of the pause moves: the next run resumes.
func TestARefusedResumeAfterASlowRolloutIsTheNextRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t, maiatest.WithQuirk("paused-until-moves"))
		h.starts = 20 * time.Minute
		_, _ = h.run(rotate.Rotate)
		time.Sleep(10 * time.Minute)
		for range 2 {
			h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 1, Kind: maiatest.Status5xx, Status: 403})
		}
		for range 3 {
			_, _ = h.run(rotate.Heal)
		}
		if h.status() != maia.StatusRunning {
			t.Errorf("status %q", h.status())
		}
	})
}
