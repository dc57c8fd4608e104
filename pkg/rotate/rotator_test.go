package rotate_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

func TestRotationTakesTheSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		report, err := h.run(rotate.Rotate)
		if err != nil {
			t.Fatal(err)
		}
		const want = "check; pause; await_drained; refresh; store; restart; await_connected; resume; done; "
		if got := kinds(report); got != want {
			t.Errorf("steps\n%s, want\n%s", got, want)
		}
		if report.Outcome != rotate.Rotated || report.State != rotate.Back || !report.Refreshed {
			t.Errorf("outcome %q, state %q, refreshed %t", report.Outcome, report.State, report.Refreshed)
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}

// The engine with a platform that does all that it should.
func TestConformance(t *testing.T) { rotatetest.Run(t, newConforming, rotatetest.WithQuirks(nil)) }

func every(age time.Duration) func(*rotate.Rotator) {
	return func(r *rotate.Rotator) { r.Policy.Every = age }
}

func drainNone(r *rotate.Rotator) { r.Policy.Drain = rotate.DrainNone }

func TestPromise2RefreshIsNeverRepeated(t *testing.T) {
	for name, fault := range map[string]maiatest.Fault{
		"the answer is lost":            {Kind: maiatest.DropAfter},
		"the answer is a 502":           {Kind: maiatest.Status5xxAfter, Status: 502},
		"the answer cannot be read":     {Kind: maiatest.Garbage},
		"the answer is masked":          {Kind: maiatest.Masked},
		"the answer comes too late":     {Kind: maiatest.Slow, Delay: time.Minute},
		"carried out late, after 1 min": {Kind: maiatest.Late, Delay: time.Minute},
		"carried out late, after 4 min": {Kind: maiatest.Late, Delay: 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				fault.Call, fault.Nth = maiatest.RefreshCredentials, 1
				h.maia.Inject(fault)
				report, err := h.run(rotate.Rotate)
				if err != nil {
					t.Fatal(err)
				}
				if report.Outcome != rotate.Rotated {
					t.Errorf("outcome %q", report.Outcome)
				}
				h.mustBeBack()
				h.mustRefresh(1)
			})
		})
	}
}

func TestPromise2AnUnknownOutcomeWaitsForTheQuietTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.DropBefore})
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.UnknownOutcome, rotate.Unresolved)
		h.mustRefresh(0)
		if sent := h.note.Intent; sent == nil || time.Since(sent.At) < rotate.DefaultPolicy().QuietTime {
			t.Errorf("the run ended before the quiet time had passed: %+v", sent)
		}
		if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.Status != maia.StatusRunning {
			t.Errorf("status %q, want the pause taken back", agent.Status)
		}
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}

func TestPromise2ConcurrentRunFindsNothingDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate, every(time.Hour)); err != nil {
			t.Fatal(err)
		}
		report, err := h.run(rotate.Rotate, every(time.Hour))
		if err != nil || report.Outcome != rotate.NoOp || kinds(report) != "done; " {
			t.Errorf("outcome %q by %s error %v, want that nothing was done", report.Outcome, kinds(report), err)
		}
		h.mustRefresh(1)
	})
}

// Another run that notes its intent first keeps this one from refreshing, and what this one has changed is taken back.
func TestPromise2NoteOfAnotherRunStopsThisOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 3, func() error { return rotate.Errorf(rotate.NotReady, "another run is about to refresh") })
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		h.mustRefresh(0)
		if h.note.Paused != nil || h.note.Intent != nil {
			t.Errorf("the note is %+v, want nothing left of this run", h.note)
		}
	})
}

