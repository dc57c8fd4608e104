package rotation

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

func (w *world) hold(hold *rotate.Hold) {
	w.t.Helper()
	if err := ecs.SaveHold(w.t.Context(), w.handler().secrets, w.arn, hold); err != nil {
		w.t.Fatal(err)
	}
}

// A step of a secret that is held fails before anything is changed, and says until when, by whom, and why. Healing goes on, and the
// notes of its runs leave the hold as it is.
func TestAHoldFailsTheStepBeforeAnythingIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if end := w.rotate(); end != smemulator.RotationSucceeded {
			t.Fatal(end)
		}
		w.hold(&rotate.Hold{At: time.Now(), Until: time.Now().Add(48 * time.Hour), By: "jo", Why: "month-end run"})
		if end := w.rotate(); end != smemulator.RotationFailed {
			t.Error(end)
		}
		if last := w.errors[len(w.errors)-1]; !strings.HasPrefix(last, "createSecret: ") || !strings.Contains(last, "by jo: month-end run") ||
			!strings.Contains(last, "held until ") {
			t.Error(last)
		}
		w.mustBeBack(1)
		if _, err := w.maia.Client(t).RefreshCredentials(t.Context(), agentID); err != nil { // as in the console
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := w.heal(); err != nil {
			t.Error(err)
		}
		w.mustBeBack(2)
		if labels := strings.Join(w.labels(), " "); !strings.Contains(labels, "maia-rotate/held/") {
			t.Errorf("the hold is gone: %s", labels)
		}
		w.hold(nil)
		time.Sleep(time.Hour)
		if end := w.rotate(); end != smemulator.RotationSucceeded {
			t.Error(end, w.errors[len(w.errors)-1])
		}
		w.mustBeBack(3)
	})
}
