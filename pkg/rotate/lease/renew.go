package lease

import (
	"context"
	"time"
)

// Renew renews the lock now. An error is no proof that it is lost.
func (l *Lock) Renew(ctx context.Context) error {
	if !l.Held() {
		return l.Busy()
	}
	since, err := l.backend.Renew(ctx)
	if err == nil {
		l.extend(since)
	}
	return err
}

// extend notes that the lock is this run's since a time, at which the platform was asked.
func (l *Lock) extend(since time.Time) {
	till := time.Now().Add(min(Duration-time.Since(since), Duration))
	l.till.Store(&till)
	l.seen = State{Owner: ThisRun}
}

// keepRenewed has the lock renewed from now on, until it is given back or lost.
func (l *Lock) keepRenewed(ctx context.Context) {
	if l.stop.Load() != nil {
		return
	}
	renewal, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.gone = make(chan struct{})
	l.stop.Store(&stop)
	go l.renewInBackground(renewal, l.gone)
}

func (l *Lock) renewInBackground(ctx context.Context, gone chan<- struct{}) {
	defer close(gone)
	ticker := time.NewTicker(RenewEvery)
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

// renewed renews the lock, and reports whether it is this run's still.
func (l *Lock) renewed(ctx context.Context) bool {
	defer l.Use()()
	if ctx.Err() != nil {
		return false
	}
	_ = l.Renew(ctx) // a failure is repeated at the next tick
	if l.Held() {
		return true
	}
	l.endRenewal() // a lock that is taken again has a new one
	l.gone = nil
	return false
}

func (l *Lock) endRenewal() {
	if stop := l.stop.Swap(nil); stop != nil {
		(*stop)()
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