func TestPromise3NothingIsRevokedBeforeTheWayIsClear(t *testing.T) {
	tests := map[string]struct {
		prepare func(h *platform)
		endless bool // pipelines never finish
		kind    rotate.Kind
		says    string
	}{
		"a check fails": {prepare: func(h *platform) {
			h.checkErr = rotate.Errorf(rotate.Permission, "may not restart")
		}, kind: rotate.Permission, says: "may not restart"},
		"the deployment runs":   {prepare: func(h *platform) { h.state = rotate.Rolling }, kind: rotate.NotReady, says: "rolling"},
		"the deployment failed": {prepare: func(h *platform) { h.state = rotate.Failed }, kind: rotate.NotReady, says: "failed"},
		"scaled to zero":        {prepare: func(h *platform) { h.state = rotate.Stopped }, kind: rotate.NotReady, says: "scaled to zero"},
		"an unknown status": {prepare: func(h *platform) {
			h.maia.SetStatus(agentID, "hibernating")
		}, kind: rotate.NotReady, says: "hibernating"},
		"the note is read-only": {prepare: func(h *platform) {
			h.before("save note", 1, func() error { return rotate.Errorf(rotate.Permission, "read-only") })
		}, kind: rotate.Permission, says: "read-only"},
		"pipelines do not end": {endless: true, prepare: func(*platform) {}, kind: rotate.NotReady, says: "still running after 5m"},
		"another writer resumes": {endless: true, prepare: func(h *platform) {
			time.AfterFunc(time.Minute, func() { h.maia.ConsoleResume(agentID) })
		}, kind: rotate.NotReady, says: "resumed by another writer"},
		"the API credential is refused": {prepare: func(h *platform) {
			h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.Status5xx, Status: 403})
		}, kind: rotate.Permission, says: "Admin"},
		"the pause does not last": {prepare: func(h *platform) {
			h.maia.ConsolePause(agentID, 3*time.Minute)
		}, kind: rotate.NotReady, says: "before it could be back"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				if test.endless {
					h = newBusyPlatform(t, 0)
				}
				test.prepare(h)
				report, err := h.run(rotate.Rotate)
				mustFail(t, err, test.kind, rotate.Unchanged)
				if !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %q, want it to say %q", err, test.says)
				}
				if report.Refreshed || h.store != first || h.restarts != 0 {
					t.Errorf("refreshed %t, store changed %t, %d restarts", report.Refreshed, h.store != first, h.restarts)
				}
				h.mustRefresh(0)
				if h.note.Paused != nil || h.note.Intent != nil {
					t.Errorf("the note is %+v, want nothing left", h.note)
				}
				if !h.instance.Connected() {
					t.Errorf("the runner is not connected any more")
				}
			})
		})
	}
}

func TestPromise3TooLittleTimeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := h.runWith(ctx, rotate.Stage)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		if !strings.Contains(err.Error(), "25s are left in this run, a refresh needs 40s") {
			t.Errorf("error %q", err)
		}
		h.mustRefresh(0)
	})
}

func TestPromise4NothingIsCalledBetweenRefreshStoreAndRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		var order []string
		h.maia.OnCall(func(call maiatest.Call) { order = append(order, string(call.Name)) })
		for _, call := range []string{"observe", "check", "save note", "store", "restart"} {
			for n := 1; n < 40; n++ {
				h.before(call, n, func() error { order = append(order, call); return nil })
			}
		}
		report, err := h.run(rotate.Rotate)
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Join(order, " ")
		if !strings.Contains(all, "GetAgent observe save note observe GetAgent GetCredentials RefreshCredentials store restart") {
			t.Errorf("calls %s", all)
		}
		if report.Downtime < h.starts || report.Downtime > h.starts+2*time.Second {
			t.Errorf("down for %s, want about the %s that instances take to start", report.Downtime, h.starts)
		}
	})
}

func TestPromise4CancellationIsNotHeardWhileDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, After: cancel})
		_, err := h.runWith(ctx, rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.NotBack)
		if h.restarts != 1 || h.store != h.maia.LiveSecret(agentID) {
			t.Errorf("%d restarts, store right %t; want that the restart was ordered", h.restarts, h.store == h.maia.LiveSecret(agentID))
		}
		if _, err := h.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		h.mustRefresh(1)
	})
}

func TestPromise4CancellationBeforeTheRefreshTakesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(10*time.Second, cancel) // while it drains
		_, err := h.runWith(ctx, rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.Status != maia.StatusRunning || h.note.Paused != nil {
			t.Errorf("status %q, note %+v; want the pause taken back", agent.Status, h.note)
		}
		h.mustRefresh(0)
	})
}

