package gcp

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// watch makes events of what the function does.
func (w *World) watch(ctx context.Context) error {
	secrets, err := w.Clients.CoreV1().Secrets(w.namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	deployments, err := w.Clients.AppsV1().Deployments(w.namespace).Watch(ctx,
		metav1.ListOptions{FieldSelector: "metadata.name=" + Deployment})
	if err != nil {
		secrets.Stop()
		return err
	}
	w.working.Go(func() { w.watchSecrets(ctx, secrets) })
	w.working.Go(func() { w.watchDeployment(ctx, deployments) })
	return nil
}

// each does something with what a watch sees, until there is no more.
func each[T any](ctx context.Context, seen watch.Interface, do func(watch.EventType, T)) {
	defer seen.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event, open := <-seen.ResultChan():
			if !open {
				return
			}
			if object, ok := event.Object.(T); ok {
				do(event.Type, object)
			}
		}
	}
}

func (w *World) watchSecrets(ctx context.Context, seen watch.Interface) {
	live := ""
	states := map[string]string{} // of Helm's revisions
	each(ctx, seen, func(kind watch.EventType, s *corev1.Secret) {
		switch {
		case kind == watch.Deleted:
		case s.Name == Secret:
			if value := string(s.Data["OAUTH_CLIENT_SECRET"]); value != live {
				if live != "" {
					w.Journal.Add(sandbox.FromKubernetes, "stored", "Secret %s has a new value", Secret)
				}
				live = value
			}
		case s.Labels["owner"] == "helm":
			version, status := s.Labels["version"], s.Labels["status"]
			if before := states[version]; before != status {
				states[version] = status
				w.onRevision(version, before, status)
			}
		}
	})
}

func (w *World) onRevision(version, before, status string) {
	switch {
	case before == "" && status == "deployed": // the one that was installed
	case status == "pending-upgrade":
		w.Journal.Add(sandbox.FromHelm, "upgrade-begun", "an upgrade begins: revision %s", version)
	case status == "deployed":
		w.Journal.Add(sandbox.FromHelm, "upgraded", "revision %s is deployed", version)
	case status == "failed":
		w.Journal.Fail(sandbox.FromHelm, "upgrade-failed", "revision %s is marked as failed", version)
	}
}

// marks are the annotations of a pod template that restart it.
type marks struct{ ours, kubectls string }

func (w *World) watchDeployment(ctx context.Context, seen watch.Interface) {
	var last *marks
	each(ctx, seen, func(_ watch.EventType, d *appsv1.Deployment) {
		annotations := d.Spec.Template.Annotations
		now := marks{annotations["maia-rotate/restarted-at"], annotations["kubectl.kubernetes.io/restartedAt"]}
		if last != nil && *last != now {
			w.Journal.Add(sandbox.FromKubernetes, "restart-ordered", "restart ordered: the pod template has a new mark")
		}
		last = &now
	})
}
