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
	settlePoll  = 5 * time.Millisecond
	settleQuiet = 250 * time.Millisecond // without a change, where pods do not come up
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
		deployments, err := clients.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("controlplane: %w", err)
		}
		if !slices.ContainsFunc(deployments.Items, func(d appsv1.Deployment) bool { return !complete(d) }) {
			return nil
		}
		pods, err := clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return fmt.Errorf("controlplane: %w", err)
		}
		if now := versions(deployments.Items, pods.Items); now != last {
			last, since = now, time.Now()
		}
		stuck := slices.ContainsFunc(pods.Items, stuck)
		taken := !slices.ContainsFunc(deployments.Items, func(d appsv1.Deployment) bool { return d.Status.ObservedGeneration < d.Generation })
		if stuck && taken && time.Since(since) >= settleQuiet {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return fmt.Errorf("controlplane: namespace %s does not settle: %w", namespace, ctx.Err())
		}
	}
}

// complete says that a rollout is, as kubectl rollout status does.
func complete(d appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	s := d.Status
	return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == wanted && s.Replicas == wanted && s.AvailableReplicas == wanted
}

// stuck says of a pod that it will not come up by itself.
func stuck(p corev1.Pod) bool {
	unplaced := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
	return p.DeletionTimestamp == nil && (unplaced || slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil }))
}

func versions(deployments []appsv1.Deployment, pods []corev1.Pod) (text string) {
	for _, d := range deployments {
		text += d.ResourceVersion + " "
	}
	for _, p := range pods {
		text += p.ResourceVersion + " "
	}
	return text
}
