package containerapp

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// revision is an active one that uses the secret.
type revision struct {
	name     string
	seen     armappcontainers.RevisionProperties
	replicas map[string]replica
}

// replica is one as last seen.
type replica struct {
	created  time.Time
	restarts int32 // of its containers
	ready    bool
	detail   string // why it is not
}

// order is a restart of a revision that was ordered: what was there then.
type order struct{ before map[string]replica }

// readRevisions reads the active revisions that use the secret, and their replicas.
func (r *Runner) readRevisions(ctx context.Context) error {
	var active []revision
	pages := r.revisions.NewListRevisionsPager(r.id.ResourceGroupName, r.id.Name, nil)
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return failure("list the revisions of app "+r.id.Name, "Microsoft.App/containerApps/revisions/read", err)
		}
		for _, found := range page.Value {
			if properties := value(found.Properties); value(properties.Active) && r.uses(properties.Template) {
				active = append(active, revision{name: value(found.Name), seen: properties})
			}
		}
	}
	for i := range active {
		found, err := r.replicas.ListReplicas(ctx, r.id.ResourceGroupName, r.id.Name, active[i].name, nil)
		if err != nil {
			return failure("list the replicas of revision "+active[i].name, "Microsoft.App/containerApps/revisions/replicas/read", err)
		}
		active[i].replicas = map[string]replica{}
		for _, one := range found.Value {
			active[i].replicas[value(one.Name)] = replicaOf(value(one.Properties))
		}
	}
	r.seen.revisions = active
	return nil
}

// uses says that a revision reads the secret. One that does not show its template is taken for one that does.
func (r *Runner) uses(template *armappcontainers.Template) bool {
	if template == nil || len(template.Containers) == 0 {
		return true
	}
	for _, container := range template.Containers {
		for _, variable := range container.Env {
			if value(variable.SecretRef) == r.seen.secret {
				return true
			}
		}
	}
	return false
}

func replicaOf(properties armappcontainers.ReplicaProperties) replica {
	one := replica{created: value(properties.CreatedTime), ready: len(properties.Containers) > 0}
	for _, container := range properties.Containers {
		one.restarts += value(container.RestartCount)
		if !value(container.Ready) {
			one.ready = false
			one.detail = strings.TrimSpace(fmt.Sprintf("%s %s", value(container.RunningState), value(container.RunningStateDetails)))
		}
	}
	return one
}

// instances are the replicas of all revisions.
func (r *Runner) instances() rotate.Instances {
	var made rotate.Instances
	var details []string
	made.State = rotate.Steady
	if len(r.seen.revisions) == 0 || r.seen.maximum == 0 {
		made.State = rotate.Stopped
	}
	current := true
	for _, found := range r.seen.revisions {
		state, detail := r.stateOf(found)
		details = append(details, detail)
		made.State = worse(made.State, state)
		for _, one := range found.replicas {
			// The value may take effect some time after the change.
			current = current && !r.seen.modified.IsZero() && one.created.After(r.seen.modified.Add(provisionTime))
		}
		current = current && len(found.replicas) > 0
	}
	if r.seen.state == armappcontainers.ContainerAppProvisioningStateInProgress {
		made.State = worse(made.State, rotate.Rolling)
		details = append(details, "a change of the app is in progress")
	}
	made.Detail = strings.Join(details, "; ")
	switch {
	case len(r.ordered) > 0 && !r.stored:
		made.Read = rotate.ReadCurrent
	case r.stored:
		made.Read = rotate.ReadOlder
	case current && len(r.seen.revisions) > 0:
		made.Read = rotate.ReadCurrent
	default:
		made.Read = rotate.ReadUnknown
	}
	return made
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
	ready, old := 0, 0
	var why string
	for name, one := range found.replicas {
		if before, was := r.ordered[found.name].before[name]; was && one.restarts <= before.restarts {
			old++
			continue
		}
		if one.ready {
			ready++
		} else {
			why = one.detail
		}
	}
	running, health := value(found.seen.RunningState), value(found.seen.HealthState)
	detail = fmt.Sprintf("revision %s: %d of %d replicas ready, %s %s", found.name, ready, len(found.replicas), running, health)
	if why != "" {
		detail += " (" + why + ")"
	}
	wanted := 1
	if template := found.seen.Template; template != nil && template.Scale != nil {
		wanted = max(wanted, int(value(template.Scale.MinReplicas)))
	}
	failed := health == armappcontainers.RevisionHealthStateUnhealthy || running == armappcontainers.RevisionRunningStateFailed ||
		running == armappcontainers.RevisionRunningStateDegraded || value(found.seen.ProvisioningState) == armappcontainers.RevisionProvisioningStateFailed
	switch {
	case len(found.replicas) == 0 && running == armappcontainers.RevisionRunningStateStopped:
		return rotate.Stopped, detail
	case old > 0:
		return rotate.Rolling, detail + fmt.Sprintf(", %d not restarted yet", old)
	case failed && ready < len(found.replicas):
		return rotate.Failed, detail
	case ready < len(found.replicas), ready < wanted:
		return rotate.Rolling, detail
	}
	return rotate.Steady, detail
}

// Restart implements [rotate.Runner]: each revision is restarted, except those that this Runner has restarted already and
// that did not fail.
func (r *Runner) Restart(ctx context.Context) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	for _, found := range r.seen.revisions {
		if _, was := r.ordered[found.name]; was {
			if state, _ := r.stateOf(found); state != rotate.Failed {
				continue
			}
		}
		if _, err := r.revisions.RestartRevision(ctx, r.id.ResourceGroupName, r.id.Name, found.name, nil); err != nil {
			return failure("restart revision "+found.name, "Microsoft.App/containerApps/revisions/restart/action", err)
		}
		r.ordered[found.name] = order{before: found.replicas}
	}
	r.stored = false
	return nil
}
