package helmrelease

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	kubetesting "k8s.io/client-go/testing"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

// A Lease that was lost, because the API server was away for long, and was taken again is renewed again.
func TestALeaseThatIsTakenAgainIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One that is there: the stand-in for an API server counts no versions.
		there := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "runners", Name: leaseName("runner"), ResourceVersion: "1"}}
		clients := fake.NewClientset(there)
		var away atomic.Bool
		clients.PrependReactor("update", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, apierrors.NewTooManyRequestsError("away")
		})
		l := newLock(clients.CoordinationV1().Leases("runners"), "runner")
		guard := fence{l.lease}
		take := func() {
			t.Helper()
			defer l.lease.Use()()
			if err := l.lease.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := l.hold(t.Context(), time.Second); err != nil {
				t.Fatal(err)
			}
		}
		left := func() time.Duration {
			defer l.lease.Use()()
			return l.lease.Left()
		}
		take()
		time.Sleep(5 * lease.Duration)
		if left() <= 0 || !guard.open() {
			t.Fatal("it was not renewed")
		}
		away.Store(true)
		time.Sleep(5 * lease.Duration)
		if left() > 0 || guard.open() {
			t.Fatal("it was not lost")
		}
		away.Store(false)
		take()
		time.Sleep(5 * lease.Duration)
		if left() <= 0 || !guard.open() {
			t.Error("it was taken again, and not renewed")
		}
		l.lease.Release(t.Context())
		if guard.open() {
			t.Error("it was given back, and changes may begin")
		}
	})
}

// A Lease that claims to last for years, or from a time in the future, keeps nobody waiting for as long.
func TestALeaseThatIsHeldForEverIsNotWaitedFor(t *testing.T) {
	for name, renewed := range map[string]time.Duration{"now": 0, "in a year": 8766 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				who, seconds, at := "operator", int32(1<<31-1), metav1.NewMicroTime(time.Now().Add(renewed))
				there := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "runners", Name: leaseName("runner"), ResourceVersion: "1"},
					Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: &seconds, RenewTime: &at}}
				l := newLock(fake.NewClientset(there).CoordinationV1().Leases("runners"), "runner")
				defer l.lease.Use()()
				began := time.Now()
				free, err := l.lease.Await(t.Context())
				if took := time.Since(began); free || took > time.Minute || rotate.KindOf(err) != rotate.NotReady ||
					!strings.Contains(err.Error(), "held by operator for 596523h14m7s without a renewal") {
					t.Errorf("free %t after %s: %v", free, took, err)
				}
			})
		})
	}
}

// A run that has lost its Lease to another, which has ended by now, may take it again once it has read it. Otherwise it would try
// in vain until its deadline, and calls of the same instance would be turned away.
func TestALeaseThatAnotherHadIsTakenAgainAfterARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "runners", Name: leaseName("runner"), ResourceVersion: "1"}}
		clients := fake.NewClientset(there)
		var away atomic.Bool
		clients.PrependReactor("update", "leases", func(kubetesting.Action) (bool, runtime.Object, error) {
			return away.Load(), nil, apierrors.NewTooManyRequestsError("away")
		})
		take := func(l *lock) error {
			defer l.lease.Use()()
			if err := l.lease.Read(t.Context()); err != nil {
				t.Fatal(err)
			}
			return l.hold(t.Context(), time.Second)
		}
		one, two := newLock(clients.CoordinationV1().Leases("runners"), "runner"), newLock(clients.CoordinationV1().Leases("runners"), "runner")
		if err := take(one); err != nil {
			t.Fatal(err)
		}
		away.Store(true)
		time.Sleep(2 * lease.Duration)
		away.Store(false)
		if err := take(two); err != nil {
			t.Fatal(err)
		}
		if err := take(one); err == nil {
			t.Error("it is taken from one that is at work")
		}
		two.lease.Release(t.Context())
		if err := take(one); err != nil {
			t.Errorf("it cannot be taken again: %v", err)
		}
		one.lease.Release(t.Context())
	})
}

// TestTheClockOfTheHolderSaysNothing: it may be ahead or behind by hours. A holder that renews the Lease keeps it, and one that
// does not loses it after the time that it lasts, by the clock of the one who waits.
func TestTheClockOfTheHolderSaysNothing(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"the same": 0, "two minutes ahead": 2 * time.Minute, "two minutes behind": -2 * time.Minute,
		"three hours ahead": 3 * time.Hour, "three hours behind": -3 * time.Hour,
	} {
		for holder, alive := range map[string]bool{"alive": true, "dead": false} {
			t.Run(name+", "+holder, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					who, seconds, at := "operator", int32(lease.Duration.Seconds()), metav1.NewMicroTime(time.Now().Add(ahead))
					there := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "runners", Name: leaseName("runner"),
						ResourceVersion: "1"},
						Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: &seconds, RenewTime: &at}}
					leases := fake.NewClientset(there).CoordinationV1().Leases("runners")
					ctx, end := context.WithCancel(t.Context())
					defer end()
					if alive {
						go renewing(ctx, there.DeepCopy(), leases, ahead)
					}
					l := newLock(leases, "runner")
					began := time.Now()
					done := l.lease.Use()
					free, err := l.lease.Await(t.Context())
					done()
					if err != nil || free == alive {
						t.Errorf("free %t, %v", free, err)
					}
					if took := time.Since(began); took > lease.Duration+2*lease.Margin {
						t.Errorf("it took %s", took)
					}
					done = l.lease.Use()
					err = l.hold(t.Context(), time.Second)
					done()
					if (err == nil) == alive {
						t.Errorf("taking it: %v", err)
					}
					l.lease.Release(t.Context())
				})
			})
		}
	}
}

// renewing is what a holder does, whose clock is ahead by some time.
func renewing(ctx context.Context, held *coordinationv1.Lease, leases client.LeaseInterface, ahead time.Duration) {
	for {
		select {
		case <-time.After(lease.RenewEvery):
		case <-ctx.Done():
			return
		}
		now := metav1.NewMicroTime(time.Now().Add(ahead))
		held.Spec.RenewTime = &now
		_, _ = leases.Update(ctx, held, metav1.UpdateOptions{})
	}
}
