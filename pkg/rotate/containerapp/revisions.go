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
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// revision is an active one that uses the secret.
type revision struct {
	name     string
	seen     armappcontainers.RevisionProperties
	replicas map[string]replica
}

// stray is an active revision that has its client secret from elsewhere than the app's template.
type stray struct{ revision, secret string }

// replica is one as last seen.
type replica struct {
	created  time.Time
	restarts int32 // of its containers
	ready    bool
	detail   string // why it is not
}

// order is a restart of a revision that was ordered: what was seen before, and when it was, by Azure's clock; zero if Azure
// did not say.
type order struct {
	before map[string]replica
	at     time.Time
}

// States of a revision that the SDK has no names for.
const (
	runningStateActivating       armappcontainers.RevisionRunningState = "Activating"
	runningStateActivationFailed armappcontainers.RevisionRunningState = "ActivationFailed"
)

// dateMargin is by how much the times of two of Azure's services may differ.
const dateMargin = 5 * time.Second

// same says that a replica was there before the restart, itself and not only another one of its name.
func (o order) same(name string, one replica) bool {
	before, was := o.before[name]
	return was && !one.created.After(before.created)
}

// old says that a replica was there before the restart, and has not been restarted since. One of which Azure does not say
// when it was created is told by its name alone.
func (o order) old(name string, one replica) bool {
	if before, was := o.before[name]; was {
		return o.same(name, one) && one.restarts <= before.restarts
	}
	return !o.at.IsZero() && !one.created.IsZero() && one.created.Before(o.at.Add(-dateMargin)) && one.restarts == 0
}

// crashed says that a replica which is not ready has been restarted more often than a restart does it.
func (o order) crashed(name string, one replica) bool {
	if o.same(name, one) {
		one.restarts -= o.before[name].restarts
	}
	return one.restarts > 1
}

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

// used says that a revision reads the secret. One that does not show its template is taken for one that does.
func (v *view) used(template *armappcontainers.Template) bool {
	return template == nil || len(template.Containers) == 0 ||
		slices.ContainsFunc(variablesOf(template), func(variable *armappcontainers.EnvironmentVar) bool { return value(variable.SecretRef) == v.secret })
}

