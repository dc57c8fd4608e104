package helmrelease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The annotations of the Lease.
const (
	noteAnnotation     = "maia-rotate/note"          // JSON
	revisionAnnotation = "maia-rotate/helm-revision" // that our last upgrade was about to make

	deliveredAnnotation = "maia-rotate/delivered" // fingerprint of what was put into the Secret and the release does not record
)

var ourAnnotations = []string{noteAnnotation, revisionAnnotation, deliveredAnnotation}

const (
	leaseDuration = 45 * time.Second // longer than a refresh may take
	renewEvery    = 10 * time.Second
	leaseMargin   = 5 * time.Second // by which the clocks of two functions may run apart in that time
	leasePoll     = 2 * time.Second
	maxTries      = 4
)

// lock is the runner's Lease: the lock of its home, and the note in its annotations. Its writes are compared and swapped:
// what another has written since the last look is never overwritten.
type lock struct {
	leases client.LeaseInterface
	name   string
	me     string // who holds it, if this is the lock's
	fence  *fence // is told how long that is so

	turn chan struct{} // holds one token: whoever has it uses what is below
	seen *coordinationv1.Lease
	from time.Time          // since when it is seen as it is, by our own clock: with this holder, and not renewed
	till time.Time          // the lease is ours until then; zero: it is not
	stop context.CancelFunc // of its renewal
	gone chan struct{}      // closed when that has ended
}

func newLock(leases client.LeaseInterface, release string) *lock {
	l := &lock{leases: leases, name: leaseName(release), fence: new(fence), me: "maia-rotate-" + strings.ToLower(rand.Text()[:10]), turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

func leaseName(release string) string { return "maia-rotate-" + release }

// use waits for the others that use the lock.
func (l *lock) use() (done func()) {
	<-l.turn
	return func() { l.turn <- struct{}{} }
}

// read looks at the Lease. One that is not there is an empty one.
func (l *lock) read(ctx context.Context) error {
	found, err := l.leases.Get(ctx, l.name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		found = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: l.name}}
	case err != nil:
		return err
	}
	l.see(found)
	if l.holder() != l.me && !time.Now().Before(l.till) {
		l.till = time.Time{} // lost: what is done from now on is by what is seen now, under a lock that is taken anew
	}
	return nil
}

// see takes a Lease for what there is now. Since when it is so is known by our own clock only: that of its holder may be hours ahead
// or behind, and says nothing here.
func (l *lock) see(lease *coordinationv1.Lease) {
	if l.seen == nil || !sameHold(l.seen.Spec, lease.Spec) {
		l.from = time.Now()
	}
	l.seen = lease
}

// sameHold reports whether two Leases are of one holder, who has not renewed it in between.
func sameHold(a, b coordinationv1.LeaseSpec) bool {
	return equal(a.HolderIdentity, b.HolderIdentity) && equal(a.LeaseTransitions, b.LeaseTransitions) &&
		a.RenewTime.Equal(b.RenewTime) && equal(a.LeaseDurationSeconds, b.LeaseDurationSeconds)
}

func equal[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (l *lock) holder() string {
	if l.seen.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.seen.Spec.HolderIdentity
}

// taken reports whether another may be at work: he holds the Lease, and has not left it unrenewed for as long as it lasts since we first
// saw it so.
func (l *lock) taken() bool {
	return l.holder() != "" && l.holder() != l.me && time.Since(l.from) < l.lasts()+leaseMargin
}

// free reports whether no other run is at work, as last seen.
func (l *lock) free() bool {
	defer l.use()()
	return !l.taken()
}

// lasts is how long the Lease is its holder's without a renewal.
func (l *lock) lasts() time.Duration {
	if l.seen.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*l.seen.Spec.LeaseDurationSeconds) * time.Second
}

