package rotate_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// A rollout that is only slow is one restart, however many runs come meanwhile, and whatever the platform's clocks say.
func TestSlowRolloutIsOneRestart(t *testing.T) {
	for _, starts := range []time.Duration{9*time.Minute + 10*time.Second, 15 * time.Minute, time.Hour} {
		for _, clockless := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, clockless %t", starts, clockless), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newPlatform(t)
					h.starts, h.clockless = starts, clockless
					report, err := h.run(rotate.Rotate)
					if !errors.Is(err, rotate.ErrStarting) || report.Outcome != rotate.Starting || report.DownSince == nil ||
						rotate.KindOf(err) != rotate.NotReady {
						t.Errorf("outcome %q, down since %v, error %v", report.Outcome, report.DownSince, err)
					}
					for until := time.Now().Add(starts); time.Now().Before(until); time.Sleep(30 * time.Minute) {
						if report, err := h.run(rotate.Heal); err != nil && (report.Outcome != rotate.Starting || report.DownSince == nil) {
							t.Errorf("a healing run meanwhile: outcome %q, down since %v, error %v", report.Outcome, report.DownSince, err)
						}
					}
					if _, err := h.run(rotate.Heal); err != nil {
						t.Error(err)
					}
					h.mustBeBack()
					if h.restarts != 1 {
						t.Errorf("%d restarts, want 1", h.restarts)
					}
					if h.note.Ordered != nil {
						t.Errorf("the order stands in the note of a runner that is back: %+v", h.note.Ordered)
					}
				})
			})
		}
	}
}

// A note of the order that could not be written is written while the run waits.
func TestOrderIsNotedWhenTheNoteCanBeWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.clockless, h.starts = true, 15*time.Minute
		h.after("restart", 1, func() error {
			h.before("save note", 1, func() error { return errors.New("the platform is away") })
			return nil
		})
		if _, err := h.run(rotate.Rotate); !errors.Is(err, rotate.ErrStarting) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := h.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
		if h.restarts != 1 {
			t.Errorf("%d restarts, want 1", h.restarts)
		}
	})
}

// Instances that fail at first and then come up are one restart. Ones that do not come up are restarted once more by a later run.
func TestFailingInstancesAreGivenTheConnectTimeout(t *testing.T) {
	play := func(t *testing.T, cameUp time.Duration, want int) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.starts, h.failing = cameUp, true
			_, err := h.run(rotate.Rotate)
			if cameUp > 8*time.Minute && (err == nil || rotate.KindOf(err) != rotate.Vendor || !strings.Contains(err.Error(), "CrashLoopBackOff")) {
				t.Errorf("error %v, want the reason quoted", err)
			}
			if err != nil {
				h.starts = 20500 * time.Millisecond
				time.Sleep(20 * time.Minute)
				if _, err := h.run(rotate.Heal); err != nil {
					t.Error(err)
				}
			}
			h.mustBeBack()
			if h.restarts != want {
				t.Errorf("%d restarts, want %d", h.restarts, want)
			}
		})
	}
	t.Run("they come up after 20 seconds", func(t *testing.T) { play(t, 20*time.Second, 1) })
	t.Run("they do not", func(t *testing.T) { play(t, 10*time.Hour, 2) })
}

// A runner that is said to be scaled to zero and connected is neither healed nor a success.
func TestStoppedIsNotBelievedOfAConnectedRunner(t *testing.T) {
	for _, mode := range []rotate.Mode{rotate.Rotate, rotate.Heal} {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.state = rotate.Stopped
			_, err := h.run(mode)
			if err == nil || errors.Is(err, rotate.ErrStopped) || rotate.KindOf(err) != rotate.NotReady ||
				!strings.Contains(err.Error(), "is connected") {
				t.Errorf("%s: error %v", mode, err)
			}
			h.mustRefresh(0)
		})
	}
}

