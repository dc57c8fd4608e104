package helmrelease

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// mark orders new pods of a Deployment, as kubectl rollout restart does.
func (r *Runner) mark(ctx context.Context, name string) (order, error) {
	ordered := newOrder(r.seen.live.ClientSecret, r.seen.secretVersion, time.Now())
	if _, err := r.patchMark(ctx, name, ordered, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
		return order{}, r.failure("restart Deployment "+name, err)
	}
	return ordered, nil
}

func (r *Runner) patchMark(ctx context.Context, name string, ordered order, options metav1.PatchOptions) (*appsv1.Deployment, error) {
	spec := map[string]any{}
	annotate(spec, ordered.annotations)
	patch, _ := json.Marshal(map[string]any{"spec": spec}) // strings only
	return r.clients.AppsV1().Deployments(r.config.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, options)
}

// instances sums the Deployments up: as bad as the worst of them. One that is scaled to zero counts only if all are: it
// reads what is stored when it starts.
func (r *Runner) instances(ctx context.Context) (rotate.Instances, error) {
	states := []rotate.InstanceState{rotate.Steady, rotate.Short, rotate.Rolling, rotate.Failing, rotate.Stopped}
	reads := []rotate.ReadState{rotate.ReadCurrent, rotate.ReadUnknown, rotate.ReadOlder}
	var state, read int
	var details []string
	allStopped := !slices.ContainsFunc(r.seen.deployments, func(d *appsv1.Deployment) bool { return !stopped(d) })
	for _, d := range r.seen.deployments {
		now, detail, err := r.stateOf(ctx, d)
		if err != nil {
			return rotate.Instances{}, err
		}
		details = append(details, detail)
		if now == rotate.Stopped && !allStopped {
			continue
		}
		r.seen.failing[d.Name] = now == rotate.Failing
		if now == rotate.Short && !r.short[d.Name] {
			r.log.WarnContext(ctx, "not all new pods find a node; the runner may be back with those that do, and is not refreshed until all "+
				"run", "detail", detail)
		}
		r.short[d.Name] = now == rotate.Short
		state = max(state, slices.Index(states, now))
		has, err := r.readOf(ctx, d)
		if err != nil {
			return rotate.Instances{}, err
		}
		r.seen.current[d.Name] = has == rotate.ReadCurrent
		read = max(read, slices.Index(reads, has))
	}
	return rotate.Instances{State: states[state], Read: reads[read], Detail: strings.Join(details, "; ")}, nil
}

func stopped(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas == 0 }

// readOf is which value the pods of the newest template have read when they started, by the mark. If the mark is of another value
// and the pods are newer than what the Secret holds, an operator has restarted them, and the mark says nothing.
func (r *Runner) readOf(ctx context.Context, d *appsv1.Deployment) (rotate.ReadState, error) {
	mark := d.Spec.Template.Annotations[markAnnotation]
	switch {
	case r.standsFor(d), r.hidden(d):
		return rotate.ReadCurrent, nil
	case mark == "" || maia.Fingerprint(mark) == r.seen.live.ClientSecret.Fingerprint():
		// Never restarted by us, or the Secret was written since.
		return rotate.ReadUnknown, nil
	}
	pods, err := r.newPods(ctx, d)
	if err != nil {
		return "", err
	}
	older := func(pod corev1.Pod) bool { return !pod.CreationTimestamp.After(r.seen.secretWritten) }
	if r.seen.secretWritten.IsZero() || len(pods) == 0 || slices.ContainsFunc(pods, older) {
		return rotate.ReadOlder, nil
	}
	return rotate.ReadUnknown, nil // an API server of several replicas has several clocks
}

