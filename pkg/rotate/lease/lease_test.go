package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

var (
	errAway    = errors.New("the platform is away")
	errEndless = errors.New("no run does that")
)

// object is what runs share on a platform. It ends a lease itself, or shows its renewals and leaves its end to the runs.
type object struct {
	endsLeases bool

	mu         sync.Mutex // guards what is below
	holder     string
	renewed    time.Time // by the holder's clock, where that is seen
	lasts      time.Duration
	renewals   int
	away, slow bool
}

func (o *object) change(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// ended reports whether the service has ended the lease.
func (o *object) ended() bool { return o.endsLeases && time.Since(o.renewed) >= o.lasts }

// run is one run on an object: the backend of its lock.
type run struct {
	*object
	name string
	lock *lease.Lock
}

func (o *object) run(name string) *run {
	r := &run{object: o, name: name}
	r.lock = lease.New(r)
	return r
}

func (r *run) Read(_ context.Context, held bool) (lease.State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.away:
		return lease.State{}, errAway
	case r.endsLeases && held, r.holder == r.name && !r.ended():
		return lease.State{Owner: lease.ThisRun}, nil
	case r.holder == "" || r.ended():
		return lease.State{}, nil
	case !r.endsLeases:
		return lease.State{Owner: lease.OtherRun, Holder: r.holder, Renewal: fmt.Sprint(r.holder, r.renewed), Lasts: r.lasts,
			Endless: errEndless}, nil
	}
	state := lease.State{Owner: lease.OtherRun, Lasts: lease.ByPlatform}
	if r.lasts > time.Hour {
		state.Endless = errEndless
	}
	return state, nil
}

func (r *run) acquire(context.Context) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.away:
		return time.Time{}, errAway
	case r.holder != "" && r.holder != r.name && !r.ended() && !r.lock.Free(), r.endsLeases && r.holder != "" && !r.ended():
		return time.Time{}, lease.ErrTaken
	}
	r.holder, r.renewed, r.lasts = r.name, time.Now(), lease.Duration
	return r.renewed, nil
}

func (r *run) Renew(ctx context.Context) (time.Time, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow {
		<-ctx.Done()
		return time.Time{}, ctx.Err()
	}
	switch {
	case r.away:
		return time.Time{}, errAway
	case r.holder != r.name:
		r.lock.Lose()
		return time.Time{}, r.lock.Busy()
	}
	r.renewed = time.Now()
	r.renewals++
	return r.renewed, nil
}

func (r *run) Release(context.Context) { r.change(func() { r.holder = "" }) }

func (r *run) take(t *testing.T) error {
	t.Helper()
	defer r.lock.Use()()
	if err := r.lock.Read(t.Context()); err != nil {
		return err
	}
	return r.lock.Take(t.Context(), r.acquire)
}

func (r *run) mustTake(t *testing.T) {
	t.Helper()
	if err := r.take(t); err != nil {
		t.Fatal(err)
	}
}

func (r *run) await(t *testing.T) (free bool, took time.Duration, err error) {
	t.Helper()
	defer r.lock.Use()()
	began := time.Now()
	free, err = r.lock.Await(t.Context())
	return free, time.Since(began), err
}

// onBoth plays a test on both kinds of platform, in fake time.
func onBoth(t *testing.T, play func(t *testing.T, o *object)) {
	for name, endsLeases := range map[string]bool{"ended by the service": true, "ended by our clock": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { play(t, &object{endsLeases: endsLeases}) })
		})
	}
}

func mustBeBusy(t *testing.T, err error) {
	t.Helper()
	if rotate.KindOf(err) != rotate.NotReady || !errors.Is(err, lease.ErrOtherRun) {
		t.Errorf("error %v, want that another run is at work", err)
	}
}

func TestALockIsRenewedUntilItIsGivenBack(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one, two := o.run("one"), o.run("two")
		one.mustTake(t)
		time.Sleep(10*lease.Duration + time.Second)
		o.change(func() {
			if !one.lock.Held() || o.renewals != 45 {
				t.Errorf("held %t after %d renewals", one.lock.Held(), o.renewals)
			}
		})
		if free, took, err := two.await(t); free || err != nil || took > lease.Duration+2*lease.Margin {
			t.Errorf("free %t after %s, %v", free, took, err)
		}
		mustBeBusy(t, two.take(t))
		one.lock.Release(t.Context())
		if one.lock.Held() || one.lock.Claimed() || o.holder != "" {
			t.Error("it was not given back")
		}
		two.mustTake(t)
		two.lock.Release(t.Context())
	})
}

func TestALockOfADeadRunIsTakenAfterItsTime(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		o.holder, o.renewed, o.lasts = "dead", time.Now(), lease.Duration
		one := o.run("one")
		began := time.Now()
		one.mustTake(t)
		if took := time.Since(began); took < lease.Duration || took > lease.Duration+2*lease.Margin {
			t.Errorf("it was taken after %s", took)
		}
		one.lock.Release(t.Context())
	})
}

