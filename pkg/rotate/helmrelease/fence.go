package helmrelease

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

// fence lets a change of the cluster begin only while this run holds the lock. An upgrade is many requests. A process that is
// held up between two of them, or cannot renew its Lease, may go on after other runs have done its work, and would write an older
// secret over theirs. Writes of the Lease itself pass: they are compared and swapped.
type fence struct{ lock *lease.Lock } // nil: no change may begin

// fenceMargin is how long before the Lease ends the last change may begin, so that it is carried out in time.
const fenceMargin = 10 * time.Second

var errFenced = errors.New("the lock on the runner has ended, and others may be at work: nothing more is changed")

// open reports whether a change may begin now.
func (f *fence) open() bool { return f.lock != nil && f.lock.Left() > fenceMargin }

func (f *fence) wrap(next http.RoundTripper) http.RoundTripper { return fenced{f, next} }

type fenced struct {
	fence *fence
	next  http.RoundTripper
}

func (f fenced) RoundTrip(request *http.Request) (*http.Response, error) {
	if changes(request) && !f.fence.open() {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, errFenced
	}
	return f.next.RoundTrip(request)
}

// changes reports whether a request changes something that the lock is for.
func changes(request *http.Request) bool {
	switch {
	case request.Method == http.MethodGet, request.Method == http.MethodHead, request.URL.Query().Has("dryRun"):
		return false
	}
	path := request.URL.Path
	return !strings.Contains(path, "/leases") && !strings.HasSuffix(path, "/selfsubjectaccessreviews")
}
