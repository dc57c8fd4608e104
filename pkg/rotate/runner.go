package rotate

import (
	"context"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Runner is one Maia runner on its platform: the store of its secret, its running instances, and its note.
//
// The engine calls its methods one at a time and never concurrently. Every method honours its context, is bounded (it
// retries what its cloud says to retry, a few times, and returns), and returns an error that wraps an [*Error] where
// the kind matters: [NotReady] for what passes by itself, [Configuration] and [Permission] for what a person must put right;
// anything else is taken as transient. No error holds a secret.
//
// Two runs may work on one runner at the same time (a duplicate timer, a retry that overlaps). The engine relies on
// SaveNote to keep them apart where it matters, before a refresh.
type Runner interface {
	// AgentID is the ID by which Maia knows the runner.
	AgentID() string

	// StoreTime is how long Store may take, retries included: as much is set aside before a refresh is sent. [DefaultStoreTime] is
	// enough where it is one request or a few.
	StoreTime() time.Duration

	// Observe reads the store, the instances and the note. It changes nothing. What it returns must be no older than
	// the last change that this Runner made: a platform with lagging reads remembers its own writes.
	Observe(ctx context.Context) (Platform, error)

	// Check proves, without any effect, all that can be proved about what a rotation will do here: that the store can be
	// written, a restart is permitted, the deployment can come back. It is called once in a run, before anything is changed for a
	// refresh. A failure means that nothing is refreshed.
	Check(ctx context.Context) error

	// SaveNote makes the note durable before it returns. If another run has an intent of its own open that was not in
	// the note last observed, the note's intent must not stand, and SaveNote fails with NotReady: of two concurrent
	// runs at most one gets past this. The same goes for a pause that is not confirmed.
	SaveNote(ctx context.Context, note Note) error

	// Store puts credentials into the store, from which the next instance to start will read them, and changes nothing
	// else there. Storing what is stored already is a success. After an error the store holds the old value or the
	// new one, never a mixture: Observe shows which.
	Store(ctx context.Context, credentials maia.Credentials) error

	// Restart orders new instances that read the store, of everything that runs with the secret: each service, revision or
	// Deployment that has had no restart since the store was written, by this Runner or as the note last observed says. One whose
	// restart has failed gets another. If all have had one, those that are failing may get another; if none is failing, all may
	// that an earlier process ordered long ago. It returns when they are ordered, not when they run. One that cannot be restarted
	// does not hold back the others: the IDs are returned with an error, too, which names each that failed.
	//
	// The IDs are the platform's own, of all restarts that now stand for what is stored, in a form that the Runner itself can read
	// in a note. By [Note.Ordered] its Observe, in this process or in a later one, knows the instances that were started by those
	// restarts or after them, and says ReadCurrent of them, until something else is stored. While a read does not show yet what was
	// ordered, the instances are Rolling.
	Restart(ctx context.Context) (ids []string, err error)
}

// DefaultStoreTime is for a platform that stores by one request or a few.
const DefaultStoreTime = 20 * time.Second

// Locker is what a Runner implements too whose platform has a lock: a lease that ends by itself. Such a Runner takes it when it
// first changes something, and keeps it until Release. While another run holds it, what would change something fails with
// NotReady; a lease that its holder does not renew any more is taken.
type Locker interface {
	// Hold makes sure that the lock is this Runner's for at least d from now. It is called right before a refresh is sent.
	Hold(ctx context.Context, d time.Duration) error
	// Release gives the lock back, if this Runner has it; if that fails the lease ends by itself.
	Release(ctx context.Context)
}

// Platform is what Observe found.
type Platform struct {
	// Stored is what an instance that starts now would read; where a new value is staged first (Secrets Manager's
	// AWSPENDING), the staged value during [Stage].
	Stored maia.Credentials
	// Pending is a value that was staged and is not what an instance reads yet; zero if there is none.
	Pending maia.Credentials
	// Unfinished reports whether a change of the store was begun and not completed, or the places which should hold one value
	// hold several: Stored then is what an instance would read, Pending the other, and storing completes it, also where Stored
	// is the valid value already.
	Unfinished bool
	// Unrecorded says why what the platform keeps in addition to the store (the values of a Helm release) does not hold what is
	// stored yet, though instances read it; empty if it does. The runner is brought back all the same, and storing once more tries to
	// complete it.
	Unrecorded string
	// Staged reports whether the platform's own trigger has got its new value already, so that no refresh is due.
	Staged bool
	// Free reports whether the platform has a lock on the runner and no other run holds it: none is at work.
	Free      bool
	Instances Instances
	Note      Note
	// Wishes are what operators have asked for. An expired hold may be among them.
	Wishes Wishes
}

// Instances is the deployment of the runner as the cloud shows it.
type Instances struct {
	State  InstanceState
	Read   ReadState
	Detail string // for a person: which services, which deployments
}

// InstanceState is the state of the newest deployment.
type InstanceState string

// The states of a deployment.
const (
	Steady  InstanceState = "steady"  // rolled out, as many instances as wanted, nothing in progress
	Rolling InstanceState = "rolling" // in progress
	// Short: at least one new instance runs, and the others wait for nothing but a place to run, which instances that take
	// their time to end may hold. The runner can be back so; nothing is refreshed.
	Short InstanceState = "short of room"
	// Failing: new instances do not come up, and the platform goes on trying. They may yet.
	Failing InstanceState = "failing"
	Failed  InstanceState = "failed"  // the platform gave up on it
	Stopped InstanceState = "stopped" // scaled to zero
)

// ReadState says, by the cloud's clocks, which value of the store the newest deployment read when it started.
type ReadState string

// The possible answers; anything that is not certain is ReadUnknown.
const (
	ReadCurrent ReadState = "current"
	ReadOlder   ReadState = "older"
	ReadUnknown ReadState = "unknown"
)