// other is where a revision has its client secret from, if not from the app's secret.
func (v *view) other(template *armappcontainers.Template) string {
	for _, variable := range variablesOf(template) {
		if reference := value(variable.SecretRef); value(variable.Name) == clientSecretVariable && reference != v.secret {
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
	if len(r.running()) == 0 || r.seen.maximum == 0 {
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

// read says which value of the store the replicas have read.
func (r *Runner) read() rotate.ReadState {
	switch {
	case r.stored:
		return rotate.ReadOlder
	case len(r.ordered) > 0:
		// A revision that was activated meanwhile is restarted too, unless it began after the value was stored.
		for _, found := range r.running() {
			if _, was := r.ordered[found.name]; !was && !found.startedAfter(r.since.Add(dateMargin)) {
				return rotate.ReadOlder
			}
		}
		return rotate.ReadCurrent
	case r.seen.modified.IsZero() || len(r.running()) == 0:
		return rotate.ReadUnknown
	}
	for _, found := range r.running() {
		// The value may take effect some time after the change.
		if len(found.replicas) == 0 || !found.startedAfter(r.seen.modified.Add(provisionTime)) {
			return rotate.ReadUnknown
		}
	}
	return rotate.ReadCurrent
}

func (r revision) startedAfter(at time.Time) bool {
	for _, one := range r.replicas {
		if !one.created.After(at) {
			return false
		}
	}
	return true
}

// worse is the state of which more is to be said.
func worse(a, b rotate.InstanceState) rotate.InstanceState {
	for _, state := range []rotate.InstanceState{rotate.Failed, rotate.Stopped, rotate.Rolling} {
		if a == state || b == state {
			return state
		}
	}
	return rotate.Steady
}

func (r *Runner) stateOf(found revision) (state rotate.InstanceState, detail string) {
	ready, old, leaving, crashed := 0, 0, 0, false
	var why string
	ordered := r.ordered[found.name]
	for name, one := range found.replicas {
		switch {
		case ordered.old(name, one) && !one.ready:
			leaving++
		case ordered.old(name, one):
			old++
		case one.ready:
			ready++
		default:
			why = one.detail
			crashed = crashed || ordered.crashed(name, one)
		}
	}
	running, health := value(found.seen.RunningState), value(found.seen.HealthState)
	detail = fmt.Sprintf("revision %s: %d of %d replicas ready, %s %s", found.name, ready, len(found.replicas), running, health)
	if why != "" {
		detail += " (" + why + ")"
	}
	minimum := r.seen.minimum
	if template := found.seen.Template; template != nil && template.Scale != nil {
		minimum = value(template.Scale.MinReplicas)
	}
	wanted := max(1, int(minimum))
	if ready < wanted {
		old += leaving // else those have had their end, and are shown for a while still
	}
	starting := running == armappcontainers.RevisionRunningStateProcessing || running == runningStateActivating
	unwell := health == armappcontainers.RevisionHealthStateUnhealthy || running == armappcontainers.RevisionRunningStateDegraded
	failed := running == armappcontainers.RevisionRunningStateFailed || running == runningStateActivationFailed ||
		value(found.seen.ProvisioningState) == armappcontainers.RevisionProvisioningStateFailed
	switch {
	// A restart may leave a revision without a replica for a moment.
	case len(found.replicas) == 0 && len(ordered.before) == 0 &&
		(running == armappcontainers.RevisionRunningStateStopped || minimum == 0 && !starting && !failed):
		return rotate.Stopped, detail
	case old > 0:
		return rotate.Rolling, detail + fmt.Sprintf(", %d not restarted yet", old)
	case failed && ready < max(1, len(found.replicas)-leaving), unwell && crashed:
		return rotate.Failed, detail
	case ready < len(found.replicas)-leaving, ready < wanted:
		return rotate.Rolling, detail
	}
	return rotate.Steady, detail
}

// Restart implements [rotate.Runner]: each revision that runs is restarted, except those that this Runner has restarted already
// and that did not fail.
func (r *Runner) Restart(ctx context.Context) ([]string, error) {
	var ids []string
	if err := r.enter(ctx); err != nil {
		if !r.stored || errors.Is(err, errOtherRun) {
			return ids, err
		}
		// The runner is dark, or will be: it is not to wait for the storage account.
		r.log.WarnContext(ctx, "the lock could not be taken; instances are restarted without it", "error", err)
	}
	running := r.running()
	if len(running) == 0 {
		return ids, rotate.Errorf(rotate.NotReady, "app %s has no active revision that could be restarted", r.id.Name).
			WithTodo("activate one: az containerapp revision activate; it reads what the store holds when it starts")
	}
	for _, found := range running {
		ids = append(ids, found.name)
		if _, was := r.ordered[found.name]; was {
			if state, _ := r.stateOf(found); state != rotate.Failed {
				continue
			}
		}
		var answer *http.Response
		_, err := r.revisions.RestartRevision(policy.WithCaptureResponse(ctx, &answer), r.id.ResourceGroupName, r.id.Name, found.name, nil)
		if err != nil && !accepted(answer) {
			return ids, failure("restart revision "+found.name, actionRestart, err)
		}
		r.ordered[found.name] = order{before: found.replicas, at: dateOf(answer)}
		if r.since.IsZero() {
			r.since = dateOf(answer)
		}
	}
	r.stored = false
	return ids, nil
}

// accepted says that Azure has answered with a success, of which the SDK may know only some.
func accepted(answer *http.Response) bool { return answer != nil && answer.StatusCode/100 == 2 }

// dateOf is when Azure answered, by its own clock; zero if it does not say.
func dateOf(answer *http.Response) time.Time {
	if answer == nil {
		return time.Time{}
	}
	date, _ := http.ParseTime(answer.Header.Get("Date"))
	return date
}
