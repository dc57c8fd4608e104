package doctor

import (
	"iter"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Window judges whether the calls of a year rotate anything: the window must be long enough for a rotation, and a call must come while
// it is open. calls may be nil: then nothing is known of them.
func (r *Report) Window(window *rotate.Window, needed time.Duration, calls iter.Seq[time.Time]) {
	const check = "window"
	if window == nil {
		return
	}
	if _, ever := window.Next(time.Now(), needed); !ever {
		r.Problem(check, "make it longer, or lower MAIA_ROTATE_DRAIN_TIMEOUT or MAIA_ROTATE_CONNECT_TIMEOUT",
			"MAIA_ROTATE_WINDOW is %s, and a rotation may take %s: none that is due by its age is ever begun", window, needed)
		return
	}
	if calls == nil {
		r.OK(check, "%s; whether a call falls into it was not checked", window)
		return
	}
	for call := range calls {
		if window.Fits(call, needed) {
			r.OK(check, "%s; a rotation needs %s of it", window, needed)
			return
		}
	}
	r.Warn(check, "call the function more often, or make the window longer",
		"MAIA_ROTATE_WINDOW is %s, and no call comes in a year of which a rotation could end in it: it may take %s", window, needed)
}
