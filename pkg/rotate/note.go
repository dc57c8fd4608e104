package rotate

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// AppliedNothing is the value of [Note.Applied] which means that a restart is owed, whatever the instances run with.
const AppliedNothing maia.Fingerprint = "none"

// Note is what must outlive a run and cannot be seen from outside. It is small, readable by a person, and holds no
// secret, only fingerprints. The platform keeps it with the runner, see [Runner.SaveNote]. The zero Note says that this
// runner was never touched. Where a platform keeps text, it is JSON.
type Note struct {
	// Agent is the ID of the agent that the note is about, see [Note.Of].
	Agent string `json:"agent,omitempty"`
	// Applied is the fingerprint of the secret with which the runner was last seen connected, or [AppliedNothing].
	Applied maia.Fingerprint `json:"applied,omitempty"`
	// Intent is open from before a refresh is sent until a note records its outcome: that of the order of the restart, or the last.
	Intent *Intent `json:"intent,omitempty"`
	// Ordered is the restart that was ordered last. A run that finds it waits for those instances, and orders others only if they fail,
	// or run for an hour without a connection.
	Ordered *Order `json:"ordered,omitempty"`
	// Paused is our own pause of the runner.
	Paused *OwnPause `json:"paused,omitempty"`
	// LastRotation is the last refresh of ours whose outcome is known.
	LastRotation *Rotation `json:"rotated,omitempty"`
	// Adopted is the last change of the secret by another writer that was brought to the runner.
	Adopted *Adoption `json:"adopted,omitempty"`
	// Tried is when a run last paused the runner to rotate it, if that has come to nothing; to the millisecond. A fleet tries
	// others before it. A platform that serves one runner at a time need not keep it.
	Tried time.Time `json:"tried,omitzero"`
}

// Intent is a refresh that was about to be sent.
type Intent struct {
	At   time.Time        `json:"at"`   // when, to the millisecond
	Over maia.Fingerprint `json:"over"` // the secret that Maia held then
	By   string           `json:"by"`   // the run that opened it, a short random mark
}

// Order is a restart that was ordered.
type Order struct {
	At  time.Time        `json:"at"`            // when, to the millisecond
	For maia.Fingerprint `json:"for"`           // the secret that the store held then
	IDs []string         `json:"ids,omitempty"` // what [Runner.Restart] returned
}

func (o Order) equal(other Order) bool {
	return o.At.Equal(other.At) && o.For == other.For && slices.Equal(o.IDs, other.IDs)
}

// OwnPause is a pause of ours that was sent, or was about to be.
type OwnPause struct {
	At        time.Time `json:"at"`                  // when the note was written, to the millisecond
	By        string    `json:"by"`                  // the run that wrote it
	Confirmed bool      `json:"confirmed,omitempty"` // Maia has reported the pause
	Until     time.Time `json:"until,omitzero"`      // the pausedUntil that Maia reported, to the millisecond; zero if it reported none
	// Stands reports whether Until was the same on two reads with time between them: then another end is another pause. Where it
	// was not, Maia may compute it anew at every read.
	Stands bool `json:"stands,omitempty"`
}

// Rotation is a refresh of ours whose outcome is known.
type Rotation struct {
	At   time.Time        `json:"at"`   // when it was sent, to the millisecond
	Over maia.Fingerprint `json:"over"` // the secret it revoked
	New  maia.Fingerprint `json:"new"`  // the secret it made
}

// shown reports whether Maia has shown the pause, with its end. Without an end it is not known which pause Maia shows.
func (p OwnPause) shown() bool { return p.Confirmed && !p.Until.IsZero() }

// Adoption is a change of the secret that another writer made, in Maia's console for example, and a run of ours brought to
// the runner.
type Adoption struct {
	At   time.Time        `json:"at"`   // when it was adopted, to the millisecond
	Over maia.Fingerprint `json:"over"` // the secret that was valid before, as far as was known
	New  maia.Fingerprint `json:"new"`  // the one that was adopted
}

// ParseNote reads the JSON of a Note. What it does not know is an error, not left out: the next note saved would lose it.
func ParseNote(text []byte) (note Note, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&note); err != nil {
		return Note{}, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Note{}, errors.New("there is something behind the note")
	}
	return note, nil
}

// Of is the note if it is about this agent, or names none; else the zero Note. What was noted about one agent says nothing about
// another: otherwise a platform that is made to name another runner's agent would adopt that runner's secret.
func (n Note) Of(agentID string) Note {
	if n.Agent != "" && !strings.EqualFold(n.Agent, agentID) {
		return Note{}
	}
	return n
}

// Down reports whether by the note alone the runner may be cut off by a refresh of ours, and not seen back since.
func (n Note) Down() bool {
	rotated := n.LastRotation
	return n.Intent != nil || n.Applied == AppliedNothing || rotated != nil && n.Applied != rotated.New && !n.superseded(rotated.New)
}

// superseded reports whether a secret was replaced by one that was adopted since.
func (n Note) superseded(secret maia.Fingerprint) bool {
	adopted, rotated := n.Adopted, n.LastRotation
	return adopted != nil && secret != adopted.New &&
		(secret == adopted.Over || rotated != nil && secret == rotated.New && adopted.At.After(rotated.At))
}

// Equal compares two notes field by field.
func (n Note) Equal(other Note) bool {
	return n.Agent == other.Agent && n.Applied == other.Applied &&
		equal(n.Intent, other.Intent, func(a, b Intent) bool { return a.At.Equal(b.At) && a.Over == b.Over && a.By == b.By }) &&
		equal(n.Paused, other.Paused, func(a, b OwnPause) bool {
			return a.At.Equal(b.At) && a.By == b.By && a.Confirmed == b.Confirmed && a.Until.Equal(b.Until) && a.Stands == b.Stands
		}) &&
		equal(n.Ordered, other.Ordered, Order.equal) &&
		equal(n.Adopted, other.Adopted, func(a, b Adoption) bool { return a.At.Equal(b.At) && a.Over == b.Over && a.New == b.New }) &&
		equal(n.LastRotation, other.LastRotation, func(a, b Rotation) bool { return a.At.Equal(b.At) && a.Over == b.Over && a.New == b.New }) &&
		n.Tried.Equal(other.Tried)
}

func equal[T any](a, b *T, same func(a, b T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return same(*a, *b)
}
