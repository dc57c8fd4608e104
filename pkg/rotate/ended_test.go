package rotate_test

import (
	"testing"
	"testing/synctest"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// A run that ends the rotation of an earlier one refreshes nothing, also where every run is due, and whether it has a pause to take back
// or not.
func TestARunThatEndsAnEarlierRotationDoesNotRefresh(t *testing.T) {
	for _, call := range []string{"store", "restart"} {
		synctest.Test(t, func(t *testing.T) {
			h := newPlatform(t)
			h.before(call, 1, h.kill)
			h.runUntilKilled(rotate.Rotate)
			if report, err := h.run(rotate.Rotate); err != nil || report.Refreshed || report.Outcome != rotate.Rotated {
				t.Errorf("killed before %s: %s, refreshed %t, %v", call, report.Outcome, report.Refreshed, err)
			}
			h.mustRefresh(1)
			h.mustBeBack()
		})
	}
}
