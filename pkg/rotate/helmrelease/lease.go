package helmrelease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

const maxTries = 4 // to write the Lease

// lock is the runner's Lease: the lock of its platform, and the note in its annotations. A write of the annotations takes or renews the
// lock. Writes are compared and swapped: what another run has written since the last read is never overwritten.
type lock struct {
	lease  *lease.Lock
	leases client.LeaseInterface
	name   string
	me     string // the holder, if the lock is this run's
	seen   *coordinationv1.Lease
}

func newLock(leases client.LeaseInterface, release string) *lock {
	l := &lock{leases: leases, name: leaseName(release), me: "maia-rotate-" + strings.ToLower(rand.Text()[:10])}
	l.lease = lease.New(l)
	return l
}

func leaseName(release string) string { return "maia-rotate-" + release }

// Read implements [lease.Backend]. A Lease that is not there is an empty one.
func (l *lock) Read(ctx context.Context, _ bool) (lease.State, error) {
	found, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		found = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.name}}
	case err != nil:
		return lease.State{}, err
	}
	l.seen = found
	return l.state(), nil
}

func (l *lock) state() lease.State {
	switch l.holder() {
	case "":
		return lease.State{}
	case l.me:
		return lease.State{Owner: lease.ThisRun}
	}
	return lease.State{
		Owner: lease.OtherRun, Holder: l.holder(), Renewal: renewalOf(l.seen.Spec), Lasts: l.lasts(),
		Endless: rotate.Errorf(rotate.NotReady, "Lease %s is held by %s for %s without a renewal: no run does that", l.name, l.holder(),
			l.lasts()).
			WithHint("find out who holds it; if nobody does, delete the Lease's spec.holderIdentity"),
	}
}

// renewalOf differs for each holder and each renewal.
func renewalOf(spec coordinationv1.LeaseSpec) string {
	return fmt.Sprint(value(spec.HolderIdentity), value(spec.LeaseTransitions), value(spec.RenewTime).UnixMicro(),
		value(spec.LeaseDurationSeconds))
}

func (l *lock) holder() string { return value(l.seen.Spec.HolderIdentity) }

// lasts is how long the Lease is its holder's without a renewal.
func (l *lock) lasts() time.Duration {
	return time.Duration(value(l.seen.Spec.LeaseDurationSeconds)) * time.Second
}

// write changes the annotations under the lock, which it takes if it has to. They must be as they were last read.
func (l *lock) write(ctx context.Context, change func(annotations map[string]string)) error {
	was := ours(l.seen)
	annotations := maps.Clone(was)
	change(annotations)
	return l.lease.Take(ctx, func(ctx context.Context) (time.Time, error) { return l.swap(ctx, was, annotations) })
}

func (l *lock) Renew(ctx context.Context) (since time.Time, err error) {
	was := ours(l.seen)
	return l.swap(ctx, was, was)
}

// swap writes the annotations over those that were read, and returns since when the lock is ours. After a failure that does not say what
// became of the write, the Lease is read again.
func (l *lock) swap(ctx context.Context, was, annotations map[string]string) (since time.Time, err error) {
	for try := 0; ; try++ {
		now := ours(l.seen)
		switch {
		case try > 0 && l.holder() == l.me && maps.Equal(now, annotations) && time.Since(l.renewed()) < lease.RenewEvery:
			return l.renewed(), nil // it was written, and the answer lost
		case !maps.Equal(now, was) || !l.lease.Free() || l.lease.Claimed() && l.holder() != l.me:
			return time.Time{}, l.lease.Busy()
		}
		err := l.put(ctx, annotations)
		if err == nil || try == maxTries || ctx.Err() != nil || !mayRepeat(err) {
			return l.renewed(), err
		}
		if err := l.lease.Read(ctx); err != nil {
			return time.Time{}, err
		}
	}
}

// mayRepeat reports whether a read can show the outcome of a write that failed with this error.
func mayRepeat(err error) bool {
	var network net.Error
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsServerTimeout(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || errors.As(err, &network)
}

// put writes the Lease as it was read, with these annotations, held by this run from now on.
func (l *lock) put(ctx context.Context, annotations map[string]string) error {
	changed := l.seen.DeepCopy()
	now := metav1.NowMicro()
	seconds := int32(lease.Duration / time.Second)
	if l.holder() != l.me {
		transitions := value(changed.Spec.LeaseTransitions) + 1
		changed.Spec.AcquireTime, changed.Spec.LeaseTransitions = &now, &transitions
	}
	changed.Spec.HolderIdentity, changed.Spec.LeaseDurationSeconds, changed.Spec.RenewTime = &l.me, &seconds, &now
	setOurs(changed, annotations)
	if changed.ResourceVersion != "" {
		return l.update(ctx, changed)
	}
	created, err := l.leases.Create(ctx, changed, metav1.CreateOptions{FieldManager: fieldManager})
	if err == nil {
		l.seen = created
	}
	return err
}

func (l *lock) update(ctx context.Context, changed *coordinationv1.Lease) error {
	updated, err := l.leases.Update(ctx, changed, metav1.UpdateOptions{FieldManager: fieldManager})
	if err == nil {
		l.seen = updated
	}
	return err
}

// renewed is when the Lease was last taken or renewed, by the clock of the run that did so.
func (l *lock) renewed() time.Time { return value(l.seen.Spec.RenewTime).Time }

// hold makes sure that the Lease is this run's for at least d.
func (l *lock) hold(ctx context.Context, d time.Duration) error {
	if l.lease.Left() < d {
		if err := l.write(ctx, func(map[string]string) {}); err != nil {
			return err
		}
	}
	return l.lease.Enough(d)
}

// Release implements [lease.Backend]. A renewal that was cut off may have been carried out: then the Lease has changed since it was read.
func (l *lock) Release(ctx context.Context) {
	for range 2 {
		if l.holder() != l.me {
			return
		}
		given, nobody := l.seen.DeepCopy(), ""
		given.Spec.HolderIdentity = &nobody
		if err := l.update(ctx, given); !apierrors.IsConflict(err) {
			return
		}
		if _, err := l.Read(ctx, false); err != nil {
			return
		}
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
