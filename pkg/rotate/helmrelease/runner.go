package helmrelease

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"helm.sh/helm/v3/pkg/action"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

// fieldManager names us in managedFields for what is not Helm's: the mark and the Lease.
const fieldManager = "maia-rotate"

// Config says which release.
type Config struct {
	REST       *rest.Config // of the cluster; its Timeout bounds each call
	Namespace  string
	Release    string
	SecretPath string       // of the client_secret in the values; empty: config.oauthClientSecret. The client ID is next to it
	Log        *slog.Logger // nil: no log
}

// Runner implements [rotate.Runner] and [rotate.Locker]. It may do several runs, one after the other.
type Runner struct {
	config  Config
	log     *slog.Logger
	cluster *cluster
	clients *kubernetes.Clientset
	helm    *action.Configuration
	lock    *lock

	agentID string
	region  string
	seen    sight
	secrets map[maia.Fingerprint]maia.Secret // that must be in no error

	orders      map[string]order // by Deployment: the restart that this Runner ordered, after which no other value was stored
	short       map[string]bool  // by Deployment: that pods of it found no node, which was reported
	notRecorded string           // why the release does not record what this Runner has delivered
}

var (
	_ rotate.Runner = (*Runner)(nil)
	_ rotate.Locker = (*Runner)(nil)
)

// Discover reads the release and what it has deployed, and changes nothing. Its errors are of the type [*rotate.Error].
func Discover(ctx context.Context, config Config) (*Runner, error) {
	if config.SecretPath == "" {
		config.SecretPath = defaultSecretPath
	}
	if err := checkPath(config.SecretPath); err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "%w", err)
	}
	var guard fence
	cluster, clients, err := newCluster(config.REST, config.Namespace, &guard)
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the configuration of the cluster cannot be used: %w", err)
	}
	r := &Runner{
		config: config, log: config.Log, cluster: cluster, clients: clients, helm: cluster.helm(clients),
		lock:    newLock(clients.CoordinationV1().Leases(config.Namespace), config.Release),
		secrets: map[maia.Fingerprint]maia.Secret{}, orders: map[string]order{}, short: map[string]bool{},
	}
	guard.lock = r.lock.lease
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	r.warnOfHelm4(ctx)
	if r.agentID, r.region, err = r.identity(); err != nil {
		return nil, err
	}
	return r, nil
}

// AgentID is what the pods get, or what the release's values say.
func (r *Runner) AgentID() string { return r.agentID }

// StoreTime implements rotate.Runner.
func (r *Runner) StoreTime() time.Duration { return rotate.DefaultStoreTime }

// Region is what the pods get, or what the release's values say, in lower case; empty if they say nothing.
func (r *Runner) Region() string { return r.region }

// Deployments are the names of those that a rotation restarts.
func (r *Runner) Deployments() []string { return r.seen.names() }

// Busy waits until no other run holds the runner's lock, or until the one that does shows that it is alive: then it says who.
func (r *Runner) Busy(ctx context.Context) (holder string, busy bool, err error) {
	defer r.lock.lease.Use()()
	free, err := r.lock.lease.Await(ctx)
	if err != nil {
		return "", false, r.failure("read Lease "+r.lock.name, err)
	}
	return r.lock.holder(), !free, nil
}

// Observe implements [rotate.Runner].
func (r *Runner) Observe(ctx context.Context) (rotate.Platform, error) {
	if err := r.read(ctx); err != nil {
		return rotate.Platform{}, err
	}
	note, err := r.lock.note()
	if err != nil {
		return rotate.Platform{}, err
	}
	r.seen.note = note.Of(r.agentID)
	platform, err := r.agreement()
	if err != nil {
		return rotate.Platform{}, err
	}
	platform.Note, platform.Wishes, platform.Free = r.seen.note, r.lock.wishes(), r.lock.free()
	platform.Instances, err = r.instances(ctx)
	return platform, err
}

func (r *Runner) readLease(ctx context.Context) error {
	defer r.lock.lease.Use()()
	if err := r.lock.lease.Read(ctx); err != nil {
		return r.failure("read Lease "+r.lock.name, err)
	}
	return nil
}

