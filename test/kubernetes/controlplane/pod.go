package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// start starts the containers of a pod: from here on what its Secrets hold does not matter to it.
func (k *kubelet) start(ctx context.Context, pod *corev1.Pod, state *podState, loginURL string) error {
	variables, missing, err := k.environment(ctx, pod)
	if err != nil {
		return err
	}
	if missing != "" {
		k.again(ctx, pod, 300*time.Millisecond)
		return k.wait(ctx, pod, "CreateContainerConfigError", fmt.Sprintf("secret %q not found", missing), 0)
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q,%q:%q}}}`, SecretSHA256, sum(variables[clientSecret]), EnvironmentSHA256,
		sumOf(variables))
	marked, err := k.clients.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil || marked.DeletionTimestamp != nil {
		return err
	}
	now := metav1.Now()
	status := &marked.Status
	status.Phase, status.StartTime = corev1.PodRunning, &now
	status.PodIP, status.PodIPs, status.HostIP = "10.1.0.1", []corev1.PodIP{{IP: "10.1.0.1"}}, "127.0.0.1"
	status.Conditions = conditions(corev1.ConditionTrue, now)
	status.ContainerStatuses = nil
	for _, c := range marked.Spec.Containers {
		yes := true
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &yes,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	if _, err := k.clients.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, marked, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if loginURL != "" && variables[clientSecret] != "" && state.stop == nil {
		runner, stop := context.WithCancel(ctx)
		state.stop = stop
		go login(runner, loginURL, marked, variables)
	}
	return nil
}

func conditions(ready corev1.ConditionStatus, now metav1.Time) []corev1.PodCondition {
	return []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: now},
		{Type: corev1.ContainersReady, Status: ready, LastTransitionTime: now},
		{Type: corev1.PodReady, Status: ready, LastTransitionTime: now},
	}
}

const crashLoop = "CrashLoopBackOff"

// crash is a container that ends right after its start, again and again.
func (k *kubelet) crash(ctx context.Context, pod *corev1.Pod) error {
	return k.wait(ctx, pod, crashLoop, "back-off restarting failed container", 3)
}

// waitFor is a container that does not run yet, for a reason that passes.
func (k *kubelet) waitFor(ctx context.Context, pod *corev1.Pod, reason string) error {
	if reason == crashLoop {
		return k.crash(ctx, pod)
	}
	return k.wait(ctx, pod, reason, "", 0)
}

// wait says why the containers of a pod do not run.
func (k *kubelet) wait(ctx context.Context, pod *corev1.Pod, reason, message string, restarts int32) error {
	if said := pod.Status.ContainerStatuses; len(said) > 0 && said[0].State.Waiting != nil && said[0].State.Waiting.Reason == reason {
		return nil
	}
	changed := pod.DeepCopy()
	changed.Status.Conditions = conditions(corev1.ConditionFalse, metav1.Now())
	changed.Status.ContainerStatuses = nil
	for _, c := range pod.Spec.Containers {
		status := corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, RestartCount: restarts,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}
		if restarts > 0 {
			status.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}
		}
		changed.Status.ContainerStatuses = append(changed.Status.ContainerStatuses, status)
	}
	_, err := k.clients.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

// unschedulable is a pod for which no node has room.
func (k *kubelet) unschedulable(ctx context.Context, pod *corev1.Pod) error {
	said := func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	}
	if slices.ContainsFunc(pod.Status.Conditions, said) {
		return nil
	}
	changed := pod.DeepCopy()
	changed.Status.Conditions = append(changed.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		Message: "0/1 nodes are available: 1 Insufficient cpu.", LastTransitionTime: metav1.Now(),
	})
	_, err := k.clients.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, changed, metav1.UpdateOptions{})
	return err
}

// environment is what the containers of a pod see; of a Secret that is not there it says which.
func (k *kubelet) environment(ctx context.Context, pod *corev1.Pod) (variables map[string]string, missing string, err error) {
	variables = map[string]string{}
	secrets := map[string]map[string][]byte{}
	read := func(name string, optional *bool) (map[string][]byte, error) {
		if _, ok := secrets[name]; !ok {
			found, err := k.clients.CoreV1().Secrets(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) && optional != nil && *optional {
				return nil, nil
			} else if apierrors.IsNotFound(err) {
				missing = name
				return nil, nil
			} else if err != nil {
				return nil, err
			}
			secrets[name] = found.Data
		}
		return secrets[name], nil
	}
	for _, c := range pod.Spec.Containers {
		for _, from := range c.EnvFrom {
			if from.SecretRef == nil {
				continue
			}
			data, err := read(from.SecretRef.Name, from.SecretRef.Optional)
			if err != nil {
				return nil, "", err
			}
			for key, value := range data {
				variables[from.Prefix+key] = string(value)
			}
		}
		for _, variable := range c.Env {
			ref := variable.ValueFrom
			if ref == nil || ref.SecretKeyRef == nil {
				variables[variable.Name] = variable.Value
				continue
			}
			data, err := read(ref.SecretKeyRef.Name, ref.SecretKeyRef.Optional)
			if err != nil {
				return nil, "", err
			}
			variables[variable.Name] = string(data[ref.SecretKeyRef.Key])
		}
	}
	return variables, missing, nil
}

func sum(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

func sumOf(variables map[string]string) string {
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		fmt.Fprintf(digest, "%s=%s\n", name, variables[name])
	}
	return hex.EncodeToString(digest.Sum(nil))
}
