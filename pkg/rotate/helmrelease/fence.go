package helmrelease

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// fence lets no change of the cluster begin that the lock does not cover any more. An upgrade is many requests: a process
// that stands still between two of them, as one does that gets no processor, or that cannot renew its Lease, may go on when
// others have done its work and more, and would write an older secret over theirs.
//
// The Lease itself is exempt: its writes are compared and swapped.
type fence struct{ till atomic.Pointer[time.Time] } // until when the Lease is ours; nil: it is not

// fenceMargin is how long before the Lease ends the last change may begin: the time that it takes to be carried out.
const fenceMargin = 10 * time.Second

var errFenced = errors.New("the lock on the runner has ended, and others may be at work: nothing more is changed")

// set says until when the Lease is ours.
func (f *fence) set(till time.Time) {
	if till.IsZero() {
		f.till.Store(nil)
		return
	}
	f.till.Store(&till)
}

// open reports whether a change may begin now. Two clocks have to say so: the one on the wall may be set back, and the other may stand
// still while a machine sleeps.
func (f *fence) open() bool {
	till, last := f.till.Load(), time.Now().Add(fenceMargin)
	return till != nil && last.Before(*till) && last.Round(0).Before(till.Round(0))
}

func (f *fence) wrap(next http.RoundTripper) http.RoundTripper { return fenced{f, next} }

type fenced struct {
	fence *fence
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (f fenced) RoundTrip(request *http.Request) (*http.Response, error) {
	if changes(request) && !f.fence.open() {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, errFenced
	}
	return f.next.RoundTrip(request)
}

// changes says of a request that it changes something which the lock is for.
func changes(request *http.Request) bool {
	switch {
	case request.Method == http.MethodGet, request.Method == http.MethodHead, request.URL.Query().Has("dryRun"):
		return false
	}
	path := request.URL.Path
	return !strings.Contains(path, "/leases") && !strings.HasSuffix(path, "/selfsubjectaccessreviews")
}
