package rotate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// pauseForms are the ways in which Maia may show the end of a pause.
var pauseForms = []string{
	"paused-until-moves", "paused-until-moves-in-seconds", "paused-until-absent", "paused-until-seconds", "paused-until-offset",
	"paused-until-epoch", "paused-until-nanoseconds", "paused-until-changes-on-reconnect",
}

func (h *platform) status() maia.AgentStatus {
	status, _ := h.maia.Actual(agentID)
	return status
}

// After a rotation the runner is back and running, whatever pausedUntil shows.
func TestRotationEndsRunningWhateverPausedUntilShows(t *testing.T) {
	for _, form := range pauseForms {
		for name, tasks := range map[string]time.Duration{"pipelines run": 30500 * time.Millisecond, "none runs": time.Millisecond} {
			t.Run(form+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newBusyPlatform(t, tasks, maiatest.WithQuirk(form))
					report, err := h.run(rotate.Rotate)
					if err != nil || report.Outcome != rotate.Rotated || report.LeftPaused {
						t.Errorf("outcome %q, left paused %t, error %v", report.Outcome, report.LeftPaused, err)
					}
					if h.status() != maia.StatusRunning || h.note.Paused != nil {
						t.Errorf("status %q, note %+v", h.status(), h.note.Paused)
					}
				})
			})
		}
	}
}

// An operator's pause from before the rotation stays, whatever pausedUntil shows.
func TestAnOperatorsPauseFromBeforeStaysWhateverPausedUntilShows(t *testing.T) {
	for _, form := range pauseForms {
		t.Run(form, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t, maiatest.WithQuirk(form))
				h.maia.ConsolePause(agentID, 9*time.Hour)
				if report, err := h.run(rotate.Rotate); err != nil || report.LeftPaused {
					t.Errorf("left paused %t, error %v", report.LeftPaused, err)
				}
				if h.status() != maia.StatusPaused || h.note.Paused != nil {
					t.Errorf("status %q, note %+v", h.status(), h.note.Paused)
				}
				h.mustRefresh(1)
			})
		})
	}
}

// A pause of ours that another run finds is taken back, or, where nothing shows whose it is, reported: never left in silence.
func TestNoRunEndsInSilenceOverAPausedRunner(t *testing.T) {
	for _, form := range append(pauseForms, "") {
		for what, wait := range map[string]time.Duration{"at once": time.Second, "half an hour later": 30 * time.Minute} {
			for call, nth := range map[string]int{"before the confirmation": 2, "after it": 3} {
				t.Run(form+" "+what+" "+call, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var options []maiatest.Option
						if form != "" {
							options = append(options, maiatest.WithQuirk(form))
						}
						h := newPlatform(t, options...)
						h.before("save note", nth, h.kill)
						h.runUntilKilled(rotate.Rotate)
						time.Sleep(wait)
						report, err := h.run(rotate.Rotate)
						for tries := 0; err != nil && !report.LeftPaused && tries < 2; tries++ {
							time.Sleep(30 * time.Minute)
							report, err = h.run(rotate.Rotate)
						}
						running := h.status() == maia.StatusRunning
						if (err == nil) != running || report.LeftPaused == running {
							t.Errorf("status %q, left paused %t, error %v", h.status(), report.LeftPaused, err)
						}
						if err != nil && (!strings.Contains(err.Error(), `{"command":"RESUME"}`) || !strings.Contains(err.Error(), agentID)) {
							t.Errorf("the error has not the command that resumes it: %v", err)
						}
						if running {
							return
						}
						if report, err := h.run(rotate.Heal); err == nil || !report.LeftPaused {
							t.Errorf("the next run says nothing of it: left paused %t, error %v", report.LeftPaused, err)
						}
						h.maia.ConsoleResume(agentID)
						if report, err := h.run(rotate.Heal); err != nil || report.LeftPaused || h.note.Paused != nil {
							t.Errorf("after it was resumed: left paused %t, note %+v, error %v", report.LeftPaused, h.note.Paused, err)
						}
					})
				})
			}
		}
	}
}