// stateOf is the state that kubectl rollout status would show, with two differences. Crashing pods count at once: Kubernetes goes
// on trying, even when its deadline for progress has passed. Terminating pods do not count: with a pipeline they may take hours,
// in which new ones may find no node.
func (r *Runner) stateOf(ctx context.Context, d *appsv1.Deployment) (rotate.InstanceState, string, error) {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	status := d.Status
	observed := status.ObservedGeneration >= d.Generation
	detail := fmt.Sprintf("Deployment %s: %d of %d pods are new, %d available", d.Name, status.UpdatedReplicas, wanted,
		status.AvailableReplicas)
	switch {
	case wanted == 0:
		return rotate.Stopped, "Deployment " + d.Name + " is scaled to zero", nil
	case r.hidden(d):
		return rotate.Rolling, "Deployment " + d.Name + ": the restart that was ordered does not show yet", nil
	case !observed:
		return rotate.Rolling, "Deployment " + d.Name + ": the change is not yet taken up", nil
	case status.UpdatedReplicas == wanted && status.Replicas == wanted && status.AvailableReplicas == wanted:
		return rotate.Steady, detail, nil
	}
	pods, err := r.newPods(ctx, d)
	if err != nil {
		return "", "", err
	}
	failing := slices.ContainsFunc(status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Reason == deadlineExceeded
	})
	if failing {
		detail += ", " + deadlineExceeded
	}
	up, short := slices.ContainsFunc(pods, ready), true
	for _, pod := range pods {
		short = short && (ready(pod) || unplaced(pod) != nil)
		if why, crashing := whyNot(pod); why != "" {
			detail += fmt.Sprintf(", pod %s: %s", pod.Name, why)
			failing = failing || crashing && !up
		}
	}
	switch {
	case up && short && slices.ContainsFunc(pods, func(p corev1.Pod) bool { return unplaced(p) != nil }):
		return rotate.Short, detail, nil // however long that takes
	case failing:
		return rotate.Failing, detail, nil
	}
	return rotate.Rolling, detail, nil
}

// deadlineExceeded is the reason of the condition Progressing of a rollout that has not moved for its progressDeadlineSeconds.
const deadlineExceeded = "ProgressDeadlineExceeded"

// newPods are those of the newest ReplicaSet, by name.
func (r *Runner) newPods(ctx context.Context, d *appsv1.Deployment) ([]corev1.Pod, error) {
	selector := metav1.FormatLabelSelector(d.Spec.Selector)
	sets, err := r.clients.AppsV1().ReplicaSets(r.config.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, r.failure("list the ReplicaSets of Deployment "+d.Name, err)
	}
	pods, err := r.clients.CoreV1().Pods(r.config.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, r.failure("list the pods of Deployment "+d.Name, err)
	}
	const revision = "deployment.kubernetes.io/revision"
	var newest types.UID
	for _, set := range sets.Items {
		if metav1.IsControlledBy(&set, d) && set.Annotations[revision] == d.Annotations[revision] {
			newest = set.UID
		}
	}
	found := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		owner := metav1.GetControllerOf(&p)
		return owner == nil || owner.UID != newest || p.DeletionTimestamp != nil
	})
	slices.SortFunc(found, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func ready(pod corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// unplaced is what a pod says that finds no node; nil if it has one, or was not scheduled yet.
func unplaced(pod corev1.Pod) *corev1.PodCondition {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
	if i < 0 {
		return nil
	}
	return &pod.Status.Conditions[i]
}

// whyNot is why a pod does not run, and whether starting it has failed; empty if it runs, or nothing is known.
func whyNot(pod corev1.Pod) (why string, crashing bool) {
	if c := unplaced(pod); c != nil {
		return fmt.Sprintf("%s (old pods that take their time to end may hold its place): %s", c.Reason, c.Message), false
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch waiting := c.State.Waiting; {
		case waiting == nil:
		case slices.Contains(failures, waiting.Reason):
			return fmt.Sprintf("container %s: %s%s", c.Name, waiting.Reason, endOf(c.LastTerminationState)), true
		}
		if ended := c.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return fmt.Sprintf("container %s ended with exit code %d (%s)", c.Name, ended.ExitCode, ended.Reason), true
		}
	}
	return "", false
}

// endOf is how a container ended before; empty if it did not.
func endOf(last corev1.ContainerState) string {
	if last.Terminated == nil {
		return ""
	}
	return fmt.Sprintf(" (it ended with exit code %d, %s)", last.Terminated.ExitCode, last.Terminated.Reason)
}

// failures are the reasons for which a kubelet says that it could not start a container.
var failures = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}
