package controlplane

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// What a test may annotate a namespace with, to have its pods behave.
const (
	LoginURL   = "runner.test/login-url"   // where the runner in each pod logs in, see [login]
	Break      = "runner.test/break"       // N: pods of the next N templates crash at their start; a change of it starts anew
	Wait       = "runner.test/wait"        // while it is there, the containers of new pods wait, for the reason that it names
	Hang       = "runner.test/hang"        // "true": new pods find no node; N: of each template only the first N do
	StartDelay = "runner.test/start-delay" // how long a container takes to start, a Go duration
	Terminate  = "runner.test/terminate"   // how long a pod takes to end, a Go duration
)

// What the kubelet notes on a pod.
const (
	SecretSHA256      = "runner.test/secret-sha256" // of the OAUTH_CLIENT_SECRET that its container was started with
	EnvironmentSHA256 = "runner.test/env-sha256"    // of all variables
)

const node = "node-1"

// kubelet stands in for a scheduler and a kubelet with one large node. It does for a pod what they do: binds it, reads
// its variables once when a container starts, sets it running and ready, and ends it when it is deleted.
type kubelet struct {
	clients *kubernetes.Clientset

	mu         sync.Mutex
	namespaces map[string]*behaviour
	pods       map[types.UID]*podState
}

// behaviour is what the annotations Break and Hang have come to in a namespace.
type behaviour struct {
	said   string
	left   int
	broken map[string]bool                   // by pod-template-hash: whether its pods crash
	placed map[string]map[types.UID]struct{} // by pod-template-hash: the pods that found a node while not all did
}

// podState is one pod's, as the kubelet remembers it.
type podState struct {
	mu           sync.Mutex         // one step at a time
	starts, ends time.Time          // when its time to start, and to end, is over; zero: it has not begun
	stop         context.CancelFunc // of the runner in it
}

func startKubelet(ctx context.Context, clients *kubernetes.Clientset, shared informers.SharedInformerFactory) error {
	capacity := corev1.ResourceList{"cpu": resource.MustParse("1000"), "memory": resource.MustParse("4000Gi"),
		"pods": resource.MustParse("100000")}
	_, err := clients.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node},
		Status: corev1.NodeStatus{Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	k := &kubelet{clients: clients, namespaces: map[string]*behaviour{}, pods: map[types.UID]*podState{}}
	_, err = shared.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.see(ctx, o) },
		UpdateFunc: func(_, o any) { k.see(ctx, o) },
		DeleteFunc: func(o any) { k.forget(o) },
	})
	return err
}

func (k *kubelet) state(uid types.UID) *podState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pods[uid] == nil {
		k.pods[uid] = &podState{}
	}
	return k.pods[uid]
}

func (k *kubelet) forget(o any) {
	if missed, ok := o.(cache.DeletedFinalStateUnknown); ok {
		o = missed.Obj
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	k.mu.Lock()
	state := k.pods[pod.UID]
	delete(k.pods, pod.UID)
	k.mu.Unlock()
	if state != nil {
		state.end()
	}
}

func (s *podState) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// retryAfter is when a step that failed is tried again.
const retryAfter = 100 * time.Millisecond

// see takes the next step for a pod as it is now: an event about it may be old, and may come twice.
func (k *kubelet) see(ctx context.Context, o any) {
	seen, ok := o.(*corev1.Pod)
	if !ok {
		return
	}
	go func() {
		state := k.state(seen.UID)
		state.mu.Lock()
		defer state.mu.Unlock()
		pod, err := k.clients.CoreV1().Pods(seen.Namespace).Get(ctx, seen.Name, metav1.GetOptions{})
		if err == nil && pod.UID == seen.UID {
			err = k.step(ctx, pod, state)
		}
		if err == nil || apierrors.IsNotFound(err) || ctx.Err() != nil {
			return
		}
		if !apierrors.IsConflict(err) {
			fmt.Fprintln(os.Stderr, "kubelet:", seen.Namespace, seen.Name, err)
		}
		k.again(ctx, seen, retryAfter)
	}()
}

// again reads a pod once more, later.
func (k *kubelet) again(ctx context.Context, pod *corev1.Pod, after time.Duration) {
	time.AfterFunc(after, func() { k.see(ctx, pod) })
}

// step takes the next step for a pod.
func (k *kubelet) step(ctx context.Context, pod *corev1.Pod, state *podState) error {
	pods := k.clients.CoreV1().Pods(pod.Namespace)
	switch {
	case pod.DeletionTimestamp != nil:
		return k.terminate(ctx, pod, state)
	case pod.Spec.NodeName == "":
		settings, err := k.settings(ctx, pod.Namespace)
		if err != nil {
			return err
		}
		if !k.finds(pod, settings[Hang]) {
			k.again(ctx, pod, 500*time.Millisecond)
			return k.unschedulable(ctx, pod)
		}
		target := corev1.ObjectReference{Kind: "Node", Name: node}
		return pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, UID: pod.UID}, Target: target},
			metav1.CreateOptions{})
	case pod.Status.Phase == corev1.PodPending:
		settings, broken, err := k.breaks(ctx, pod)
		if err != nil {
			return err
		}
		if broken {
			return k.crash(ctx, pod)
		}
		if reason := settings[Wait]; reason != "" {
			k.again(ctx, pod, 200*time.Millisecond)
			return k.waitFor(ctx, pod, reason)
		}
		if left := takes(&state.starts, settings[StartDelay]); left > 0 {
			k.again(ctx, pod, left)
			return nil
		}
		return k.start(ctx, pod, state, settings[LoginURL])
	}
	return nil
}