// The holder's clock does not count where the runs end each other's leases: it may be hours ahead or behind.
func TestTheClockOfTheHolderSaysNothing(t *testing.T) {
	for _, ahead := range []time.Duration{-3 * time.Hour, 0, 3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			o := &object{holder: "other", renewed: time.Now().Add(ahead), lasts: lease.Duration}
			one := o.run("one")
			time.AfterFunc(lease.RenewEvery, func() { o.change(func() { o.renewed = o.renewed.Add(lease.RenewEvery) }) })
			if free, took, err := one.await(t); free || err != nil || took > lease.RenewEvery+lease.Margin {
				t.Errorf("%s ahead and alive: free %t after %s, %v", ahead, free, took, err)
			}
			if free, took, err := one.await(t); !free || err != nil || took > lease.Duration+lease.Margin {
				t.Errorf("%s ahead and dead: free %t after %s, %v", ahead, free, took, err)
			}
		})
	}
}

func TestALockThatIsHeldForYearsIsAnError(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		o.holder, o.renewed, o.lasts = "operator", time.Now(), 10*365*24*time.Hour
		one := o.run("one")
		if free, took, err := one.await(t); free || !errors.Is(err, errEndless) || took > time.Minute || o.endsLeases && took > 0 {
			t.Errorf("free %t after %s, %v", free, took, err)
		}
		if err := one.take(t); !errors.Is(err, errEndless) {
			t.Errorf("error %v", err)
		}
	})
}

func TestALockThatCannotBeRenewedIsLostAndTakenAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one := o.run("one")
		one.mustTake(t)
		o.change(func() { o.away = true })
		time.Sleep(lease.Duration - time.Second)
		if !one.lock.Held() {
			t.Error("it was lost before its time was over")
		}
		time.Sleep(time.Second)
		if one.lock.Held() || !one.lock.Claimed() {
			t.Error("its time is not over")
		}
		time.Sleep(lease.Duration)
		mustBeBusy(t, one.lock.Renew(t.Context()))
		if err := one.take(t); !errors.Is(err, errAway) {
			t.Errorf("error %v", err)
		}
		o.change(func() { o.away = false })
		one.mustTake(t)
		time.Sleep(5 * lease.Duration)
		if !one.lock.Held() {
			t.Error("it was taken again, and not renewed")
		}
		one.lock.Release(t.Context())
	})
}

// Another run has taken over meanwhile. From then on this one goes by what it reads.
func TestALockThatWasTakenOver(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one, two := o.run("one"), o.run("two")
		one.mustTake(t)
		o.change(func() { o.holder = "two" })
		time.Sleep(lease.RenewEvery + time.Second)
		if one.lock.Claimed() {
			t.Error("it is not known to be lost")
		}
		o.change(func() { o.holder = "" })
		two.mustTake(t)
		mustBeBusy(t, one.take(t))
		two.lock.Release(t.Context())
		one.mustTake(t)
		one.lock.Release(t.Context())
	})
}

func TestALockThatIsTakenBetweenReadAndAttempt(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one, two := o.run("one"), o.run("two")
		first := true
		err := one.lock.Take(t.Context(), func(ctx context.Context) (time.Time, error) {
			if first {
				first = false
				two.mustTake(t)
				time.AfterFunc(lease.Margin, func() { two.lock.Release(t.Context()) })
				return time.Time{}, lease.ErrTaken
			}
			return one.acquire(ctx)
		})
		if err != nil || o.holder != "one" {
			t.Errorf("held by %s, %v", o.holder, err)
		}
		one.lock.Release(t.Context())
		began := time.Now()
		mustBeBusy(t, one.lock.Take(t.Context(), func(context.Context) (time.Time, error) { return time.Time{}, lease.ErrTaken }))
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it was tried for %s", took)
		}
	})
}

func TestALockIsGivenBackWhileARenewalHangs(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one := o.run("one")
		one.mustTake(t)
		o.change(func() { o.slow = true })
		time.Sleep(lease.RenewEvery + time.Second)
		began := time.Now()
		one.lock.Release(t.Context())
		if o.holder != "" || time.Since(began) > 0 {
			t.Errorf("held by %q after %s", o.holder, time.Since(began))
		}
	})
}

func TestEnoughOfALockIsLeft(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		one := o.run("one")
		one.mustTake(t)
		if err := one.lock.Enough(lease.Duration); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		err := one.lock.Enough(41 * time.Second)
		if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "this run's for 40s more, a refresh may take 41s") {
			t.Errorf("error %v", err)
		}
		one.lock.Release(t.Context())
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	onBoth(t, func(t *testing.T, o *object) {
		o.holder, o.renewed, o.lasts = "other", time.Now(), lease.Duration
		ctx, cancel := context.WithTimeout(t.Context(), lease.Margin)
		defer cancel()
		one := o.run("one")
		if free, err := one.lock.Await(ctx); free || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("free %t, %v", free, err)
		}
		if err := one.lock.Take(ctx, one.acquire); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}
