package ecs

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Runner implements [rotate.Runner]. It belongs to one run.
type Runner struct {
	config   Config
	ecs      ecsAPI
	secret   *secret
	services []*service
	inactive []string // services on the secret that were not ACTIVE when they were read, for a person
	agentID  string
	region   string

	orders orders      // for what is stored, as last observed
	note   rotate.Note // as last observed
	intent string      // the run whose intent was saved last
	vacant string      // the version under AWSPENDING that has no value, as last observed
	fresh  string      // token under which a value goes straight to AWSCURRENT
}

var _ rotate.Runner = (*Runner)(nil)

// wedged is the age of an order from which on its tasks may be restarted once more, if the runner is still not connected.
const wedged = time.Hour

// labelLag is how long a read of the labels may lag: after it, two concurrent runs see each other's intents and pauses.
const labelLag = 3 * time.Second

// AgentID is what the task definition's AGENT_ID says.
func (r *Runner) AgentID() string { return r.agentID }

// StoreTime implements rotate.Runner.
func (r *Runner) StoreTime() time.Duration { return rotate.DefaultStoreTime }

// Region is what the task definition's MATILLION_REGION says, in lower case; empty if it says nothing.
func (r *Runner) Region() string { return r.region }

// Services are the services that a rotation restarts.
func (r *Runner) Services() []string {
	names := make([]string, len(r.services))
	for i, service := range r.services {
		names[i] = service.String()
	}
	return names
}

// Observe implements [rotate.Runner].
func (r *Runner) Observe(ctx context.Context) (rotate.Platform, error) {
	if err := r.secret.describe(ctx); err != nil {
		return rotate.Platform{}, err
	}
	if r.config.Stage && r.config.Token != "" && (r.secret.labels[awsPending] != r.config.Token || r.Promoted()) {
		return rotate.Platform{}, rotate.Errorf(rotate.NotReady,
			"version %s is not AWSPENDING any more: another run has finished this rotation, or an operator has abandoned it", r.config.Token).
			WithHint("nothing")
	}
	current, err := r.secret.current(ctx)
	if err != nil {
		return rotate.Platform{}, err
	}
	platform := rotate.Platform{Stored: current.Credentials(), Note: noteOf(r.secret.ours(), r.intent).Of(r.agentID),
		Wishes: wishesOf(r.secret.ours())}
	pending, staged, err := r.pending(ctx)
	if err != nil {
		return rotate.Platform{}, err
	}
	if err := r.describeServices(ctx); err != nil {
		return rotate.Platform{}, err
	}
	r.note = platform.Note
	r.orders = ordersFor(current.Credentials().ClientSecret.Fingerprint(), r.note, r.services)
	platform.Instances = r.instances(current)
	switch {
	case staged && r.config.Stage:
		platform.Stored, platform.Staged = pending.Credentials(), true
		platform.Instances.Read = rotate.ReadOlder // no task reads AWSPENDING
	case staged:
		platform.Pending = pending.Credentials()
	}
	return platform, nil
}

// pending is the version under AWSPENDING, if it has a value and is another than AWSCURRENT's.
func (r *Runner) pending(ctx context.Context) (version, bool, error) {
	id, labelled := r.secret.labels[awsPending]
	r.vacant = ""
	if !labelled || id == r.secret.labels[awsCurrent] {
		return version{}, false, nil
	}
	if r.config.Stage && r.config.Token != id {
		return version{}, false, nil
	}
	read := r.secret.read
	if r.config.Token == id && !r.config.Stage {
		read = r.secret.readWritten
	}
	found, staged, err := read(ctx, id, awsPending)
	if err == nil && !staged {
		r.vacant = id
	}
	return found, staged, err
}

func (r *Runner) describeServices(ctx context.Context) error {
	byCluster := map[string][]*service{}
	for _, service := range r.services {
		byCluster[service.Cluster] = append(byCluster[service.Cluster], service)
	}
	for cluster, services := range byCluster {
		names := make([]string, len(services))
		for i, service := range services {
			names[i] = service.Service
		}
		described, err := describeServices(ctx, r.ecs, cluster, names, false)
		if err != nil {
			return err
		}
		for _, service := range services {
			i := slices.IndexFunc(described, func(d types.Service) bool { return aws.ToString(d.ServiceArn) == service.Service })
			if i < 0 {
				return rotate.Errorf(rotate.Configuration, "service %s is gone", service)
			}
			service.describe(described[i])
		}
	}
	if len(r.active()) == 0 {
		return rotate.Errorf(rotate.Configuration, "no service on secret %s is ACTIVE any more: %s", r.config.SecretARN,
			strings.Join(r.LeftOut(), ", ")).
			WithHint("name the service that the runner runs as now in the function's configuration")
	}
	return nil
}