// takes returns how long something of the given duration still takes; the first call begins it.
func takes(over *time.Time, while string) time.Duration {
	if over.IsZero() {
		duration, _ := time.ParseDuration(while) // none takes no time
		*over = time.Now().Add(duration)
	}
	return time.Until(*over)
}

// settings are the annotations of a namespace, as they are now: a test that has just set one counts on it.
func (k *kubelet) settings(ctx context.Context, namespace string) (map[string]string, error) {
	found, err := k.clients.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.Annotations, nil
}

// breaks reports whether the pods of a template crash. It is decided for the first pod of a template. The settings are read under the
// lock, so that a pod which comes later has not read older settings.
func (k *kubelet) breaks(ctx context.Context, pod *corev1.Pod) (settings map[string]string, broken bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if settings, err = k.settings(ctx, pod.Namespace); err != nil {
		return nil, false, err
	}
	b := k.behaviour(pod.Namespace)
	if said := settings[Break]; said != b.said {
		n, err := strconv.Atoi(said)
		if err != nil && said != "" {
			return nil, false, fmt.Errorf("%s is %q, expected a number", Break, said)
		}
		b.said, b.left = said, n
	}
	hash := pod.Labels["pod-template-hash"]
	broken, known := b.broken[hash]
	if !known {
		if broken = b.left > 0; broken {
			b.left--
		}
		b.broken[hash] = broken
	}
	return settings, broken, nil
}

// behaviour is that of a namespace. It is called under the lock.
func (k *kubelet) behaviour(namespace string) *behaviour {
	if k.namespaces[namespace] == nil {
		k.namespaces[namespace] = &behaviour{broken: map[string]bool{}, placed: map[string]map[types.UID]struct{}{}}
	}
	return k.namespaces[namespace]
}

// finds reports whether a pod finds a node, by the annotation Hang.
func (k *kubelet) finds(pod *corev1.Pod, hang string) bool {
	if hang == "" {
		return true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	room, _ := strconv.Atoi(hang) // else for none
	placed, hash := k.behaviour(pod.Namespace).placed, pod.Labels["pod-template-hash"]
	if placed[hash] == nil {
		placed[hash] = map[types.UID]struct{}{}
	}
	if _, already := placed[hash][pod.UID]; !already && len(placed[hash]) >= room {
		return false
	}
	placed[hash][pod.UID] = struct{}{}
	return true
}

// terminate ends a pod, after the time that it takes.
func (k *kubelet) terminate(ctx context.Context, pod *corev1.Pod, state *podState) error {
	settings, err := k.settings(ctx, pod.Namespace)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if left := takes(&state.ends, settings[Terminate]); left > 0 {
		k.again(ctx, pod, left)
		return nil
	}
	now := int64(0)
	return k.clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})
}
