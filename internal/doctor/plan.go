package doctor

import (
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// Plan is what the next call of a function that serves a fleet would do for each of its runners, and what is in its way.
type Plan struct {
	Function string `json:"function"`
	fleet.Result
	Error *rotate.Error `json:"error,omitempty"` // what keeps the function from its runners altogether

	Every time.Duration `json:"-"` // the age at which a runner is due
}

// InTheWay reports whether something is in the way of a rotation.
func (p Plan) InTheWay() bool { return p.Error != nil || p.Failed() }

// Would says what a call would do now for a runner with nothing in its way.
func Would(target fleet.TargetResult, every time.Duration, now time.Time) string {
	report := target.Rotation
	if report.RotatedAt != nil {
		if due := report.RotatedAt.Add(every); now.Before(due) {
			return fmt.Sprintf("does not rotate it before %s, and then would: %s", due.UTC().Format(time.RFC3339), Steps(*report))
		}
	}
	return "would: " + Steps(*report)
}