// instances sums the services up: it is as bad as the worst of them. A service that is scaled to zero counts only if all are: it
// reads what is stored when it starts.
func (r *Runner) instances(current version) rotate.Instances {
	states := []rotate.InstanceState{rotate.Steady, rotate.Short, rotate.Rolling, rotate.Failing, rotate.Failed, rotate.Stopped}
	reads := []rotate.ReadState{rotate.ReadCurrent, rotate.ReadUnknown, rotate.ReadOlder}
	services := r.active()
	allStopped := !slices.ContainsFunc(services, func(s *service) bool { return s.state(r.orders) != rotate.Stopped })
	var state, read int
	var details []string
	for _, service := range services {
		details = append(details, service.detail(r.orders))
		if service.state(r.orders) == rotate.Stopped && !allStopped {
			continue
		}
		state = max(state, slices.Index(states, service.state(r.orders)))
		read = max(read, slices.Index(reads, service.read(r.orders, current.created, r.secret.changed)))
	}
	for _, left := range r.LeftOut() {
		details = append(details, left+" and left out")
	}
	return rotate.Instances{State: states[state], Read: reads[read], Detail: strings.Join(details, "; ")}
}

// active are the services that ECS keeps running, as last described.
func (r *Runner) active() []*service {
	var found []*service
	for _, service := range r.services {
		if active(service.seen) {
			found = append(found, service)
		}
	}
	return found
}

// LeftOut names the services on the secret that ECS is about to end, or has ended, each with its status: a rotation neither
// waits for them nor restarts them.
func (r *Runner) LeftOut() []string {
	left := slices.Clone(r.inactive)
	for _, service := range r.services {
		if !active(service.seen) {
			left = append(left, leftOut(service.ServiceRef, service.seen))
		}
	}
	return left
}

func leftOut(ref ServiceRef, described types.Service) string {
	return "service " + ref.String() + " is " + aws.ToString(described.Status)
}

// Check implements [rotate.Runner]. The reads are proved by Observe, the labels by the note; see the package comment
// for what cannot be proved.
func (r *Runner) Check(ctx context.Context) error {
	ours := noteLabels + 2*(len(orderedLabels(r.largestOrder()))-1) // while one order is replaced by another there are both
	if others := len(r.secret.labels) - len(r.secret.ours()); others+ours > maxLabels {
		return rotate.Errorf(rotate.Configuration, "the secret has %d staging labels, and at most %d can stand next to ours", others,
			max(0, maxLabels-ours)).
			WithHint("remove staging labels that nobody uses")
	}
	for _, service := range r.active() {
		if err := service.canMove(); err != nil {
			return err
		}
	}
	current, err := r.secret.current(ctx)
	if err != nil {
		return err
	}
	const growth = 1 << 10 // a new secret may be longer than the one it replaces
	if length := len(current.Reveal()); length+growth > maxDocument {
		return rotate.Errorf(rotate.Configuration, "the secret's value is %d bytes long, and a new client_secret might not fit into %d",
			length, maxDocument).
			WithHint("keep something else elsewhere")
	}
	return nil
}

// largestOrder is a restart of all services: its labels are as many as there can be.
func (r *Runner) largestOrder() rotate.Order {
	order := rotate.Order{At: time.Now(), For: maia.NewSecret("any").Fingerprint()}
	for _, service := range r.active() {
		if primary := service.primary(); primary != nil {
			order.IDs = append(order.IDs, idOf(primary))
		}
	}
	return order
}

