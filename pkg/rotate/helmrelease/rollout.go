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

// The annotations of the pod template: the mark, and what makes one restart differ from the last.
const (
	markAnnotation        = "maia-rotate/secret"         // fingerprint of the secret
	markVersionAnnotation = "maia-rotate/secret-version" // resourceVersion of the Secret that held it
	restartedAnnotation   = "maia-rotate/restarted-at"
)

// mark orders new pods of a Deployment, as kubectl rollout restart does.
func (r *Runner) mark(ctx context.Context, name string) error {
	if _, err := r.patchMark(ctx, name, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
		return r.failure("restart Deployment "+name, err)
	}
	return nil
}

func (r *Runner) patchMark(ctx context.Context, name string, options metav1.PatchOptions) (*appsv1.Deployment, error) {
	patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{"annotations": map[string]string{
		markAnnotation:        string(r.seen.live.ClientSecret.Fingerprint()),
		markVersionAnnotation: r.seen.secretVersion,
		restartedAnnotation:   time.Now().UTC().Format(time.RFC3339Nano),
	}}}}}) // strings only
	return r.clients.AppsV1().Deployments(r.config.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, options)
}

// instances sums the Deployments up: as bad as the worst of them. One that is scaled to zero counts only if all are: it
// reads what is stored when it starts.
func (r *Runner) instances(ctx context.Context) (rotate.Instances, error) {
	states := []rotate.InstanceState{rotate.Steady, rotate.Short, rotate.Rolling, rotate.Failed, rotate.Stopped}
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
		r.seen.failed[d.Name] = now == rotate.Failed
		if now == rotate.Short && !r.short[d.Name] {
			r.log.WarnContext(ctx, "not all new pods find a node; the runner may be back with those that do, and is not refreshed until all run", "detail", detail)
		}
		r.short[d.Name] = now == rotate.Short
		state = max(state, slices.Index(states, now))
		has, err := r.readOf(ctx, d)
		if err != nil {
			return rotate.Instances{}, err
		}
		read = max(read, slices.Index(reads, has))
	}
	return rotate.Instances{State: states[state], Read: reads[read], Detail: strings.Join(details, "; ")}, nil
}

func stopped(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas == 0 }

// readOf says which value the pods of the newest template have read when they started: by the mark. Where that is of another
// value and the pods are newer than what the Secret holds, somebody else has restarted them, and the mark says nothing.
func (r *Runner) readOf(ctx context.Context, d *appsv1.Deployment) (rotate.ReadState, error) {
	annotations := d.Spec.Template.Annotations
	mark, version := annotations[markAnnotation], annotations[markVersionAnnotation]
	same := maia.Fingerprint(mark) == r.seen.live.ClientSecret.Fingerprint()
	switch {
	case r.ordered[d.Name] == r.seen.secretVersion, same && version == r.seen.secretVersion:
		return rotate.ReadCurrent, nil
	case mark == "" || same: // never restarted by us, or the Secret was written since
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

// stateOf is what kubectl rollout status would say, but that pods which are crashing count at once. Pods that are
// Terminating do not count: with a pipeline they are for hours, in which new ones may find no node.
func (r *Runner) stateOf(ctx context.Context, d *appsv1.Deployment) (rotate.InstanceState, string, error) {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	status := d.Status
	observed := status.ObservedGeneration >= d.Generation
	detail := fmt.Sprintf("Deployment %s: %d of %d pods are new, %d available", d.Name, status.UpdatedReplicas, wanted, status.AvailableReplicas)
	switch {
	case wanted == 0:
		return rotate.Stopped, "Deployment " + d.Name + " is scaled to zero", nil
	case !observed:
		return rotate.Rolling, "Deployment " + d.Name + ": the change is not yet taken up", nil
	case status.UpdatedReplicas == wanted && status.Replicas == wanted && status.AvailableReplicas == wanted:
		return rotate.Steady, detail, nil
	}
	pods, err := r.newPods(ctx, d)
	if err != nil {
		return "", "", err
	}
	failed := slices.ContainsFunc(status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded"
	})
	up, short := slices.ContainsFunc(pods, ready), true
	for _, pod := range pods {
		short = short && (ready(pod) || unplaced(pod) != nil)
		if why, crashing := whyNot(pod); why != "" {
			detail += fmt.Sprintf(", pod %s: %s", pod.Name, why)
			failed = failed || crashing && !up
		}
	}
	switch {
	case up && short && slices.ContainsFunc(pods, func(p corev1.Pod) bool { return unplaced(p) != nil }):
		return rotate.Short, detail, nil // however long that takes
	case failed:
		return rotate.Failed, detail, nil
	}
	return rotate.Rolling, detail, nil
}

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

// unplaced is what a pod says that finds no node; nil if it has one, or was not looked at yet.
func unplaced(pod corev1.Pod) *corev1.PodCondition {
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
	if i < 0 {
		return nil
	}
	return &pod.Status.Conditions[i]
}

// whyNot says why a pod does not run, and whether starting it has failed; empty if it runs, or nothing is known.
func whyNot(pod corev1.Pod) (why string, crashing bool) {
	if c := unplaced(pod); c != nil {
		return fmt.Sprintf("%s (old pods that take their time to end may hold its place): %s", c.Reason, c.Message), false
	}
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch waiting := c.State.Waiting; {
		case waiting == nil:
		case slices.Contains(failures, waiting.Reason):
			return fmt.Sprintf("container %s: %s", c.Name, waiting.Reason), true
		}
		if ended := c.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return fmt.Sprintf("container %s ended with exit code %d (%s)", c.Name, ended.ExitCode, ended.Reason), true
		}
	}
	return "", false
}

// failures are the reasons for which a kubelet says that it could not start a container.
var failures = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}