func TestPromise5SuccessMeansBack(t *testing.T) {
	tests := map[string]struct {
		prepare  func(h *platform)
		restarts int
		fails    bool
		kind     rotate.Kind
		state    rotate.State
	}{
		"the first restart fails": {prepare: func(h *platform) { h.brokenFor = 1 }, restarts: 2},
		"every restart fails": {prepare: func(h *platform) {
			h.brokenFor = 9
		}, restarts: 2, fails: true, kind: rotate.Vendor, state: rotate.NotBack},
		"instances start for too long": {prepare: func(h *platform) {
			h.starts = 9 * time.Minute
		}, restarts: 1, fails: true, kind: rotate.NotReady, state: rotate.NotBack},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				test.prepare(h)
				_, err := h.run(rotate.Rotate)
				if test.fails {
					mustFail(t, err, test.kind, test.state)
				} else if err != nil {
					t.Fatal(err)
				}
				if h.restarts != test.restarts {
					t.Errorf("%d restarts, want %d", h.restarts, test.restarts)
				}
				h.brokenFor = 0
				time.Sleep(10 * time.Minute)
				if _, err := h.run(rotate.Finish); err != nil {
					t.Fatal(err)
				}
				h.mustBeBack()
				h.mustRefresh(1)
			})
		})
	}
}

// Maia's word alone does not count: it lags.
func TestPromise5ALaggingConnectionIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t, maiatest.WithConnectedLag(15*time.Second), maiatest.WithReadLag(time.Minute))
		time.Sleep(time.Minute)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}

// A store that another writer reverts at once must not be filled for ever.
func TestPromise6AStoreThatDoesNotKeepIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.put(first)
		for n := 1; n < 100; n++ {
			h.before("observe", n, func() error { h.put(first); return nil })
		}
		_, err := h.run(rotate.Heal, func(r *rotate.Rotator) { r.Policy.Drain = rotate.DrainNone })
		if err == nil {
			t.Fatal("no error")
		}
		stores := 0
		for _, call := range h.calls {
			if call == "store" {
				stores++
			}
		}
		if stores > 10 {
			t.Errorf("%d stores: %v", stores, err)
		}
	})
}

func TestPromise6HealsGently(t *testing.T) {
	rotated := func(t *testing.T) *platform {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.restarts = 0
		time.Sleep(time.Hour)
		return h
	}
	t.Run("a reverted store of a connected runner is corrected and nothing is restarted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			h.put(first)
			report, err := h.run(rotate.Heal)
			if err != nil || report.Outcome != rotate.Healed || h.restarts != 0 {
				t.Errorf("outcome %q, error %v, %d restarts; want healed without a restart", report.Outcome, err, h.restarts)
			}
			h.mustBeBack()
			h.mustRefresh(1)
		})
	})
	t.Run("a reverted store of a restarted runner is corrected and the runner restarted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			h.put(first)
			h.instance.Close()
			time.Sleep(time.Second)
			h.readAt = time.Now()
			h.login() // with the revoked secret: refused
			report, err := h.run(rotate.Heal)
			if err != nil || report.Outcome != rotate.Healed || h.restarts != 1 {
				t.Errorf("outcome %q, error %v, %d restarts; want healed by one", report.Outcome, err, h.restarts)
			}
			h.mustBeBack()
			h.mustRefresh(1)
		})
	})
	t.Run("a refresh in the console is adopted, does not count, and the disconnected runner is not paused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			at := h.note.LastRotation.At
			h.maia.ConsoleRefresh(agentID)
			report, err := h.run(rotate.Heal)
			if err != nil || report.Outcome != rotate.Healed || strings.Contains(kinds(report), "pause") {
				t.Errorf("outcome %q by %s, error %v", report.Outcome, kinds(report), err)
			}
			if !h.note.LastRotation.At.Equal(at) {
				t.Errorf("the healing counts as a rotation")
			}
			h.mustBeBack()
			h.mustRefresh(1)
		})
	})
	t.Run("what was never seen to agree is not adopted while the runner is connected", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.put("another-secret-altogether")
			_, err := h.run(rotate.Heal)
			mustFail(t, err, rotate.Vendor, rotate.NotStored)
			if !strings.Contains(err.Error(), "what to do:") || h.restarts != 0 {
				t.Errorf("error %q, %d restarts", err, h.restarts)
			}
		})
	})
	t.Run("another client is never adopted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			h.maia.ConsoleRefresh(agentID)
			h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.WrongAgent})
			store := h.store
			_, err := h.run(rotate.Heal)
			mustFail(t, err, rotate.Configuration, rotate.NotObserved)
			if h.store != store || h.restarts != 0 {
				t.Errorf("the store changed or %d restarts", h.restarts)
			}
		})
	})
	t.Run("a masked secret is never adopted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			store := h.store
			h.maia.ConsoleRefresh(agentID)
			h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.Masked})
			_, err := h.run(rotate.Heal)
			mustFail(t, err, rotate.Vendor, rotate.NotObserved)
			if h.store != store {
				t.Errorf("the store was changed")
			}
		})
	})
	t.Run("a connected runner with nothing to repair costs two calls to Maia", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := rotated(t)
			calls := 0
			h.maia.OnCall(func(call maiatest.Call) {
				if call.Name != maiatest.Token {
					calls++
				}
			})
			report, err := h.run(rotate.Heal)
			if err != nil || report.Outcome != rotate.NoOp || calls != 2 {
				t.Errorf("outcome %q, error %v, %d calls", report.Outcome, err, calls)
			}
		})
	})
}

