package helmrelease_test

import (
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// TestObserveShowsWhetherTheLeaseIsFree: it is while there is none, while this Runner holds it, and when it was given back.
func TestObserveShowsWhetherTheLeaseIsFree(t *testing.T) {
	t.Parallel()
	r := newRig(t, newPlace(t))
	one, err := r.discover()
	r.must(err)
	two, err := r.discover()
	r.must(err)
	is := func(when string, runner rotate.Runner, want bool) {
		t.Helper()
		if platform, err := runner.Observe(t.Context()); err != nil || platform.Free != want {
			t.Errorf("%s: free %t, expected %t; %v", when, platform.Free, want, err)
		}
	}
	is("no Lease", one, true)
	r.must(one.SaveNote(t.Context(), rotate.Note{}))
	is("the holder itself", one, true)
	is("another", two, false)
	one.Release(t.Context())
	is("given back", two, true)
	// Another holder that cannot be asked: how long it has been dead is not known.
	me, seconds, long := "another", int32(45), metav1.NewMicroTime(metav1.Now().AddDate(0, 0, -1))
	lease, err := r.clients.CoordinationV1().Leases(r.namespace).Get(t.Context(), leaseOfRelease, metav1.GetOptions{})
	r.must(err)
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &me, LeaseDurationSeconds: &seconds, RenewTime: &long}
	_, err = r.clients.CoordinationV1().Leases(r.namespace).Update(t.Context(), lease, metav1.UpdateOptions{})
	r.must(err)
	is("held, as it seems, by one who has not renewed it for a day", two, false)
}
