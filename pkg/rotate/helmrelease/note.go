package helmrelease

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// savedNote is a note as the annotation holds it.
type savedNote struct {
	Applied maia.Fingerprint `json:"applied,omitempty"`
	Intent  *savedIntent     `json:"intent,omitempty"`
	Paused  *savedPause      `json:"paused,omitempty"`
	Rotated *savedRotation   `json:"rotated,omitempty"`
}

type savedIntent struct {
	At   time.Time        `json:"at"`
	Over maia.Fingerprint `json:"over"`
	By   string           `json:"by"`
}

type savedPause struct {
	At        time.Time  `json:"at"`
	By        string     `json:"by"`
	Confirmed bool       `json:"confirmed,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
}

type savedRotation struct {
	At   time.Time        `json:"at"`
	Over maia.Fingerprint `json:"over"`
	New  maia.Fingerprint `json:"new"`
}

func noteJSON(note rotate.Note) savedNote {
	saved := savedNote{Applied: note.Applied}
	if i := note.Intent; i != nil {
		saved.Intent = &savedIntent{i.At.UTC(), i.Over, i.By}
	}
	if p := note.Paused; p != nil {
		saved.Paused = &savedPause{At: p.At.UTC(), By: p.By, Confirmed: p.Confirmed}
		if !p.Until.IsZero() {
			until := p.Until.UTC()
			saved.Paused.Until = &until
		}
	}
	if r := note.Rotated; r != nil {
		saved.Rotated = &savedRotation{r.At.UTC(), r.Over, r.New}
	}
	return saved
}

func parseNote(text string) (rotate.Note, error) {
	var saved savedNote
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&saved); err != nil {
		return rotate.Note{}, err
	}
	note := rotate.Note{Applied: saved.Applied}
	if i := saved.Intent; i != nil {
		note.Intent = &rotate.Intent{At: i.At, Over: i.Over, By: i.By}
	}
	if p := saved.Paused; p != nil {
		note.Paused = &rotate.OwnPause{At: p.At, By: p.By, Confirmed: p.Confirmed}
		if p.Until != nil {
			note.Paused.Until = *p.Until
		}
	}
	if r := saved.Rotated; r != nil {
		note.Rotated = &rotate.Rotation{At: r.At, Over: r.Over, New: r.New}
	}
	return note, nil
}
