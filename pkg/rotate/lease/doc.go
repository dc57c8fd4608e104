// Package lease is the lock of a runner: a lease that its holder renews, and that ends by itself if the holder dies.
//
// A [Lock] decides when the lock is taken, waited for, renewed and lost. The object that it is on the platform, with whatever else
// is kept in it, is a [Backend]'s: a leased blob on Azure, a Lease object on Kubernetes.
//
//	free ── Take ──> ours ── Release ──> free
//	                 │  ^ renewed every 10 s, in the background
//	                 └──┴ not renewed for 45 s, or found to be another's: lost
//
// Two differences between the platforms are in a [State]. A service that ends leases itself needs no clock of ours, and does not show
// renewals: a lease that outlasts its time is being renewed. Where nobody ends a lease, one that has not been renewed for as long as it
// lasts since it was first seen so is free; that is measured by our own clock only, because its holder's may be hours ahead or behind.
//
//	lock := lease.New(backend)
//	defer lock.Release(ctx)
//	defer lock.Use()()
//	if err := lock.Take(ctx, backend.acquire); err != nil {
//		return err // another run has it
//	}
package lease
