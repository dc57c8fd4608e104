package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maia-rotate/maia-rotate/test/kubernetes/controlplane"
)

// asProgram has the test binary be the program: a process can have one control plane only.
const asProgram = "CONTROL_PLANE_OF_A_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// plane is the program, and what its caller sees of it.
type plane struct {
	t       *testing.T
	program *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	clients *kubernetes.Clientset // an administrator's
	ctx     context.Context       // ends when nothing that is waited for will come any more
}

// waitLimit is many times what the whole test takes, so that what never comes is reported instead of waited for.
const waitLimit = 5 * time.Minute

func start(t *testing.T) *plane {
	t.Helper()
	p := &plane{t: t, program: exec.Command(os.Args[0])}
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	t.Cleanup(cancel)
	p.ctx = ctx
	p.program.Env = append(os.Environ(), asProgram+"=1")
	p.program.Stderr = os.Stderr
	var err error
	if p.in, err = p.program.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.program.Process.Kill()
		_ = p.program.Wait() // else it still writes to a folder that is about to be removed
	})
	stop := context.AfterFunc(ctx, func() { _ = p.program.Process.Kill() })
	t.Cleanup(func() { stop() })
	p.clients = p.kubeconfig()
	return p
}

// kubeconfig is what the next answer holds.
func (p *plane) kubeconfig() *kubernetes.Clientset {
	p.t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	var answer struct{ Kubeconfig string }
	if err := json.Unmarshal(line, &answer); err != nil {
		p.t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(answer.Kubeconfig))
	if err != nil {
		p.t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		p.t.Fatal(err)
	}
	return clients
}

func (p *plane) addUser(name string) *kubernetes.Clientset {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, "{\"addUser\":%q}\n", name); err != nil {
		p.t.Fatal(err)
	}
	return p.kubeconfig()
}

// pods waits until those of a namespace are as they should be.
func (p *plane) pods(namespace, what string, are func([]corev1.Pod) bool) []corev1.Pod {
	p.t.Helper()
	for seen := ""; ; {
		pods, err := p.clients.CoreV1().Pods(namespace).List(p.ctx, metav1.ListOptions{})
		if err != nil {
			p.t.Fatalf("waited until %s: %v; the pods were last:%s", what, err, seen)
		}
		if are(pods.Items) {
			return pods.Items
		}
		seen = shown(pods.Items)
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.ctx.Done():
		}
	}
}

// shown is what a reader needs to know of pods that are not as they should be.
func shown(pods []corev1.Pod) (text string) {
	for _, p := range pods {
		text += fmt.Sprintf("\n%s: node %q, deleted %v, %s, containers %v, secret %s", p.Name, p.Spec.NodeName, p.DeletionTimestamp,
			p.Status.Phase, p.Status.ContainerStatuses, p.Annotations[controlplane.SecretSHA256])
	}
	return text
}

const namespace = "runners"