func TestPromise7NothingLeaksFromAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("store", 1, func() error { panic("the secret is " + h.maia.LiveSecret(agentID)) })
		report, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.Internal, rotate.NotStored)
		if strings.Contains(err.Error(), h.maia.LiveSecret(agentID)) || report.Outcome != rotate.Broken {
			t.Errorf("outcome %q, error %v", report.Outcome, err)
		}
		h.mustNotLeak()
	})
}

func TestPromise8AnOperatorsPauseStays(t *testing.T) {
	paused := func(h *platform) maia.AgentStatus {
		agent, err := h.maia.Client(h.t).Agent(h.t.Context(), agentID)
		if err != nil {
			h.t.Fatal(err)
		}
		return agent.Status
	}
	t.Run("before the rotation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.maia.ConsolePause(agentID, 2*time.Hour)
			report, err := h.run(rotate.Rotate)
			if err != nil || report.Outcome != rotate.Rotated {
				t.Fatalf("outcome %q, error %v", report.Outcome, err)
			}
			if got := paused(h); got != maia.StatusPaused || h.note.Paused != nil {
				t.Errorf("status %q, note %v; want the operator's pause kept and none of ours", got, h.note.Paused)
			}
			h.mustRefresh(1)
		})
	})
	t.Run("after ours", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			time.AfterFunc(12*time.Second, func() { h.maia.ConsolePause(agentID, 3*time.Hour) })
			if _, err := h.run(rotate.Rotate); err != nil {
				t.Fatal(err)
			}
			if got := paused(h); got != maia.StatusPaused || h.note.Paused != nil {
				t.Errorf("status %q, note %v; want the operator's pause kept", got, h.note.Paused)
			}
		})
	})
	t.Run("ours from a run that was killed is taken back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.maia.Inject(maiatest.Fault{Call: maiatest.Pause, Nth: 1, After: func() { _ = h.kill() }})
			h.runUntilKilled(rotate.Rotate)
			if got := paused(h); got != maia.StatusPausing {
				t.Fatalf("status %q", got)
			}
			if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.NoOp {
				t.Fatalf("outcome %q, error %v; want the pause of a rotation that may be under way left alone", report.Outcome, err)
			}
			time.Sleep(20 * time.Minute)
			if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.Healed {
				t.Fatalf("outcome %q, error %v", report.Outcome, err)
			}
			if got := paused(h); got != maia.StatusRunning || h.note.Paused != nil {
				t.Errorf("status %q, note %v", got, h.note.Paused)
			}
			h.mustRefresh(0)
		})
	})
}

// A Maia that is asked too much asks to wait for up to a minute, also for the RESUME of a run that gives up.
func TestAPauseIsTakenBackWhereMaiaIsAskedTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.RateLimited, RetryAfter: "50"})
		h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 1, Kind: maiatest.RateLimited, RetryAfter: "50"})
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		h.mustRefresh(0)
		if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.Status != maia.StatusRunning || h.note.Paused != nil {
			t.Errorf("status %q, note %v; want the pause taken back", agent.Status, h.note.Paused)
		}
	})
}

