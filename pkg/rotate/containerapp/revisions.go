package containerapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// revision is an active one that uses the secret.
type revision struct {
	name     string
	seen     armappcontainers.RevisionProperties
	replicas map[string]replica
}

// stray is an active revision that has its client secret from elsewhere than the app's template has.
type stray struct{ revision, secret string }

// replica is one as last seen.
type replica struct {
	created  time.Time
	restarts int32 // of its containers
	ready    bool
	detail   string // why it is not
}

// States of a revision that the SDK has no names for.
const (
	runningStateActivating       armappcontainers.RevisionRunningState = "Activating"
	runningStateActivationFailed armappcontainers.RevisionRunningState = "ActivationFailed"
)

// readRevisions reads the active revisions that use the secret, and their replicas.
func (r *Runner) readRevisions(ctx context.Context) error {
	var active []revision
	var strays []stray
	pages := r.revisions.NewListRevisionsPager(r.id.ResourceGroupName, r.id.Name, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return failure("list the revisions of app "+r.id.Name, actionRevisions, err)
		}
		for _, found := range present(page.Value) {
			properties := value(found.Properties)
			if !value(properties.Active) {
				continue
			}
			if other := r.seen.other(properties.Template); other != "" && value(properties.Replicas) > 0 {
				strays = append(strays, stray{value(found.Name), other})
			}
			if r.seen.used(properties.Template) {
				active = append(active, revision{name: value(found.Name), seen: properties})
			}
		}
	}
	r.seen.revisions, r.seen.strays = nil, strays
	for _, one := range active {
		found, err := r.replicas.ListReplicas(ctx, r.id.ResourceGroupName, r.id.Name, one.name, nil)
		if notThere(err) {
			continue // it was deactivated meanwhile
		}
		if err != nil {
			return failure("list the replicas of revision "+one.name, actionReplicas, err)
		}
		one.replicas = map[string]replica{}
		for _, each := range present(found.Value) {
			one.replicas[value(each.Name)] = replicaOf(value(each.Properties))
		}
		r.seen.revisions = append(r.seen.revisions, one)
	}
	return nil
}

func notThere(err error) bool {
	var answered *azcore.ResponseError
	return errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound
}

// used reports whether a revision reads the secret. If it does not show its template, it counts as one that does; likewise if its
// reference names no secret of the app, for Azure may show "capp-" and the app's name in its place.
func (v *view) used(template *armappcontainers.Template) bool {
	return template == nil || len(template.Containers) == 0 ||
		slices.ContainsFunc(variablesOf(template), func(variable *armappcontainers.EnvironmentVar) bool {
			reference := value(variable.SecretRef)
			return reference == v.secret || v.unknown(reference)
		})
}

// unknown reports whether a reference names no secret of the app: only the app's template shows what it stands for.
func (v *view) unknown(reference string) bool { return reference != "" && v.find(reference) == nil }

// other is where a revision has its client secret from, if that is certainly not the app's secret.
func (v *view) other(template *armappcontainers.Template) string {
	for _, variable := range variablesOf(template) {
		reference := value(variable.SecretRef)
		if value(variable.Name) == clientSecretVariable && reference != v.secret && !v.unknown(reference) {
			return cmp.Or(reference, "(a plain value)")
		}
	}
	return ""
}

// variablesOf are those of all containers of a revision.
func variablesOf(template *armappcontainers.Template) (all []*armappcontainers.EnvironmentVar) {
	if template == nil {
		return nil
	}
	for _, container := range present(template.InitContainers) {
		all = append(all, present(container.Env)...)
	}
	for _, container := range present(template.Containers) {
		all = append(all, present(container.Env)...)
	}
	return all
}

func replicaOf(properties armappcontainers.ReplicaProperties) replica {
	one := replica{created: value(properties.CreatedTime), ready: len(properties.Containers) > 0}
	for _, container := range present(properties.Containers) {
		one.restarts += value(container.RestartCount)
		if !value(container.Ready) {
			one.ready = false
			one.detail = strings.TrimSpace(fmt.Sprintf("%s %s", value(container.RunningState), value(container.RunningStateDetails)))
		}
	}
	return one
}