func (p *plane) annotate(name string, value any) {
	p.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{name: value}}})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.clients.CoreV1().Namespaces().Patch(p.t.Context(), namespace, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) setSecret(value string) {
	p.t.Helper()
	patch, err := json.Marshal(map[string]any{"stringData": map[string]string{"OAUTH_CLIENT_SECRET": value}})
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.clients.CoreV1().Secrets(namespace).Patch(p.t.Context(), "config", types.StrategicMergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// restart gives the pods a new template.
func (p *plane) restart(mark string) {
	p.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"mark":%q}}}}}`, mark)
	if _, err := p.clients.AppsV1().Deployments(namespace).Patch(p.t.Context(), "runner", types.StrategicMergePatchType, []byte(patch),
		metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) install() {
	p.t.Helper()
	ctx := p.t.Context()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := p.clients.CoreV1().Namespaces().Create(ctx, space, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "config"}, StringData: map[string]string{"OAUTH_CLIENT_SECRET": "first"}}
	if _, err := p.clients.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	replicas, labels := int32(2), map[string]string{"app": "runner"}
	_, err := p.clients.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "runner"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "runner", Image: "registry.test/runner:current",
					Env: []corev1.EnvVar{{Name: "AGENT_ID", Value: "an-agent"}},
					EnvFrom: []corev1.EnvFromSource{{
						SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}},
					}},
				}}},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
}

// run2 reports whether exactly two pods run, both with a secret.
func run2(secret string) func([]corev1.Pod) bool {
	sum := sha256.Sum256([]byte(secret))
	return func(pods []corev1.Pod) bool {
		return len(pods) == 2 && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
			return p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil ||
				p.Annotations[controlplane.SecretSHA256] != hex.EncodeToString(sum[:])
		})
	}
}

// TestControlPlane does all of it with one control plane: its start is what takes time.
func TestControlPlane(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t)
	logins := make(chan controlplane.Login, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var login controlplane.Login
		if json.NewDecoder(r.Body).Decode(&login) == nil && login.Event != "alive" {
			logins <- login
		}
	}))
	defer server.Close()

	p.install()
	first := p.pods(namespace, "two pods run", run2("first"))

	t.Run("a Secret restarts nothing", func(t *testing.T) {
		p.setSecret("second")
		p.annotate(controlplane.LoginURL, server.URL)
		if now := p.pods(namespace, "two pods run", run2("first")); now[0].Name != first[0].Name && now[0].Name != first[1].Name {
			t.Errorf("pod %s is a new one", now[0].Name)
		}
	})
	t.Run("a restart reads it, and the runners log in with it", func(t *testing.T) {
		p.restart("1")
		pods := p.pods(namespace, "two new pods run", run2("second"))
		// A login whose answer was lost is said again.
		for seen := map[string]bool{}; len(seen) < 2; {
			var login controlplane.Login
			select {
			case login = <-logins:
			case <-p.ctx.Done():
				t.Fatal("a runner has not logged in")
			}
			seen[login.Pod] = true
			if login.Event != "start" || login.ClientSecret != "second" || login.AgentID != "an-agent" ||
				!slices.ContainsFunc(pods, func(p corev1.Pod) bool { return p.Name == login.Pod }) {
				t.Errorf("got %+v", login)
			}
		}
	})
	t.Run("pods of one template crash", func(t *testing.T) {
		p.annotate(controlplane.Break, "1")
		p.restart("2")
		p.pods(namespace, "a pod crashes", func(pods []corev1.Pod) bool {
			return slices.ContainsFunc(pods, func(p corev1.Pod) bool {
				c := p.Status.ContainerStatuses
				return len(c) > 0 && c[0].State.Waiting != nil && c[0].State.Waiting.Reason == "CrashLoopBackOff" && c[0].RestartCount > 0
			})
		})
		p.restart("3")
		p.pods(namespace, "two pods run", run2("second"))
	})
	t.Run("pods find no node", func(t *testing.T) {
		p.annotate(controlplane.Hang, "true")
		p.restart("4")
		p.pods(namespace, "a pod is unschedulable", func(pods []corev1.Pod) bool {
			return slices.ContainsFunc(pods, func(p corev1.Pod) bool {
				return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Reason == corev1.PodReasonUnschedulable })
			})
		})
		p.annotate(controlplane.Hang, nil)
		p.pods(namespace, "two pods run", run2("second"))
	})
	t.Run("pods take their time to end", func(t *testing.T) {
		p.annotate(controlplane.Terminate, "1h")
		p.restart("5")
		p.pods(namespace, "two pods run and two end", func(pods []corev1.Pod) bool {
			ending := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return p.DeletionTimestamp == nil })
			rest := slices.DeleteFunc(slices.Clone(pods), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
			return len(ending) == 2 && run2("second")(rest)
		})
	})
	t.Run("a user has the rights that he is given", func(t *testing.T) {
		user := p.addUser("operator")
		if _, err := user.CoreV1().Secrets(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("got %v, expected that it is forbidden", err)
		}
		role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "reader"},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list"}}}}
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "reader"},
			RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "reader"},
			Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: "operator"}},
		}
		if _, err := p.clients.RbacV1().Roles(namespace).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.clients.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		// The authorizer hears of it a moment later.
		for {
			_, err := user.CoreV1().Secrets(namespace).List(p.ctx, metav1.ListOptions{})
			if err == nil {
				break
			}
			if !apierrors.IsForbidden(err) {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
		if _, err := user.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("got %v, expected that it is forbidden", err)
		}
	})

	if err := p.in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.program.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "maia-rotate-*")); err != nil || len(left) > 0 {
		t.Errorf("left are %v (%v)", left, err)
	}
}

func TestBadCommand(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := start(t)
	if _, err := fmt.Fprintln(p.in, "not JSON"); err != nil {
		t.Fatal(err)
	}
	if err := p.program.Wait(); err == nil {
		t.Error("it ended without an error")
	}
}