// A pause that was sent and never shown claims nothing hours later.
func TestAnOperatorsPauseLongAfterAPauseOfOursThatNeverShowedStays(t *testing.T) {
	for name, meet := range map[string]func(h *platform){
		"PAUSE got a 503": func(h *platform) {
			h.maia.Inject(maiatest.Fault{Call: maiatest.Pause, Kind: maiatest.Status5xx})
			if _, err := h.run(rotate.Rotate); err == nil {
				h.t.Fatal("the rotation went well")
			}
		},
		"the run died before it": func(h *platform) {
			h.after("save note", 1, h.kill)
			h.runUntilKilled(rotate.Rotate)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				meet(h)
				time.Sleep(2 * time.Hour)
				h.maia.ConsolePause(agentID, 9*time.Hour)
				for range 3 {
					report, err := h.run(rotate.Heal)
					if h.status() != maia.StatusPaused && h.status() != maia.StatusPausing {
						t.Fatalf("the operator's pause is undone: %+v, %v", report, err)
					}
					time.Sleep(30 * time.Minute)
				}
			})
		})
	}
}

// A RESUME whose answer is lost is not repeated while the runner is not paused any more, nor over a pause that an operator has made
// since.
func TestResumeIsNotRepeatedBlindly(t *testing.T) {
	for name, operator := range map[string]bool{"it was carried out": false, "and an operator paused it anew": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				resumes := 0
				h.maia.OnCall(func(call maiatest.Call) {
					if call.Name == maiatest.Resume {
						resumes++
					}
				})
				fault := maiatest.Fault{Call: maiatest.Resume, Nth: 1, Kind: maiatest.DropAfter}
				if operator {
					fault.After = func() { h.maia.ConsolePause(agentID, 9*time.Hour) }
				}
				h.maia.Inject(fault)
				if _, err := h.run(rotate.Rotate); err != nil {
					t.Error(err)
				}
				want := maia.StatusRunning
				if operator {
					want = maia.StatusPaused
				}
				if h.status() != want || resumes != 1 {
					t.Errorf("status %q, want %q; %d RESUMEs, want 1", h.status(), want, resumes)
				}
			})
		})
	}
}

// A RESUME that is refused leaves a note by which the next run resumes.
func TestARefusedResumeIsTheNextRuns(t *testing.T) {
	for name, fault := range map[string]maiatest.Fault{
		"forbidden":    {Call: maiatest.Resume, Nth: 1, Kind: maiatest.Status5xx, Status: 403},
		"rate limited": {Call: maiatest.Resume, Nth: 1, Kind: maiatest.RateLimited, RetryAfter: "3000"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Status5xx, Status: 403})
				h.maia.Inject(fault)
				report, err := h.run(rotate.Rotate)
				if err == nil || report.State != rotate.PausedOnly || !report.LeftPaused {
					t.Errorf("state %q, left paused %t, error %v; want it said that the runner is left paused", report.State, report.LeftPaused, err)
				}
				h.mustRefresh(0)
				time.Sleep(30 * time.Minute)
				if report, err := h.run(rotate.Heal); err != nil || report.LeftPaused {
					t.Errorf("left paused %t, error %v", report.LeftPaused, err)
				}
				if h.status() != maia.StatusRunning || h.note.Paused != nil {
					t.Errorf("status %q, note %+v", h.status(), h.note.Paused)
				}
			})
		})
	}
}

// The end of our pause stood still, and then moves on with the clock, as one that is cached or rounded does, or one of an operator's
// pause of the usual length: nothing shows whose it is, so the runner is left paused, and that is reported.
func TestAnEndThatMovesOnAfterItStoodStillIsReported(t *testing.T) {
	for name, play := range map[string]func(h *platform){
		"while it drains": func(h *platform) {
			paused := false
			h.maia.OnCall(func(c maiatest.Call) {
				if c.Name == maiatest.Pause && !paused {
					paused = true
					time.AfterFunc(20*time.Second, func() { h.maia.ConsolePause(agentID, time.Hour) })
				}
			})
		},
		"before the next run": func(h *platform) {
			h.after("save note", 3, h.kill) // the intent is noted, nothing is sent
			h.runUntilKilled(rotate.Rotate)
			time.Sleep(20 * time.Minute)
			h.maia.ConsolePause(agentID, time.Hour)
			time.Sleep(10 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newBusyPlatform(t, 50500*time.Millisecond)
				play(h)
				report, err := h.run(rotate.Rotate)
				if err == nil || !report.LeftPaused || !strings.Contains(err.Error(), `{"command":"RESUME"}`) {
					t.Errorf("outcome %q, left paused %t, error %v", report.Outcome, report.LeftPaused, err)
				}
				h.mustRefresh(1)
				if h.status() != maia.StatusPaused {
					t.Errorf("status %q; no run knows that the pause is ours", h.status())
				}
				h.maia.ConsoleResume(agentID)
				time.Sleep(30 * time.Minute)
				if report, err := h.run(rotate.Heal); err != nil || report.LeftPaused || h.note.Paused != nil {
					t.Errorf("after it was resumed: left paused %t, note %+v, error %v", report.LeftPaused, h.note.Paused, err)
				}
			})
		})
	}
}