// Agents of type streaming are refused by name before anything is changed.
func TestStreamingAgentsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.maia.AddAgent(maiatest.AgentSpec{ID: secondAgentID, ClientID: clientID, Secret: first, Type: "streaming"})
		h.id = secondAgentID
		h.login()
		_, err := h.run(rotate.Rotate)
		if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "streaming") {
			t.Errorf("error %v", err)
		}
		if h.maia.Refreshes(secondAgentID) != 0 || h.note.Paused != nil {
			t.Error("it was touched")
		}
	})
}

const secondAgentID = "1c5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e40"

// What was adopted stays, though a read goes back to what was before.
func TestReadThatGoesBackDoesNotUndoAnAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		before := h.maia.LiveSecret(agentID)
		adopted := h.maia.ConsoleRefresh(agentID)
		if _, err := h.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		restarts := h.restarts
		time.Sleep(3 * time.Hour)
		stale := `{"clientId":"` + clientID + `","clientSecret":"` + before + `"}`
		for range 2 {
			h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: 1, Kind: maiatest.CustomBody, Status: 200, Body: []byte(stale)})
			report, err := h.run(rotate.Heal)
			if err != nil || report.Outcome != rotate.NoOp {
				t.Errorf("outcome %q, error %v", report.Outcome, err)
			}
		}
		if h.store != adopted || h.restarts != restarts {
			t.Errorf("the store holds another value than the adopted one, or was restarted (%d times)", h.restarts-restarts)
		}
		// Neither does it after the next rotation.
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: 1, Kind: maiatest.CustomBody, Status: 200, Body: []byte(stale)})
		if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.NoOp {
			t.Errorf("after the next rotation: outcome %q, error %v", report.Outcome, err)
		}
		if h.store != h.maia.LiveSecret(agentID) {
			t.Error("the store does not hold what Maia does")
		}
	})
}

// A single read of a secret that the note does not know, of a runner that is connected, changes nothing; one that stays is adopted.
func TestASecretThatNothingExplainsIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		for range 2 {
			if _, err := h.run(rotate.Rotate); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		restarts := h.restarts
		stale := `{"clientId":"` + clientID + `","clientSecret":"` + first + `"}`
		h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: 1, Kind: maiatest.CustomBody, Status: 200, Body: []byte(stale)})
		if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.NoOp {
			t.Errorf("outcome %q, error %v", report.Outcome, err)
		}
		if h.restarts != restarts || h.note.Adopted != nil || h.store != h.maia.LiveSecret(agentID) {
			t.Errorf("%d restarts, adopted %+v", h.restarts-restarts, h.note.Adopted)
		}
	})
}

// A value that was adopted from one bad read does not hold for ever: the runner that is down with it is brought what Maia holds.
func TestAdoptionFromABadReadIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.note.Applied = maia.NewSecret(first).Fingerprint()
		h.note.Adopted = &rotate.Adoption{At: time.Now(), Over: fingerprintOf(first), New: fingerprintOf("never-valid")}
		h.put("never-valid")
		h.instance.Close()
		time.Sleep(2 * time.Hour)
		if _, err := h.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		h.mustBeBack()
	})
}

// What is delivered and not recorded is completed at the end of a run, and reported until then; nothing is refreshed meanwhile.
func TestUnrecordedIsDeliveredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.after("store", 1, func() error { h.unrecorded = "the quota of Secrets has no room"; return nil })
		report, err := h.run(rotate.Rotate)
		if rotate.KindOf(err) != rotate.Configuration || report.State != rotate.Back || !strings.Contains(err.Error(), "quota") {
			t.Errorf("state %q, error %v", report.State, err)
		}
		h.mustBeBack()
		if _, err := h.run(rotate.Rotate); err == nil {
			t.Error("a run that is due goes over it")
		}
		h.mustRefresh(1)
		h.after("store", 1, func() error { h.unrecorded = ""; return nil })
		if report, err := h.run(rotate.Heal); err != nil {
			t.Errorf("outcome %q, error %v", report.Outcome, err)
		}
		if h.restarts != 1 {
			t.Errorf("%d restarts, want 1", h.restarts)
		}
	})
}
