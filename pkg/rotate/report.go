package rotate

import (
	"log/slog"
	"time"
)

// Outcome is what a run came to.
type Outcome string

// The outcomes.
const (
	Rotated  Outcome = "rotated" // a refresh of ours has reached the runner (in Stage: the store)
	Healed   Outcome = "healed"  // something was mended that no refresh of ours had left
	NoOp     Outcome = "nothing to do"
	Planned  Outcome = "planned"        // a dry run
	Starting Outcome = "still starting" // what was ordered is on its way: a later run waits on
	Refused  Outcome = "refused"        // the run stopped by a decision: see the error
	Broken   Outcome = "failed"         // the run stopped by a failure: see the error
)

// Report is what a run did. It holds no secret.
type Report struct {
	AgentID   string        `json:"agent_id"`
	Mode      Mode          `json:"mode"`
	Outcome   Outcome       `json:"outcome"`
	State     State         `json:"state"`
	Reason    string        `json:"reason"`               // of the last step
	Steps     []StepReport  `json:"steps"`                // in order; waiting that repeats is one step
	Refreshed bool          `json:"refreshed"`            // this run sent a refresh that was carried out
	Downtime  time.Duration `json:"dark_ns,omitempty"`    // from the sending of the refresh until connected, across runs; 0 if this run did not end it
	DownSince *time.Time    `json:"dark_since,omitempty"` // when a refresh of ours cut the runner off; nil once it was seen back
	Connected bool          `json:"connected"`            // as Maia said last
	// LeftPaused says that the runner is paused, by us or by what cannot be told from us, and the run could not resume it.
	LeftPaused bool          `json:"left_paused,omitempty"`
	Took       time.Duration `json:"took_ns"`              //
	RotatedAt  *time.Time    `json:"rotated_at,omitempty"` // when the last refresh of ours whose outcome is known was sent
	TriedAt    *time.Time    `json:"tried_at,omitempty"`   // when a run last paused the runner to rotate it, if that has come to nothing
}

// StepReport is one step that was taken, or, in a dry run, would be.
type StepReport struct {
	Kind   StepKind      `json:"step"`
	Reason string        `json:"reason"`
	Took   time.Duration `json:"took_ns"`
	Error  string        `json:"error,omitempty"`
}

// Attributes are those of the line "report" in a function's log.
func (r Report) Attributes() []any {
	attributes := []any{"outcome", r.Outcome, "state", r.State, "took", r.Took.String()}
	if r.Downtime > 0 {
		attributes = append(attributes, "dark", r.Downtime.String())
	}
	if r.LeftPaused {
		attributes = append(attributes, "left_paused", true)
	}
	for _, step := range r.Steps {
		attributes = append(attributes, slog.String("took "+string(step.Kind), step.Took.String()))
	}
	return attributes
}