// A caller that has gone does not wait for that long.
func TestACancelledRunCleansUpInSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		ctx, cancel := context.WithCancel(t.Context())
		h.maia.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Nth: 1, Kind: maiatest.RateLimited, RetryAfter: "50"})
		h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Kind: maiatest.RateLimited, RetryAfter: "50", Before: func() {
			time.AfterFunc(time.Second, cancel)
		}})
		begun := time.Now()
		_, err := h.runWith(ctx, rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.PausedOnly)
		if took := time.Since(begun); took > 45*time.Second || ctx.Err() == nil {
			t.Errorf("it ended after %s", took)
		}
	})
}

// One Rotator serves two runners at a time, and one's failure is neither the other's nor hidden by it.
func TestPromise9AFailureStaysWithItsRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := newPlatform(t), newPlatform(t)
		bad.maia.Close()
		bad.maia, bad.id = good.maia, "ffffffff-5c1f-4b0a-9a55-0c6f3a1d2e3f"
		bad.maia.AddAgent(maiatest.AgentSpec{ID: bad.id, ClientID: clientID, Secret: first})
		bad.login()
		bad.checkErr = rotate.Errorf(rotate.Permission, "may not restart")
		rotator := &rotate.Rotator{Maia: good.maia.Client(t), Policy: rotate.DefaultPolicy()}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := rotator.Run(ctx, bad, rotate.Rotate)
			failed <- err
		}()
		if _, err := rotator.Run(ctx, good, rotate.Rotate); err != nil {
			t.Error(err)
		}
		mustFail(t, <-failed, rotate.Permission, rotate.Unchanged)
		good.mustBeBack()
		good.mustRefresh(1)
		if got := bad.maia.Refreshes(bad.id); got != 0 {
			t.Errorf("%d refreshes of the runner that failed", got)
		}
	})
}

// A run that is killed between RESUME and its end must not have the next one restart a runner at work.
func TestPromise5AResumedRunnerIsNotRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Nth: 1, After: func() { _ = h.kill() }})
		h.runUntilKilled(rotate.Rotate)
		h.maia.SetRunningTasks(agentID, 1)
		time.Sleep(time.Hour)
		if _, err := h.run(rotate.Finish); err != nil {
			t.Fatal(err)
		}
		if h.restarts != 1 {
			t.Errorf("%d restarts, want only that of the rotation", h.restarts)
		}
		h.mustBeBack()
	})
}

// While Maia still shows the secret before last, what is shown would not say what a refresh did.
func TestPromise2NoRefreshWhileReadsLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t, maiatest.WithReadLag(10*time.Minute))
		time.Sleep(11 * time.Minute)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.UnknownOutcome, rotate.Unchanged)
		h.mustRefresh(1)
		if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.Status != maia.StatusRunning {
			t.Errorf("status %q, want the pause taken back", agent.Status)
		}
		time.Sleep(10 * time.Minute)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
		h.mustRefresh(2)
	})
}

// A run that only finds the runner back does not know when it came back.
func TestPromise4DowntimeIsNotGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.after("restart", 1, h.kill)
		h.runUntilKilled(rotate.Rotate)
		time.Sleep(time.Hour)
		report, err := h.run(rotate.Finish)
		if err != nil || report.Outcome != rotate.Rotated || report.Downtime != 0 {
			t.Errorf("outcome %q, down %s, error %v", report.Outcome, report.Downtime, err)
		}
		h.mustBeBack()
	})
}

// A command that Maia accepts and does not carry out must not be waited for without end.
func TestCommandsThatDoNotShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.Pause, Kind: maiatest.CustomBody, Status: 202, After: func() {
			h.maia.ConsoleResume(agentID)
		}})
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.PausedOnly)
		if !strings.Contains(err.Error(), "the runner is not paused") || h.note.Paused == nil || h.note.Paused.Confirmed {
			t.Errorf("error %q, note %+v; want it kept that we sent a PAUSE", err, h.note)
		}
		// It takes effect after all: the next run knows that the pause is ours.
		h.maia.ConsolePause(agentID, time.Hour)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
	})
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.Resume, Kind: maiatest.CustomBody, Status: 202, After: func() {
			h.maia.ConsolePause(agentID, time.Until(h.note.Paused.Until))
		}})
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.Vendor, rotate.StillPaused)
		h.mustRefresh(1)
	})
}

func TestDrainNoneDoesNotPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		report, err := h.run(rotate.Rotate, drainNone)
		if err != nil || strings.Contains(kinds(report), "pause") {
			t.Errorf("steps %s, error %v", kinds(report), err)
		}
		h.mustRefresh(1)
	})
}

func TestAPlanChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		rotator := &rotate.Rotator{Maia: h.maia.Client(t), Policy: rotate.DefaultPolicy()}
		report, err := rotator.Plan(t.Context(), h, rotate.Rotate)
		if err != nil || report.Outcome != rotate.Planned ||
			kinds(report) != "check; pause; await_drained; refresh; store; restart; await_connected; resume; done; " {
			t.Errorf("outcome %q, steps %s, error %v", report.Outcome, kinds(report), err)
		}
		if h.note != (rotate.Note{}) || h.store != first || h.restarts != 0 {
			t.Errorf("something was changed: %+v", h.note)
		}
		h.mustRefresh(0)
	})
}

// A plan takes no pause back, and that is no runner left paused.
func TestAPlanOverAPauseOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 3, h.kill)
		h.runUntilKilled(rotate.Rotate)
		time.Sleep(20 * time.Minute) // no rotation takes so long
		rotator := &rotate.Rotator{Maia: h.maia.Client(t), Policy: rotate.DefaultPolicy()}
		report, err := rotator.Plan(t.Context(), h, rotate.Heal)
		if err != nil || report.LeftPaused || kinds(report) != "resume; done; " {
			t.Errorf("left paused %t, steps %s, error %v", report.LeftPaused, kinds(report), err)
		}
	})
}

func TestBadPolicyAndMode(t *testing.T) {
	good := rotate.DefaultPolicy()
	tests := map[string]struct {
		change func(*rotate.Policy)
		mode   rotate.Mode
		says   string
	}{
		"drain":           {func(p *rotate.Policy) { p.Drain = "wait" }, rotate.Rotate, `drain is "wait", expected "pause" or "none"`},
		"drain time-out":  {func(p *rotate.Policy) { p.DrainTimeout = 0 }, rotate.Rotate, "drain time-out is 0s"},
		"connect":         {func(p *rotate.Policy) { p.ConnectTimeout = -1 }, rotate.Rotate, "connect time-out"},
		"quiet":           {func(p *rotate.Policy) { p.QuietTime = 0 }, rotate.Rotate, "quiet time"},
		"every":           {func(p *rotate.Policy) { p.Every = -1 }, rotate.Rotate, "rotate every"},
		"an unknown mode": {func(*rotate.Policy) {}, "refresh", `unknown mode "refresh"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				policy := good
				test.change(&policy)
				_, err := h.run(test.mode, func(r *rotate.Rotator) { r.Policy = policy })
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want it to say %q", err, test.says)
				}
				if len(h.calls) > 0 {
					t.Errorf("calls %v before the policy was checked", h.calls)
				}
			})
		})
	}
}

// A PAUSE whose answer is lost and that is carried out a little later must not be followed by another: its end would be
// that of the note, and the one that shows would be taken for an operator's.
func TestPromise8APauseThatIsCarriedOutLateIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.Inject(maiatest.Fault{Call: maiatest.Pause, Nth: 1, Kind: maiatest.Late, Delay: 3 * time.Second})
		report, err := h.run(rotate.Rotate)
		if err != nil || report.Outcome != rotate.Rotated {
			t.Errorf("%q, %v", report.Outcome, err)
		}
		h.mustBeBack()
	})
}

// A refresh may be put off a few times, because its intent has become old. When it is sent at last, the run goes on.
func TestPromise4ARefreshThatWasPutOffIsFollowedByTheStore(t *testing.T) {
	for putOff := range 5 {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			for n := range putOff {
				h.after("save note", 3+n, func() error { time.Sleep(time.Minute + 300*time.Millisecond); return nil })
			}
			report, err := h.run(rotate.Rotate)
			if putOff >= 3 {
				mustFail(t, err, rotate.Internal, rotate.Unchanged)
				h.mustRefresh(0)
				return
			}
			if err != nil || report.Outcome != rotate.Rotated {
				t.Errorf("put off %d times: %q, %v", putOff, report.Outcome, err)
			}
			h.mustRefresh(1)
			h.mustBeBack()
		})
	}
}