// awaitFree waits until nobody else holds the Lease, or until its holder shows that it is alive: it gives it back or renews it. One that
// lasts for longer than a run's, and is not renewed, is none of a run's: it is not waited for.
func (l *lock) awaitFree(ctx context.Context) (free bool, err error) {
	if err := l.read(ctx); err != nil {
		return false, err
	}
	for first := l.seen.Spec; l.taken(); {
		if time.Since(l.from) > leaseDuration+leaseMargin {
			return false, rotate.Errorf(rotate.NotReady, "Lease %s is held by %s for %s without a renewal: no run does that", l.name,
				l.holder(), l.lasts()).
				WithHint("find out who holds it; if nobody does, delete the Lease's spec.holderIdentity")
		}
		timer := time.NewTimer(leasePoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
		if err := l.read(ctx); err != nil {
			return false, err
		}
		if l.taken() && !sameHold(first, l.seen.Spec) {
			return false, nil
		}
	}
	return true, nil
}

// write has a change of the annotations made under the lock, which it takes if it has to. The annotations must be what they
// were when they were looked at last.
func (l *lock) write(ctx context.Context, change func(annotations map[string]string)) error {
	was := ours(l.seen)
	if l.till.IsZero() && l.taken() {
		if free, err := l.awaitFree(ctx); err != nil {
			return err
		} else if !free {
			return l.busy()
		}
	}
	annotations := map[string]string{}
	maps.Copy(annotations, was)
	change(annotations)
	for try := 0; ; try++ {
		now := ours(l.seen)
		switch {
		case try > 0 && l.holder() == l.me && maps.Equal(now, annotations) && time.Until(l.ends()) > leaseDuration-renewEvery:
			l.keep(ctx)
			return nil // it was written, and the answer lost
		case !maps.Equal(now, was) || l.taken() || !l.till.IsZero() && l.holder() != l.me:
			return l.busy()
		}
		err := l.put(ctx, annotations)
		if err == nil || try == maxTries || ctx.Err() != nil || !mayRepeat(err) {
			return err
		}
		if err := l.read(ctx); err != nil {
			return err
		}
	}
}

// mayRepeat says of an error of a write that compares and swaps that looking again tells what became of it.
func mayRepeat(err error) bool {
	var network net.Error
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsServerTimeout(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || errors.As(err, &network)
}

// put writes the Lease as it was seen, with these annotations, held by us from now on.
func (l *lock) put(ctx context.Context, annotations map[string]string) error {
	lease := l.seen.DeepCopy()
	now := metav1.NowMicro()
	seconds := int32(leaseDuration / time.Second)
	if l.holder() != l.me {
		lease.Spec.AcquireTime = &now
		transitions := int32(1)
		if lease.Spec.LeaseTransitions != nil {
			transitions += *lease.Spec.LeaseTransitions
		}
		lease.Spec.LeaseTransitions = &transitions
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &l.me, &seconds, &now
	setOurs(lease, annotations)
	var err error
	if lease.ResourceVersion == "" {
		lease, err = l.leases.Create(ctx, lease, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		lease, err = l.leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return err
	}
	l.see(lease)
	l.keep(ctx)
	return nil
}

// keep has the Lease renewed from now on, which was seen to be ours. Its time is what our clock said before it was written.
func (l *lock) keep(ctx context.Context) {
	l.till = time.Now().Add(min(time.Until(l.ends()), leaseDuration))
	l.fence.set(l.till)
	if l.stop != nil {
		return
	}
	renewal, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop, l.gone = stop, make(chan struct{})
	go l.renew(renewal, l.gone)
}

// ends is when the Lease ends, which is ours as last seen, if it is not renewed.
func (l *lock) ends() time.Time {
	if l.seen.Spec.RenewTime == nil {
		return time.Time{}
	}
	return l.seen.Spec.RenewTime.Add(l.lasts())
}

// renew keeps the Lease until it is told to stop, or has lost it.
func (l *lock) renew(ctx context.Context, gone chan<- struct{}) {
	defer close(gone)
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !l.renewed(ctx) {
			return
		}
	}
}

// renewed says that it is worth while to go on renewing.
func (l *lock) renewed(ctx context.Context) bool {
	defer l.use()()
	if ctx.Err() != nil {
		return false
	}
	if !time.Now().Before(l.till) {
		l.stop()
		l.stop, l.gone = nil, nil // one that is taken again is kept anew
		return false
	}
	if time.Until(l.till) > leaseDuration-renewEvery {
		return true // a note was saved meanwhile
	}
	_ = l.extend(ctx) // else at the next tick, or Hold says so
	return true
}

// extend renews the Lease now.
func (l *lock) extend(ctx context.Context) error {
	return l.write(ctx, func(map[string]string) {})
}

// hold makes sure that the Lease is ours for at least d.
func (l *lock) hold(ctx context.Context, d time.Duration) error {
	if time.Until(l.till) < d {
		if err := l.extend(ctx); err != nil {
			return err
		}
	}
	if left := time.Until(l.till); left < d {
		return rotate.Errorf(rotate.NotReady, "the lock on the runner is this run's for %s more, a refresh may take %s", left.Round(time.Second), d).
			WithHint("nothing: the next run tries again; if this repeats, the cluster's control plane answers too slowly")
	}
	return nil
}

// release gives the Lease back.
func (l *lock) release(ctx context.Context) {
	done := l.use()
	stop, gone := l.stop, l.gone
	l.stop, l.gone = nil, nil
	if stop != nil {
		stop()
	}
	l.fence.set(time.Time{})
	if time.Now().Before(l.till) && l.holder() == l.me {
		lease := l.seen.DeepCopy()
		nobody := ""
		lease.Spec.HolderIdentity = &nobody
		if updated, err := l.leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: fieldManager}); err == nil {
			l.see(updated)
		}
	}
	l.till = time.Time{}
	done()
	if gone != nil {
		<-gone
	}
}

func (l *lock) busy() *rotate.Error {
	who := ""
	if holder := l.holder(); holder != "" && holder != l.me {
		who = " (" + holder + ")"
	}
	return rotate.Errorf(rotate.NotReady, "another run is at work on this runner%s, or has been since this one looked", who).
		WithHint("nothing: that run goes on, or the next one does")
}

// ours are the annotations of the Lease that are ours.
func ours(lease *coordinationv1.Lease) map[string]string {
	annotations := map[string]string{}
	for _, key := range ourAnnotations {
		if value, ok := lease.Annotations[key]; ok {
			annotations[key] = value
		}
	}
	return annotations
}

func setOurs(lease *coordinationv1.Lease, annotations map[string]string) {
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	for _, key := range ourAnnotations {
		delete(lease.Annotations, key)
	}
	maps.Copy(lease.Annotations, annotations)
}

// note is what the Lease holds, as last seen.
func (l *lock) note() (rotate.Note, error) {
	defer l.use()()
	text, ok := l.seen.Annotations[noteAnnotation]
	if !ok {
		return rotate.Note{}, nil
	}
	note, err := rotate.ParseNote([]byte(text))
	if err != nil {
		return rotate.Note{}, rotate.Errorf(rotate.Configuration, "the annotation %s of Lease %s cannot be read: %w", noteAnnotation, l.name, err).
			WithHint("find out who has changed it; if the runner is connected and its release holds what Maia does, remove the annotation")
	}
	return note, nil
}

// revision is that of our last upgrade; 0 if there was none, or the annotation is not one of ours.
func (l *lock) revision() int {
	defer l.use()()
	revision, err := strconv.Atoi(l.seen.Annotations[revisionAnnotation])
	if err != nil || revision < 0 {
		return 0
	}
	return revision
}

// delivered is the fingerprint of what we have put into the Secret, and the release does not record; empty if there is nothing.
func (l *lock) delivered() maia.Fingerprint {
	defer l.use()()
	return maia.Fingerprint(l.seen.Annotations[deliveredAnnotation])
}

func writeDelivered(value maia.Fingerprint) func(map[string]string) {
	return func(annotations map[string]string) { annotations[deliveredAnnotation] = string(value) }
}

func writeNote(note rotate.Note) func(map[string]string) {
	return func(annotations map[string]string) {
		text, _ := json.Marshal(note) // strings and times only
		annotations[noteAnnotation] = string(text)
	}
}

func writeRevision(revision int) func(map[string]string) {
	return func(annotations map[string]string) { annotations[revisionAnnotation] = strconv.Itoa(revision) }
}
