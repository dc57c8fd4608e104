package rotate

import (
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// AppliedNothing is the value of [Note.Applied] that says: whatever the instances run with, a restart is owed.
const AppliedNothing maia.Fingerprint = "none"

// Note is what must outlive a run and cannot be seen from outside. It is small, readable by a person, and holds no
// secret, only fingerprints. A home keeps it beside the runner, see [Runner.SaveNote]. The zero Note says that this
// runner was never touched.
type Note struct {
	// Applied is the fingerprint of the secret that the instances were last seen running with, after a restart.
	Applied maia.Fingerprint
	// Intent is open from before a refresh is sent until its outcome is stored.
	Intent *Intent
	// Paused says that a pause of the runner is ours.
	Paused *OwnPause
	// Rotated is the last refresh of ours whose outcome is known.
	Rotated *Rotation
}

// Intent says that a refresh was about to be sent.
type Intent struct {
	At   time.Time        // when, to the millisecond
	Over maia.Fingerprint // the secret that Maia held then
	By   string           // the run that opened it, a short random mark
}

// OwnPause says that we paused the runner, or were about to.
type OwnPause struct {
	At        time.Time // when the note was written, to the millisecond
	By        string    // the run that wrote it
	Confirmed bool      // Maia has reported the pause
	Until     time.Time // the pausedUntil that Maia reported, to the millisecond; zero if it reported none
}

// Rotation is a refresh of ours whose outcome is known.
type Rotation struct {
	At   time.Time        // when it was sent, to the millisecond
	Over maia.Fingerprint // the secret it revoked
	New  maia.Fingerprint // the secret it made
}

// Equal compares two notes field by field.
func (n Note) Equal(other Note) bool {
	return n.Applied == other.Applied &&
		equal(n.Intent, other.Intent, func(a, b Intent) bool { return a.At.Equal(b.At) && a.Over == b.Over && a.By == b.By }) &&
		equal(n.Paused, other.Paused, func(a, b OwnPause) bool {
			return a.At.Equal(b.At) && a.By == b.By && a.Confirmed == b.Confirmed && a.Until.Equal(b.Until)
		}) &&
		equal(n.Rotated, other.Rotated, func(a, b Rotation) bool { return a.At.Equal(b.At) && a.Over == b.Over && a.New == b.New })
}

func equal[T any](a, b *T, same func(a, b T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return same(*a, *b)
}
