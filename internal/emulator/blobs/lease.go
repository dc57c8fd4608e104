package blobs

import (
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// lease is that of a blob; the zero lease is none.
type lease struct {
	id       string
	duration time.Duration // 0: until it is released
	end      time.Time
	broken   bool
}

func newLease(id string, duration time.Duration) lease {
	return lease{id: id, duration: duration, end: time.Now().Add(duration)}
}

func (l lease) active() bool {
	return l.id != "" && !l.broken && (l.duration == 0 || time.Now().Before(l.end))
}

// describe sets the headers by which a GET describes a lease.
func (l lease) describe(out http.Header) {
	state, status := "available", "unlocked"
	switch {
	case l.active():
		state, status = "leased", "locked"
		out.Set("x-ms-lease-duration", "fixed")
		if l.duration == 0 {
			out.Set("x-ms-lease-duration", "infinite")
		}
	case l.broken:
		state = "broken"
	case l.id != "":
		state = "expired"
	}
	out.Set("x-ms-lease-state", state)
	out.Set("x-ms-lease-status", status)
}

var leaseID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (b *blob) acquire(in, out http.Header) (int, *failure) {
	seconds, err := strconv.Atoi(in.Get("x-ms-lease-duration"))
	proposed := in.Get("x-ms-proposed-lease-id")
	switch {
	case err != nil || seconds != -1 && (seconds < 15 || seconds > 60), !leaseID.MatchString(proposed):
		return 0, &failure{http.StatusBadRequest, "InvalidHeaderValue"}
	case b.lease.active() && b.lease.id != proposed:
		return 0, &failure{http.StatusConflict, "LeaseAlreadyPresent"}
	}
	b.lease = newLease(proposed, time.Duration(max(seconds, 0))*time.Second)
	out.Set("x-ms-lease-id", proposed)
	return http.StatusCreated, nil
}

// renew renews a lease, even one that has ended: a write by another would have removed it.
func (b *blob) renew(id string, out http.Header) (int, *failure) {
	switch {
	case id == "":
		return 0, &failure{http.StatusBadRequest, "MissingRequiredHeader"}
	case b.lease.id == "":
		return 0, &failure{http.StatusConflict, "LeaseNotPresentWithLeaseOperation"}
	case b.lease.id != id:
		return 0, &failure{http.StatusConflict, "LeaseIdMismatchWithLeaseOperation"}
	case b.lease.broken:
		return 0, &failure{http.StatusConflict, "LeaseIsBrokenAndCannotBeRenewed"}
	}
	b.lease = newLease(id, b.lease.duration)
	out.Set("x-ms-lease-id", id)
	return http.StatusOK, nil
}

func (b *blob) release(id string) (int, *failure) {
	switch {
	case id == "":
		return 0, &failure{http.StatusBadRequest, "MissingRequiredHeader"}
	case b.lease.id != id:
		return 0, &failure{http.StatusConflict, "LeaseIdMismatchWithLeaseOperation"}
	}
	b.lease = lease{}
	return http.StatusOK, nil
}

// checkLease is the failure of a write with a lease ID, if it may not be made.
func checkLease(b *blob, id string) *failure {
	switch {
	case b == nil && id != "":
		return &failure{http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation"}
	case b == nil:
		return nil
	case b.lease.active() && id == "":
		return &failure{http.StatusPreconditionFailed, "LeaseIdMissing"}
	case b.lease.active() && id != b.lease.id:
		return &failure{http.StatusPreconditionFailed, "LeaseIdMismatchWithBlobOperation"}
	case !b.lease.active() && id != "" && id == b.lease.id:
		return &failure{http.StatusPreconditionFailed, "LeaseLost"}
	case !b.lease.active() && id != "":
		return &failure{http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation"}
	}
	return nil
}