// A PAUSE that Maia has accepted is known to the next run, though Maia could not be read again.
func TestAnAcceptedPauseThatCouldNotBeReadIsTheNextRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.OnCall(func(c maiatest.Call) {
			if c.Name == maiatest.Pause {
				for nth := range 2 { // while the pause is awaited, and while the run cleans up
					h.maia.Inject(maiatest.Fault{Call: maiatest.GetAgent, Nth: nth + 1, Kind: maiatest.RateLimited, RetryAfter: "600"})
				}
			}
		})
		report, err := h.run(rotate.Rotate)
		if err == nil || report.State != rotate.PausedOnly || !report.LeftPaused {
			t.Errorf("state %q, left paused %t, error %v", report.State, report.LeftPaused, err)
		}
		time.Sleep(8 * time.Minute)
		if report, err := h.run(rotate.Rotate); err != nil || report.Outcome != rotate.Rotated || h.status() != maia.StatusRunning {
			t.Errorf("outcome %q, status %q, error %v", report.Outcome, h.status(), err)
		}
	})
}

// A run that gives up before the refresh resumes, also where pausedUntil moves and after a refresh that was refused.
func TestGivingUpBeforeTheRefreshResumes(t *testing.T) {
	for _, form := range pauseForms {
		for name, tasks := range map[string]time.Duration{"the drain does not end": 0, "the refresh is refused": 30500 * time.Millisecond} {
			t.Run(form+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newBusyPlatform(t, tasks, maiatest.WithQuirk(form))
					h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Status5xx, Status: 403})
					report, err := h.run(rotate.Rotate)
					if err == nil || report.State != rotate.Unchanged || report.LeftPaused {
						t.Errorf("state %q, left paused %t, error %v", report.State, report.LeftPaused, err)
					}
					if h.status() != maia.StatusRunning || h.note.Paused != nil {
						t.Errorf("status %q, note %+v", h.status(), h.note.Paused)
					}
				})
			})
		}
	}
}

// Where a lock shows that no run is at work, a healing run waits for no answer.
func TestNobodyIsWaitedForWhereTheLockIsFree(t *testing.T) {
	for _, free := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.free = free
			h.after("save note", 3, h.kill) // the intent is noted, nothing is sent
			h.runUntilKilled(rotate.Rotate)
			began := time.Now()
			_, err := h.run(rotate.Heal)
			if took := time.Since(began); (took < 10*time.Second) != free {
				t.Errorf("free %t: it took %s; error %v", free, took, err)
			}
		})
	}
}

// A run may not take a pause back that an operator made between its read and the RESUME.
func TestTakingAPauseOverReadsTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t, maiatest.WithPauseLength(4*time.Hour))
		h.after("save note", 3, h.kill) // the intent is noted, and nothing sent
		h.runUntilKilled(rotate.Rotate)
		time.Sleep(time.Hour)
		h.after("save note", 2, func() error { // the pause is taken over
			h.maia.ConsoleResume(agentID)
			h.maia.ConsolePause(agentID, 9*time.Hour)
			return nil
		})
		_, err := h.run(rotate.Heal)
		if h.status() != maia.StatusPaused || errors.Is(err, rotate.ErrStopped) {
			t.Errorf("status %q, error %v; want the operator's pause kept", h.status(), err)
		}
	})
}
