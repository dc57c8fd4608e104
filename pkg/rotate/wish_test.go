package rotate_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func monthly(r *rotate.Rotator) { r.Policy.Every = 30 * 24 * time.Hour }

func request(id string) rotate.Wishes {
	return rotate.Wishes{Requested: &rotate.Request{ID: id, At: time.Now(), By: "operator", Why: "it leaked"}}
}

func hold(d time.Duration) rotate.Wishes {
	return rotate.Wishes{Held: &rotate.Hold{At: time.Now(), Until: time.Now().Add(d), By: "operator", Why: "month-end run"}}
}

func TestARequestIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		if _, err := h.run(rotate.Rotate, monthly); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		h.wishes = request("one")
		if report, err := h.run(rotate.Heal, monthly); err != nil || report.Requested == nil || report.Requested.ID != "one" {
			t.Fatalf("a healing run reports %+v, %v", report.Requested, err)
		}
		h.mustRefresh(1)
		report, err := h.run(rotate.Rotate, monthly)
		if err != nil || report.Requested != nil {
			t.Fatalf("the run that answers it reports %+v, %v", report.Requested, err)
		}
		h.mustRefresh(2)
		for range 3 {
			time.Sleep(11 * 24 * time.Hour) // one rotation comes due by its age, and does not make the request due again
			if _, err := h.run(rotate.Rotate, monthly); err != nil {
				t.Fatal(err)
			}
		}
		h.mustRefresh(3)
		h.wishes = request("two")
		for range 2 {
			if _, err := h.run(rotate.Rotate, monthly); err != nil {
				t.Fatal(err)
			}
		}
		h.mustRefresh(4)
	})
}

// A request that comes while a rotation runs is answered by it up to its refresh, and by the next one after it.
func TestARequestThatComesDuringARotation(t *testing.T) {
	for call, want := range map[string]int{"check": 1, "store": 2} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPlatform(t)
				h.before(call, 1, func() error { h.wishes = request("one"); return nil })
				for range 2 {
					if _, err := h.run(rotate.Rotate, monthly); err != nil {
						t.Fatal(err)
					}
				}
				h.mustRefresh(want)
			})
		})
	}
	t.Run("between intent and refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.before("save note", 3, func() error { h.wishes = request("one"); return nil }) // the third is the intent
			for range 2 {
				if _, err := h.run(rotate.Rotate, monthly); err != nil {
					t.Fatal(err)
				}
			}
			h.mustRefresh(1)
		})
	})
}

// The request of a rotation that was killed after its refresh is answered by the run that brings it to its end.
func TestARequestOfARotationThatWasKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.wishes = request("one")
		h.before("store", 1, h.kill)
		h.runUntilKilled(rotate.Rotate)
		for range 2 {
			if _, err := h.run(rotate.Rotate, monthly); err != nil {
				t.Fatal(err)
			}
		}
		h.mustRefresh(1)
		h.mustBeBack()
	})
}

func mustBeHeld(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, rotate.ErrHeld) || rotate.KindOf(err) != rotate.NotReady ||
		!strings.Contains(err.Error(), "by operator: month-end run") || !strings.Contains(err.Error(), "held until") {
		t.Errorf("error %v, want one that says who holds it, and why", err)
	}
}

func TestAHoldStopsARotationBeforeAnythingIsChanged(t *testing.T) {
	for _, mode := range []rotate.Mode{rotate.Rotate, rotate.Stage} {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.wishes = hold(time.Hour)
			h.wishes.Requested = request("one").Requested
			report, err := h.run(mode)
			mustBeHeld(t, err)
			if report.Outcome != rotate.Refused || report.State != rotate.Unchanged || report.Held == nil || h.note.Paused != nil {
				t.Errorf("outcome %s, state %s, hold %v", report.Outcome, report.State, report.Held)
			}
			h.mustRefresh(0)
			time.Sleep(time.Hour)
			if _, err := h.run(mode); err != nil {
				t.Errorf("after its end: %v", err)
			}
			h.mustRefresh(1)
		})
	}
}

// What is not due is not stopped, and is no failure; and healing goes on.
func TestAHoldDoesNotStopHealing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("store", 1, h.kill)
		h.runUntilKilled(rotate.Rotate)
		h.wishes = hold(time.Hour)
		if report, err := h.run(rotate.Heal); err != nil || report.Outcome != rotate.Rotated {
			t.Errorf("healing under a hold: %s, %v", report.Outcome, err)
		}
		h.mustBeBack()
		if _, err := h.run(rotate.Rotate, monthly); err != nil {
			t.Errorf("a run of which nothing is due: %v", err)
		}
		h.mustRefresh(1)
	})
}

// A hold that comes between the pause and the refresh stops the rotation, which resumes the runner. One that comes later does not.
func TestAHoldThatComesDuringARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPlatform(t)
		h.before("save note", 3, func() error { h.wishes = hold(time.Hour); return nil })
		report, err := h.run(rotate.Rotate)
		mustBeHeld(t, err)
		if report.LeftPaused || h.note.Paused != nil || h.note.Intent != nil {
			t.Errorf("it is left paused, or the note is not clean: %+v", h.note)
		}
		h.mustRefresh(0)
		h.wishes = rotate.Wishes{}
		h.before("store", 1, func() error { h.wishes = hold(time.Hour); return nil })
		if _, err := h.run(rotate.Rotate); err != nil {
			t.Error(err)
		}
		h.mustRefresh(1)
		h.mustBeBack()
	})
}

// A refresh is not begun that could not end inside the window, also where it is the drain that took long.
func TestAWindowEndsWhileTheRunnerDrains(t *testing.T) {
	for minute, want := range map[int]int{0: 1, 50: 0} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(time.Date(2000, 1, 1, 2, minute, 0, 0, time.UTC)))
			h := newBusyPlatform(t, 4*time.Minute)
			report, err := h.run(rotate.Rotate, func(r *rotate.Rotator) { r.Policy.Window = mustWindow(t, "02:00-03:00") })
			if err != nil || report.LeftPaused || h.note.Paused != nil {
				t.Errorf("02:%02d: %s, left paused %t, %v", minute, report.Outcome, report.LeftPaused, err)
			}
			h.mustRefresh(want)
		})
	}
}
