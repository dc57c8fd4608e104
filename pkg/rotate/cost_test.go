package rotate_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// A clean rotation costs few calls: Maia's limit is shared by all functions of an account, and each note is several calls on AWS.
func TestWhatACleanRotationCosts(t *testing.T) {
	for name, test := range map[string]struct {
		tasks       time.Duration
		maia, notes int
	}{
		"no pipeline runs":    {time.Millisecond, 15, 6},
		"they take 3 seconds": {3 * time.Second, 16, 6},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newBusyPlatform(t, test.tasks)
				h.starts = 1500 * time.Millisecond
				asked := 0
				h.maia.OnCall(func(maiatest.Call) { asked++ })
				if _, err := h.run(rotate.Rotate); err != nil {
					t.Fatal(err)
				}
				notes := len(h.calls) - len(slices.DeleteFunc(slices.Clone(h.calls), func(call string) bool { return call == "save note" }))
				if asked != test.maia || notes != test.notes {
					t.Errorf("%d calls to Maia and %d notes, want %d and %d", asked, notes, test.maia, test.notes)
				}
			})
		})
	}
}
