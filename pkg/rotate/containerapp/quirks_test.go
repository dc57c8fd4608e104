package containerapp_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Under each quirk the runner is rotated with one refresh and one restart of each revision, or is refused with the cause before
// anything has changed.
func TestEveryQuirk(t *testing.T) {
	for _, q := range containerapps.Quirks() {
		t.Run(q.Name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				if err := w.apps.Play(q.Name); err != nil {
					t.Fatal(err)
				}
				w.rotateUnder(q)
			})
		})
	}
	for _, q := range blobs.Quirks() {
		t.Run("blobs "+q.Name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				if err := w.state.Play(q.Name); err != nil {
					t.Fatal(err)
				}
				w.rotateUnder(q)
			})
		})
	}
}

// rotateUnder is a rotation, tried again every half hour until something is refreshed, and then healings until the runner is back.
func (w *world) rotateUnder(q quirk.Quirk) {
	w.t.Helper()
	_, err := w.run(rotate.Rotate)
	if q.Refused != "" {
		w.mustFail(err, rotate.KindOf(err), q.Refused)
		w.mustBeUntouched()
		return
	}
	for range 4 {
		if err == nil {
			break
		}
		time.Sleep(30 * time.Minute)
		mode := rotate.Heal
		if w.maia.Refreshes(agentID) == 0 {
			mode = rotate.Rotate
		}
		_, err = w.run(mode)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.mustBeBack()
	if n, restarts := w.maia.Refreshes(agentID), fmt.Sprint(w.apps.Restarts(appID)); n != 1 || restarts != "map[runner--1:1 runner--2:1]" {
		w.t.Errorf("%d refreshes, restarts %s", n, restarts)
	}
}

// TestRolloutsThatAreSlowAreOneRestart: whatever processes come meanwhile find the restart in the note.
func TestRolloutsThatAreSlowAreOneRestart(t *testing.T) {
	for _, test := range []struct {
		quirks []string
		every  time.Duration // when the next process comes
	}{
		{[]string{"rollout-9m"}, time.Minute},
		{[]string{"rollout-60m"}, 10 * time.Minute},
		{[]string{"rollout-9m", "in-place"}, time.Minute},
		{[]string{"rollout-9m", "same-names"}, time.Minute},
		{[]string{"rollout-9m", "failed-after-restart"}, time.Minute},
		{[]string{"rollout-9m", "lag-30s"}, time.Minute},
		{[]string{"no-replicas-shown"}, time.Minute},
		{[]string{"no-replicas-shown", "failed-after-restart"}, time.Minute},
	} {
		t.Run(fmt.Sprint(test.quirks), func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				if err := w.apps.Play(test.quirks...); err != nil {
					t.Fatal(err)
				}
				w.connectTimeout = 30 * time.Second
				report, err := w.run(rotate.Rotate)
				for range 60 {
					if err == nil {
						break
					}
					if !errors.Is(err, rotate.ErrStarting) {
						t.Fatalf("%+v, %v", report, err)
					}
					time.Sleep(test.every)
					report, err = w.run(rotate.Heal)
				}
				if err != nil || report.Downtime == 0 && report.Outcome != rotate.Rotated {
					t.Errorf("%+v, %v", report, err)
				}
				w.mustBeBack()
				if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:1 runner--2:1]" {
					t.Errorf("restarts %s", restarts)
				}
			})
		})
	}
}

// TestThreeConnectedRevisionsWithUnknownReferencesAreNotStopped: a revision may show something else in place of a reference.
func TestThreeConnectedRevisionsWithUnknownReferencesAreNotStopped(t *testing.T) {
	inWorld(t, func(spec *containerapps.Spec) { spec.Revisions = []string{"runner--1", "runner--2", "runner--3"} }, func(w *world) {
		if err := w.apps.Play("capp-references"); err != nil {
			t.Fatal(err)
		}
		w.mustRotate()
		if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:1 runner--2:1 runner--3:1]" {
			t.Errorf("restarts %s", restarts)
		}
	})
}

// TestARevisionThatCannotBeRestartedDoesNotHoldBackTheOthers: the error names it, and a later process restarts only that one.
func TestARevisionThatCannotBeRestartedDoesNotHoldBackTheOthers(t *testing.T) {
	for name, fault := range siblingFaults {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(spec *containerapps.Spec) { spec.Revisions = []string{"runner--1", "runner--2", "runner--3"} }, func(w *world) {
				repair := w.refuseRestarts(fault.status, fault.code, "runner--1", "runner--3")
				_, err := w.run(rotate.Rotate)
				w.mustFail(err, fault.kind, "2 of 2 revisions were not restarted", "restart revision runner--1: "+fault.code,
					"restart revision runner--3: "+fault.code)
				if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:0 runner--2:1 runner--3:0]" {
					t.Errorf("restarts %s", restarts)
				}
				repair()
				if _, err := w.run(rotate.Heal); err != nil {
					t.Fatal(err)
				}
				w.mustBeBack()
				if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:1 runner--2:1 runner--3:1]" {
					t.Errorf("restarts %s", restarts)
				}
			})
		})
	}
}

// TestReplicasThatCrashAfterARestartAreGivenTime: the reason is reported, and a later run restarts once more.
func TestReplicasThatCrashAfterARestartAreGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, containerapps.Options{}, nil)
		w.apps.BreakRestarts(appID, 1)
		_, err := w.run(rotate.Rotate)
		w.mustFail(err, rotate.KindOf(err), "CrashLoopBackOff")
		if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:1 runner--2:1]" {
			t.Errorf("restarts %s", restarts)
		}
		time.Sleep(20 * time.Minute)
		if _, err := w.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		w.mustBeBack()
		if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:2 runner--2:2]" {
			t.Errorf("restarts %s", restarts)
		}
	})
}

// TestARestartThatAzureHasForgottenIsOrderedAgain: not before it is certain that it will not come.
func TestARestartThatAzureHasForgottenIsOrderedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		lose := w.loseRestarts()
		_, err := w.run(rotate.Rotate)
		if !errors.Is(err, rotate.ErrStarting) {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(15 * time.Minute)
			if _, err := w.run(rotate.Heal); !errors.Is(err, rotate.ErrStarting) {
				t.Fatal(err)
			}
		}
		lose()
		time.Sleep(time.Hour)
		if _, err := w.run(rotate.Heal); err != nil {
			t.Fatal(err)
		}
		w.mustBeBack()
		if restarts := fmt.Sprint(w.apps.Restarts(appID)); restarts != "map[runner--1:1 runner--2:1]" {
			t.Errorf("restarts %s", restarts)
		}
	})
}
