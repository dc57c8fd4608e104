package controlplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	settlePoll  = 20 * time.Millisecond
	settleQuiet = 500 * time.Millisecond // without a change, where pods do not come up
)

// Settle waits until nothing more will change by itself in a namespace: each rollout is complete, or its newest pods are
// ones that do not come up.
func Settle(ctx context.Context, config *rest.Config, namespace string) error {
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	var last string
	since := time.Now()
	for {
		now, err := read(ctx, clients, namespace)
		if err != nil {
			return fmt.Errorf("controlplane: namespace %s does not settle: %w; last seen: %s", namespace, err, last)
		}
		if shown := now.String(); shown != last {
			last, since = shown, time.Now()
		}
		if now.complete() || now.stuck() && time.Since(since) >= settleQuiet {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return fmt.Errorf("controlplane: namespace %s does not settle: %w; last seen: %s", namespace, ctx.Err(), last)
		}
	}
}

// workloads are what runs in a namespace.
type workloads struct {
	deployments []appsv1.Deployment
	sets        []appsv1.ReplicaSet
	pods        []corev1.Pod
}

func read(ctx context.Context, clients *kubernetes.Clientset, namespace string) (workloads, error) {
	deployments, err := clients.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return workloads{}, err
	}
	sets, err := clients.AppsV1().ReplicaSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return workloads{}, err
	}
	pods, err := clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return workloads{}, err
	}
	return workloads{deployments.Items, sets.Items, pods.Items}, nil
}

// complete reports whether every rollout is.
func (w workloads) complete() bool {
	return !slices.ContainsFunc(w.deployments, func(d appsv1.Deployment) bool { return !complete(d) })
}

// stuck reports whether each rollout is complete, or never will be: its newest pods are there and do not come up.
func (w workloads) stuck() bool {
	return !slices.ContainsFunc(w.deployments, func(d appsv1.Deployment) bool { return !complete(d) && !w.hangs(d) })
}

// hangs reports whether the newest pods of a Deployment do not come up.
func (w workloads) hangs(d appsv1.Deployment) bool {
	const revision = "deployment.kubernetes.io/revision"
	newest := slices.IndexFunc(w.sets, func(s appsv1.ReplicaSet) bool {
		return metav1.IsControlledBy(&s, &d) && s.Annotations[revision] == d.Annotations[revision]
	})
	if d.Status.ObservedGeneration < d.Generation || newest < 0 || w.sets[newest].Status.ObservedGeneration < w.sets[newest].Generation {
		return false
	}
	return slices.ContainsFunc(w.pods, func(p corev1.Pod) bool { return metav1.IsControlledBy(&p, &w.sets[newest]) && stuck(p) })
}

// complete reports whether a rollout is, by the rules of kubectl rollout status.
func complete(d appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas == wanted
}

// stuck reports whether a pod will not come up by itself.
func stuck(p corev1.Pod) bool {
	unplaced := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
	return p.DeletionTimestamp == nil &&
		(unplaced || slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil }))
}

// String differs whenever something has changed.
func (w workloads) String() (text string) {
	for _, d := range w.deployments {
		text += fmt.Sprintf("Deployment %s (%s) ", d.Name, d.ResourceVersion)
	}
	for _, s := range w.sets {
		text += fmt.Sprintf("ReplicaSet %s (%s) ", s.Name, s.ResourceVersion)
	}
	for _, p := range w.pods {
		text += fmt.Sprintf("pod %s (%s) %s ", p.Name, p.ResourceVersion, p.Status.Phase)
	}
	return text
}
