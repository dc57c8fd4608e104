package rotate_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func fingerprintOf(secret string) maia.Fingerprint { return maia.NewSecret(secret).Fingerprint() }

// An operator refreshes in the console after the run has read everything, and before it notes its intent: the refresh that follows is
// noted over what it revokes.
func TestPromise2TheIntentIsOverWhatIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 3, func() error { h.maia.ConsoleRefresh(agentID); return nil })
		var over, held maia.Fingerprint
		var age time.Duration
		h.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.RefreshCredentials && h.note.Intent != nil {
				revoked := h.maia.Revoked(agentID)
				over, held, age = h.note.Intent.Over, fingerprintOf(revoked[len(revoked)-1]), time.Since(h.note.Intent.At)
			}
		})
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		if over == "" || over != held {
			t.Errorf("the intent was over %q, revoked was %q", over, held)
		}
		if age > 30*time.Second {
			t.Errorf("the intent was %s old when the refresh was sent", age)
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}

// The reads between the intent and the refresh take long: the quiet time counts from the note, and so the intent is noted
// anew.
func TestPromise2AnIntentOfSomeTimeAgoDoesNotStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		slow := true
		h.after("save note", 3, func() error {
			insert(h.hooks, "observe", 1, func() error {
				if slow {
					time.Sleep(90*time.Second + 300*time.Millisecond)
				}
				slow = false
				return nil
			})
			return nil
		})
		h.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.RefreshCredentials && time.Since(h.note.Intent.At) > time.Minute {
				t.Errorf("the intent was %s old when the refresh was sent", time.Since(h.note.Intent.At))
			}
		})
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		if slow {
			t.Error("no read took long")
		}
		h.mustBeBack()
		h.mustRefresh(1)
	})
}

// An operator pauses the runner after the run has read it; the run notes that it will, and never does.
func TestPromise8AnOperatorWhoWasQuicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 1, func() error { h.maia.ConsolePause(agentID, 9*time.Hour); return nil })
		h.after("save note", 1, func() error { return errors.New("the answer is lost") })
		if _, err := h.run(rotate.Rotate); err == nil {
			t.Error("no error")
		}
		if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.PausedUntil.IsZero() {
			t.Errorf("the operator's pause is undone: status %q", agent.Status)
		}
		if h.note.Paused != nil {
			t.Errorf("the note is %+v, want none of a pause", h.note.Paused)
		}
		h.mustRefresh(0)
	})
}

// What takes a minute to note is not done any more: another run takes it for abandoned.
func TestPromise8NoPauseAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 1, func() error { time.Sleep(time.Minute + 300*time.Millisecond); return nil })
		h.maia.OnCall(func(call maiatest.Call) {
			if call.Name == maiatest.Pause {
				t.Error("the runner was paused")
			}
		})
		_, err := h.run(rotate.Rotate)
		mustFail(t, err, rotate.NotReady, rotate.Unchanged)
		if h.note.Paused != nil {
			t.Errorf("the note is %+v, want none of a pause", h.note.Paused)
		}
	})
}

// A healing run is about to take back the pause of a run that is no more, and another run goes on with it.
func TestPromise3APauseThatAnotherRunGoesOnWithIsNotTakenBack(t *testing.T) {
	intent := func(h *platform) {
		h.note.Intent = &rotate.Intent{At: time.Now().UTC().Truncate(time.Millisecond), Over: fingerprintOf(first), By: "another"}
	}
	for name, concurrent := range map[string]func(h *platform){
		"its note is refused": func(h *platform) {
			h.before("save note", 2, func() error { intent(h); return rotate.Errorf(rotate.NotReady, "another run has changed the note") })
		},
		"its note stands with the other's": func(h *platform) {
			h.after("save note", 2, func() error { intent(h); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				h.maia.ConsolePause(agentID, 9*time.Hour)
				h.note.Paused = &rotate.OwnPause{At: time.Now().UTC().Truncate(time.Millisecond), By: "gone"}
				time.Sleep(time.Hour)
				concurrent(h)
				_, err := h.run(rotate.Heal)
				mustFail(t, err, rotate.NotReady, rotate.Unchanged)
				if agent, _ := h.maia.Client(t).Agent(t.Context(), agentID); agent.Status != maia.StatusPaused {
					t.Errorf("status %q, want the pause left to the other run", agent.Status)
				}
			})
		})
	}
}

// The run has seen that an operator refreshed after it; then Maia cannot be read. What it saw last counts more than its answer.
func TestPromise1TheAnswerOfARefreshGrowsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.after("restart", 1, func() error { h.maia.ConsoleRefresh(agentID); return nil })
		var stored []string
		h.after("restart", 2, func() error {
			for nth := range 9 {
				h.maia.Inject(maiatest.Fault{Call: maiatest.GetCredentials, Nth: nth + 1, Kind: maiatest.Status5xx, Status: 500})
			}
			for nth := range 5 {
				insert(h.afterwards, "store", nth+1, func() error { stored = append(stored, h.store); return nil })
			}
			return nil
		})
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Fatal(err)
		}
		for _, secret := range stored {
			if secret != h.maia.LiveSecret(agentID) {
				t.Error("a revoked secret was stored")
			}
		}
		if h.restarts != 2 {
			t.Errorf("%d restarts, want two", h.restarts)
		}
		h.mustBeBack()
	})
}
