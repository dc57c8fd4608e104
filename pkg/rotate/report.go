package rotate

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// Outcome is what a run came to.
type Outcome string

// The outcomes.
const (
	Rotated  Outcome = "rotated" // a refresh of ours has reached the runner (in Stage: the store)
	Healed   Outcome = "healed"  // something was repaired that no refresh of ours had left
	NoOp     Outcome = "nothing_to_do"
	Planned  Outcome = "planned"        // a dry run
	Starting Outcome = "still_starting" // what was ordered is on its way: a later run waits on
	Refused  Outcome = "refused"        // the run stopped by a decision: see the error
	Broken   Outcome = "failed"         // the run stopped by a failure: see the error
)

// Text is the outcome in words.
func (o Outcome) Text() string { return words(o) }

// Report is what a run did. It holds no secret.
type Report struct {
	AgentID   string       `json:"agent_id"`
	Mode      Mode         `json:"mode"`
	Outcome   Outcome      `json:"outcome"`
	State     State        `json:"state"`
	Reason    string       `json:"reason"`    // of the last step
	Steps     []StepReport `json:"steps"`     // in order; waiting that repeats is one step
	Refreshed bool         `json:"refreshed"` // this run sent a refresh that was carried out
	Connected bool         `json:"connected"` // as Maia said last
	// Downtime is from the sending of the refresh until connected, across runs; 0 if this run did not end it.
	Downtime  time.Duration `json:"-"`
	DownSince *time.Time    `json:"down_since,omitempty"` // when a refresh of ours cut the runner off; nil once it was seen back
	// LeftPaused reports whether the run ended over a pause that is ours, or may be, and could not resume the runner.
	LeftPaused bool          `json:"left_paused,omitempty"`
	Took       time.Duration `json:"-"`
	RotatedAt  *time.Time    `json:"rotated_at,omitempty"` // when the last refresh of ours whose outcome is known was sent
	TriedAt    *time.Time    `json:"tried_at,omitempty"`   // when a run last paused the runner to rotate it, if that has come to nothing
	Requested  *Request      `json:"requested,omitempty"`  // by an operator, and not answered yet
	Held       *Hold         `json:"held,omitempty"`       // that is in force
}

// StepReport is one step that was taken, or, in a dry run, would be.
type StepReport struct {
	Kind   StepKind      `json:"step"`
	Reason string        `json:"reason"`
	Took   time.Duration `json:"-"`
	Error  *Error        `json:"error,omitempty"`
}

// MarshalJSON implements json.Marshaler: durations are milliseconds, and their keys say so.
func (r Report) MarshalJSON() ([]byte, error) {
	type fields Report
	return json.Marshal(struct {
		fields
		Downtime int64 `json:"downtime_ms,omitempty"`
		Took     int64 `json:"took_ms"`
	}{fields(r), r.Downtime.Milliseconds(), r.Took.Milliseconds()})
}

// MarshalJSON implements json.Marshaler.
func (s StepReport) MarshalJSON() ([]byte, error) {
	type fields StepReport
	return json.Marshal(struct {
		fields
		Took int64 `json:"took_ms"`
	}{fields(s), s.Took.Milliseconds()})
}

// Attributes are those of the line "report" in a function's log.
func (r Report) Attributes() []any {
	attributes := []any{"outcome", r.Outcome, "state", r.State, "took_ms", r.Took.Milliseconds()}
	if r.Downtime > 0 {
		attributes = append(attributes, "downtime_ms", r.Downtime.Milliseconds())
	}
	if r.LeftPaused {
		attributes = append(attributes, "left_paused", true)
	}
	took := map[StepKind]time.Duration{} // a step may be taken several times
	for _, step := range r.Steps {
		took[step.Kind] += step.Took
	}
	for _, step := range slices.Sorted(maps.Keys(took)) {
		attributes = append(attributes, "took_"+string(step)+"_ms", took[step].Milliseconds())
	}
	return attributes
}