// SaveNote implements [rotate.Runner]: new labels are attached before old ones are removed, so that a crash in between leaves
// both. An intent, or that the runner is about to be paused, stands only if a read after the write shows no other that was not
// there before.
func (r *Runner) SaveNote(ctx context.Context, note rotate.Note) error {
	before := r.secret.ours()
	wanted := labelsOf(note, before)
	anchor, ok := r.secret.labels[awsCurrent]
	if !ok {
		return rotate.Errorf(rotate.Internal, "a note was saved before the secret was observed")
	}
	for _, label := range wanted {
		if slices.Contains(before, label) {
			continue
		}
		if err := r.secret.move(ctx, label, anchor); err != nil {
			return err
		}
		kind, _ := splitLabel(label)
		if kind != "intent" && kind != "pausing" {
			continue
		}
		// A read may lag a write: another run's label must have had the time to show.
		select {
		case <-time.After(labelLag):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.secret.describe(ctx); err != nil {
			return err
		}
		for _, other := range r.secret.ours() {
			if found, _ := splitLabel(other); found == kind && other != label && !slices.Contains(before, other) {
				if err := r.secret.remove(ctx, label); err != nil {
					return err
				}
				about := map[string]string{"intent": "refresh", "pausing": "pause"}[kind]
				return rotate.Errorf(rotate.NotReady, "another run is about to %s this runner", about).
					WithHint("nothing: that run goes on, or the next one does")
			}
		}
		if kind == "intent" {
			r.intent = note.Intent.By
		}
	}
	seen := noteOf(before, r.intent)
	for _, label := range before {
		if kind, _ := splitLabel(label); kind == kindHeld || slices.Contains(wanted, label) || isPauseOfAnother(label, seen.Paused) {
			continue
		}
		if err := r.secret.remove(ctx, label); err != nil {
			return err
		}
	}
	return nil
}

// Store implements [rotate.Runner].
func (r *Runner) Store(ctx context.Context, credentials maia.Credentials) error {
	current, err := r.secret.current(ctx)
	if err != nil {
		return err
	}
	document, err := current.with(credentials.ClientSecret)
	if err != nil {
		return err
	}
	if r.config.Stage {
		return r.secret.put(ctx, r.config.Token, awsPending, document)
	}
	if current.Equal(document.Secret) {
		return nil
	}
	r.note.Ordered = nil
	for _, service := range r.services {
		service.order = nil // what was ordered before reads an older value
	}
	if pending, ok := r.secret.versions[r.secret.labels[awsPending]]; ok && pending.Equal(document.Secret) {
		return r.secret.move(ctx, awsCurrent, r.secret.labels[awsPending])
	}
	if r.vacant != "" && r.ours(credentials) {
		// The outcome of a rotation's refresh is stored in that rotation: if it were stored elsewhere, createSecret would refresh
		// again.
		if err := r.secret.put(ctx, r.vacant, awsPending, document); err != nil {
			return err
		}
		return r.secret.move(ctx, awsCurrent, r.vacant)
	}
	if held, tried := r.secret.versions[r.fresh]; r.fresh == "" || tried && !held.Equal(document.Secret) {
		r.fresh = rand.Text() + rand.Text()
	}
	return r.secret.putCurrent(ctx, r.fresh, document)
}

// ours reports whether credentials were made by a refresh of ours, by the note.
func (r *Runner) ours(credentials maia.Credentials) bool {
	note, made := noteOf(r.secret.ours(), r.intent), credentials.ClientSecret.Fingerprint()
	return note.Intent != nil && note.Intent.Over != made || note.LastRotation != nil && note.LastRotation.New == made
}

// Restart implements [rotate.Runner]: every service gets a new deployment, except those that have one for what is stored
// that did not fail.
func (r *Runner) Restart(ctx context.Context) ([]string, error) {
	current, err := r.secret.current(ctx)
	if err != nil {
		return nil, err
	}
	stored := current.Credentials().ClientSecret.Fingerprint()
	r.orders = ordersFor(stored, r.note, r.services)
	var failed []error
	for _, service := range r.owed() {
		if err := service.restart(ctx, r.ecs, stored); err != nil {
			failed = append(failed, err)
		}
	}
	r.orders = ordersFor(stored, r.note, r.services)
	var ids []string
	for _, service := range r.active() {
		if service.state(r.orders) != rotate.Failed {
			ids = append(ids, r.orders.ids(service)...)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), join(failed)
}

// owed are the services to restart: those without an order that stands, or whose deployment ECS has given up. If there are none:
// those that an earlier process ordered long ago, and of these the failing ones if there are any. Younger orders may yet come up,
// as ECS itself starts failed tasks anew.
func (r *Runner) owed() []*service {
	var owed, failing, old []*service
	for _, service := range r.active() {
		state := service.state(r.orders)
		switch {
		case state == rotate.Failed, !r.orders.covers(service) && !r.orders.lags(service):
			owed = append(owed, service)
		case service.order != nil || r.note.Ordered == nil || time.Since(r.note.Ordered.At) < wedged:
		case state == rotate.Failing:
			failing = append(failing, service)
		default:
			old = append(old, service)
		}
	}
	switch {
	case len(owed) > 0:
		return owed
	case len(failing) > 0:
		return failing
	}
	return old
}

// Promoted reports whether AWSCURRENT is on the version of this rotation, as last observed.
func (r *Runner) Promoted() bool { return r.secret.labels[awsCurrent] == r.config.Token }

// HasValue reports whether the version of this rotation was seen to have a value.
func (r *Runner) HasValue() bool {
	_, ok := r.secret.versions[r.config.Token]
	return ok
}

// deadAfter is the age from which on a pending value that Maia does not accept is taken for a leftover: no invocation of a
// rotation lives that long.
const deadAfter = 15 * time.Minute

// ClearDead removes AWSPENDING from a version whose value is not AWSCURRENT's. It is called outside of a rotation, by a run that
// has just seen that AWSCURRENT holds what Maia does. Such a value can be neither used nor replaced, and Secrets Manager begins
// no new rotation while it is pending. ClearDead reports whether there was one.
func (r *Runner) ClearDead(ctx context.Context) (bool, error) {
	id, current := r.secret.labels[awsPending], r.secret.labels[awsCurrent]
	pending, read := r.secret.versions[id]
	if r.config.Token != "" || id == current || !read || time.Since(pending.created) < deadAfter ||
		pending.Credentials().Equal(r.secret.versions[current].Credentials()) {
		return false, nil
	}
	return true, r.secret.remove(ctx, awsPending)
}

// CurrentSince is when the version under AWSCURRENT was made, as last observed.
func (r *Runner) CurrentSince() time.Time {
	return r.secret.versions[r.secret.labels[awsCurrent]].created
}

// Abandon removes AWSPENDING from the version of this rotation if Maia no longer accepts its value, so that the next rotation can
// begin.
func (r *Runner) Abandon(ctx context.Context) error {
	if r.secret.labels[awsPending] != r.config.Token || r.Promoted() {
		return nil
	}
	return r.secret.remove(ctx, awsPending)
}