// running are the revisions that have replicas, or are to have some. Another reads the store when it is scaled up.
func (r *Runner) running() []revision {
	return slices.DeleteFunc(slices.Clone(r.seen.revisions), func(found revision) bool {
		state, _ := r.stateOf(found)
		return state == rotate.Stopped
	})
}

// instances are the replicas of all revisions. One that is scaled to zero counts only where no other runs.
func (r *Runner) instances() rotate.Instances {
	made := rotate.Instances{State: rotate.Steady, Read: r.read()}
	var details []string
	switch running := r.running(); {
	case len(running) == 0 && len(r.seen.strays) > 0:
		made.State = rotate.Failing
		details = append(details, "the active revision "+r.seen.strays[0].revision+" has its client secret from elsewhere")
	case len(running) == 0, r.seen.maximum == 0 && !slices.ContainsFunc(running, revision.up):
		made.State = rotate.Stopped
		details = append(details, "no revision of app "+r.id.Name+" that uses the secret may have a replica")
	}
	for _, found := range r.seen.revisions {
		state, detail := r.stateOf(found)
		details = append(details, detail)
		if state != rotate.Stopped {
			made.State = worse(made.State, state)
		}
	}
	if r.seen.changing() {
		made.State = worse(made.State, rotate.Rolling)
		details = append(details, "a change of the app is in progress")
	}
	made.Detail = strings.Join(details, "; ")
	return made
}

// read is which value of the store the replicas have read.
func (r *Runner) read() rotate.ReadState {
	running := r.running()
	switch {
	case r.restartDue && len(r.noted) == 0:
		return rotate.ReadOlder
	case len(r.ordered)+len(r.noted) > 0:
		if !slices.ContainsFunc(running, func(found revision) bool { return !r.covered(found) }) {
			return rotate.ReadCurrent
		}
		return rotate.ReadOlder
	case r.seen.modified.IsZero() || len(running) == 0:
		return rotate.ReadUnknown
	}
	for _, found := range running {
		// The value may take effect some time after the change.
		if !found.startedAfter(r.seen.modified.Add(provisionTime)) {
			return rotate.ReadUnknown
		}
	}
	return rotate.ReadCurrent
}

// startedAfter reports whether all replicas of a revision are certainly younger than a time.
func (r revision) startedAfter(at time.Time) bool {
	for _, one := range r.replicas {
		if !one.created.After(at) {
			return false
		}
	}
	return len(r.replicas) > 0
}

// up reports whether a replica is ready.
func (r revision) up() bool {
	for _, one := range r.replicas {
		if one.ready {
			return true
		}
	}
	return false
}

// worse is the worse of two states.
func worse(a, b rotate.InstanceState) rotate.InstanceState {
	for _, state := range []rotate.InstanceState{rotate.Failed, rotate.Stopped, rotate.Failing, rotate.Rolling} {
		if a == state || b == state {
			return state
		}
	}
	return rotate.Steady
}

// startTime is how long after a replica's creation Azure's report that its revision has failed does not count: it may be about
// the replica before it.
const startTime = 2 * time.Minute

// count is the replicas of a revision, sorted by an order.
type count struct {
	all, ready, old, leaving int
	crashed                  bool
	why                      string    // one is not ready
	youngest                 time.Time // of those that are not ready, when the last one was created
}

// counted sorts the replicas of a revision: old ones were there before the restart that was ordered, leaving ones of them are
// not ready any more.
func (r revision) counted(ordered order) (n count) {
	n.all = len(r.replicas)
	for name, one := range r.replicas {
		switch {
		case ordered.old(name, one) && !one.ready:
			n.leaving++
		case ordered.old(name, one):
			n.old++
		case one.ready:
			n.ready++
		default:
			n.why = one.detail
			if one.created.After(n.youngest) {
				n.youngest = one.created
			}
			n.crashed = n.crashed || ordered.crashed(name, one)
		}
	}
	return n
}

