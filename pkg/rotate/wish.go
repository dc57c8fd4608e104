package rotate

import "time"

// Wishes are what operators have asked for. A platform keeps them next to the note, and runs only read them: neither overwrites the
// other, and a wish may come at any moment of a run.
type Wishes struct {
	Requested *Request `json:"requested,omitempty"`
	Held      *Hold    `json:"held,omitempty"`
}

// ParseWishes reads the JSON of Wishes, as [ParseNote] does: what it does not know is an error.
func ParseWishes(text []byte) (Wishes, error) { return parseStrictly[Wishes](text) }

// Unread are wishes that a platform keeps and that cannot be read: the runner is held, and healed.
func Unread(err error) Wishes {
	return Wishes{Held: &Hold{Why: "what operators have asked for cannot be read: " + err.Error() +
		"; write it again with maia-rotate hold or unhold"}}
}

// Request is the wish for a rotation now, whatever the age of the credentials. The rotation that answers it says so in its
// [Rotation.Answers]. A platform whose own trigger is such a request (Secrets Manager's) keeps none.
type Request struct {
	ID  string    `json:"id"` // a random mark
	At  time.Time `json:"at"`
	By  string    `json:"by"`
	Why string    `json:"why,omitempty"`
}

// Hold is the wish that no rotation begins before a time. Healing goes on, and so does a rotation that has sent its refresh.
type Hold struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until"` // zero: without an end
	By    string    `json:"by"`
	Why   string    `json:"why,omitempty"`
}

// Text is the hold in words.
func (h Hold) Text() string {
	text := "held"
	if !h.Until.IsZero() {
		text += " until " + h.Until.UTC().Format(time.RFC3339)
	}
	if h.By != "" {
		text += " by " + h.By
	}
	if h.Why != "" {
		text += ": " + h.Why
	}
	return text
}

// requested is the request that no refresh of ours has answered; nil if there is none.
func (o *Observation) requested() *Request {
	request, rotated := o.Platform.Wishes.Requested, o.Platform.Note.LastRotation
	if request == nil || rotated != nil && rotated.Answers == request.ID {
		return nil
	}
	return request
}

// hold is the one that is in force; nil if there is none.
func (o *Observation) hold(now time.Time) *Hold {
	if hold := o.Platform.Wishes.Held; hold != nil && (hold.Until.IsZero() || now.Before(hold.Until)) {
		return hold
	}
	return nil
}