// SaveNote implements [rotate.Runner]. Another run's note is not overwritten: at most one intent stands.
func (r *Runner) SaveNote(ctx context.Context, note rotate.Note) error {
	before, err := r.lock.note()
	if err != nil {
		return err
	}
	// Store would have to write this while the runner is down. An upgrade that was cut off is recognised by this revision.
	next := r.seen.last.Version + 1
	announce := note.Intent != nil && (before.Intent == nil || before.Intent.By != note.Intent.By) && r.cutOff() == nil
	// If that upgrade was not carried out, the next revision is another writer's.
	carriedOut := note.LastRotation != nil && before.Intent != nil && note.LastRotation.Over == before.Intent.Over
	takeBack := note.Intent == nil && before.Intent != nil && !carriedOut && r.lock.revision() == next
	return r.writeLease(ctx, func(annotations map[string]string) {
		writeNote(note)(annotations)
		switch {
		case announce:
			writeRevision(next)(annotations)
		case takeBack:
			delete(annotations, revisionAnnotation)
		}
	})
}

func (r *Runner) writeLease(ctx context.Context, change func(map[string]string)) error {
	defer r.lock.lease.Use()()
	if err := r.lock.write(ctx, change); err != nil {
		return r.failure("write Lease "+r.lock.name, err)
	}
	return nil
}

// enough is the time of the Lease that must be left for a change to begin; the Lease is renewed all the while.
const enough = fenceMargin + lease.RenewEvery/2

// Hold implements [rotate.Locker].
func (r *Runner) Hold(ctx context.Context, d time.Duration) error {
	defer r.lock.lease.Use()()
	if err := r.lock.hold(ctx, d); err != nil {
		return r.failure("renew Lease "+r.lock.name, err)
	}
	return nil
}

// Release implements [rotate.Locker].
func (r *Runner) Release(ctx context.Context) { r.lock.lease.Release(ctx) }

// Restart implements [rotate.Runner]: each Deployment gets a new mark, except those whose newest pods read what is stored
// already. If all do, those whose pods do not come up get another. A refused patch does not hold back the others.
func (r *Runner) Restart(ctx context.Context) ([]string, error) {
	if err := r.Hold(ctx, enough); err != nil {
		return nil, err
	}
	var ids []string
	var failures []error
	owed := r.owed()
	for _, d := range r.seen.deployments {
		if !slices.Contains(owed, d) {
			ids = append(ids, orderID(d.Name, r.standing(d)))
			continue
		}
		ordered, err := r.mark(ctx, d.Name)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		r.orders[d.Name] = ordered
		delete(r.seen.failing, d.Name)
		ids = append(ids, orderID(d.Name, ordered.restartedAt))
	}
	return ids, together(failures)
}

// restarted reports whether a Deployment has had its restart since the Secret holds what it does.
func (r *Runner) restarted(d *appsv1.Deployment) bool {
	mine, ok := r.orders[d.Name]
	return ok && mine.version == r.seen.secretVersion || r.seen.current[d.Name]
}

// standing is the mark of time of the restart that stands for what is stored.
func (r *Runner) standing(d *appsv1.Deployment) string {
	if ordered, ok := r.orderOf(d); ok {
		return ordered.restartedAt
	}
	return d.Spec.Template.Annotations[restartedAnnotation]
}

// owed are the Deployments to restart: those without a restart that stands; if all have one, those that fail, or else those that
// an earlier process restarted long ago, because the caller has seen that the runner is not back.
func (r *Runner) owed() []*appsv1.Deployment {
	var owed, failing []*appsv1.Deployment
	for _, d := range r.seen.deployments {
		switch {
		case !r.restarted(d):
			owed = append(owed, d)
		case r.seen.failing[d.Name]:
			failing = append(failing, d)
		}
	}
	switch {
	case len(owed) > 0:
		return owed
	case len(failing) > 0:
		return failing
	}
	return slices.DeleteFunc(slices.Clone(r.seen.deployments), func(d *appsv1.Deployment) bool {
		_, own := r.orders[d.Name]
		noted := r.seen.note.Ordered
		return own || noted == nil || time.Since(noted.At) < wedged
	})
}

// wedged is the age of an order from which on its pods may be restarted once more, if the runner is still not connected.
const wedged = 30 * time.Minute