// minimumOf is how many replicas a revision is to have.
func (v *view) minimumOf(found revision) int {
	if template := found.seen.Template; template != nil && template.Scale != nil {
		return int(value(template.Scale.MinReplicas))
	}
	return int(v.minimum)
}

// failed reports whether Azure says that a revision has failed.
func (r revision) failed() bool {
	running := value(r.seen.RunningState)
	return running == armappcontainers.RevisionRunningStateFailed || running == runningStateActivationFailed ||
		value(r.seen.ProvisioningState) == armappcontainers.RevisionProvisioningStateFailed
}

// unwell reports whether Azure says that a revision is neither well nor on the way to be.
func (r revision) unwell() bool {
	running := value(r.seen.RunningState)
	return r.failed() || value(r.seen.HealthState) == armappcontainers.RevisionHealthStateUnhealthy ||
		running == armappcontainers.RevisionRunningStateDegraded || running == armappcontainers.RevisionRunningStateUnknown
}

// idle reports whether a revision may be scaled to zero, or is said to be down.
func (v *view) idle(found revision) bool {
	switch running := value(found.seen.RunningState); {
	case len(found.replicas) > 0, value(found.seen.Replicas) > 0:
		return false
	case running == armappcontainers.RevisionRunningStateStopped:
		return true
	case running == armappcontainers.RevisionRunningStateProcessing, running == runningStateActivating:
		return false
	}
	return v.minimumOf(found) == 0 && !found.failed()
}

// stateOf is the state of a revision, with a detail for a person.
func (r *Runner) stateOf(found revision) (state rotate.InstanceState, detail string) {
	ordered, was := r.order(found.name)
	n := found.counted(ordered)
	detail = fmt.Sprintf("revision %s: %d of %d replicas ready, %s %s",
		found.name, n.ready, n.all, value(found.seen.RunningState), value(found.seen.HealthState))
	if n.why != "" {
		detail += " (" + n.why + ")"
	}
	wanted := max(1, r.seen.minimumOf(found))
	if n.ready < wanted {
		n.old += n.leaving // else those have had their end, and are shown for a while still
	}
	if was {
		state, more := r.restarted(found, ordered, n, wanted)
		return state, detail + more
	}
	state, more := r.seen.unordered(found, n, wanted)
	return state, detail + more
}

// restarted is the state of a revision whose restart was ordered: its replicas alone count, and are given time. Azure may say of
// such a revision that it is degraded, or has failed, while the new replicas run.
func (r *Runner) restarted(found revision, ordered order, n count, wanted int) (state rotate.InstanceState, more string) {
	late := ordered.late(r.now())
	switch {
	case n.all == 0 && late && r.seen.idle(found):
		return rotate.Stopped, ""
	case (n.all == 0 || n.old > 0) && late:
		return rotate.Failing, fmt.Sprintf(", the restart that was ordered at %s has not begun", timeText(ordered.at))
	case n.all == 0:
		return rotate.Rolling, ", none is shown yet since the restart"
	case n.old > 0:
		return rotate.Rolling, fmt.Sprintf(", %d not restarted yet", n.old)
	case n.ready >= n.all-n.leaving && n.ready >= wanted:
		return rotate.Steady, ""
	case n.crashed, late, found.failed() && r.now().Sub(n.youngest) > startTime:
		return rotate.Failing, ""
	}
	return rotate.Rolling, ""
}

// unordered is the state of a revision of which no restart is known: what Azure says of it counts as well.
func (v *view) unordered(found revision, n count, wanted int) (state rotate.InstanceState, more string) {
	const examine = ": az containerapp revision show has the reason"
	up := n.ready >= n.all && n.ready >= wanted
	switch {
	case v.idle(found):
		return rotate.Stopped, ""
	case up && found.unwell():
		return rotate.Failing, examine
	case up:
		return rotate.Steady, ""
	case found.failed() && n.ready < max(1, n.all), found.unwell() && n.crashed:
		return rotate.Failed, examine
	}
	return rotate.Rolling, ""
}

// now is the time by Azure's clock, as far as it is known.
func (r *Runner) now() time.Time {
	if r.seen.listed.IsZero() {
		return time.Now()
	}
	return r.seen.listed
}
