package gcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// liveSecret is what a pod that starts now would read.
func (w *World) liveSecret(ctx context.Context) (clientID, secret string, err error) {
	found, err := w.Clients.CoreV1().Secrets(w.namespace).Get(ctx, Secret, metav1.GetOptions{})
	if err != nil {
		return "", "", err
	}
	return string(found.Data["OAUTH_CLIENT_ID"]), string(found.Data["OAUTH_CLIENT_SECRET"]), nil
}

// deployed is the release's deployed revision.
func (w *World) deployed() (*release.Release, error) { return w.helm.Releases.Deployed(Release) }

// declaredSecret is the deployed revision's.
func (w *World) declaredSecret() (string, error) {
	deployed, err := w.deployed()
	if err != nil {
		return "", err
	}
	value, err := chartutil.Values(deployed.Config).PathValue("config.oauthClientSecret")
	if err != nil {
		return "", err
	}
	return fmt.Sprint(value), nil
}

// otherValues are those that a rotation must not change, and the chart.
func (w *World) otherValues() (string, error) {
	deployed, err := w.deployed()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(deployed.Config)
	if err != nil {
		return "", err
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		return "", err
	}
	delete(values["config"].(map[string]any), "oauthClientSecret")
	text, err = json.Marshal([]any{values, deployed.Chart.Values, deployed.Chart.Metadata})
	return string(text), err
}

func (w *World) deployment(ctx context.Context) (*appsv1.Deployment, error) {
	return w.Clients.AppsV1().Deployments(w.namespace).Get(ctx, Deployment, metav1.GetOptions{})
}

// livePods are those that do not end.
func (w *World) livePods(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := w.Clients.CoreV1().Pods(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

func names(pods []corev1.Pod) []string {
	all := make([]string, len(pods))
	for i, pod := range pods {
		all[i] = pod.Name
	}
	return all
}

// connected reports whether every pod that does not end has its connection.
func (w *World) connected(ctx context.Context) bool {
	pods, err := w.livePods(ctx)
	return err == nil && w.pods.connected(names(pods))
}

// startedWith reports whether every pod that does not end was started with a secret.
func (w *World) startedWith(ctx context.Context, secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	pods, err := w.livePods(ctx)
	return err == nil && len(pods) == w.replicas() && !slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Annotations["runner.test/secret-sha256"] != hex.EncodeToString(sum[:])
	})
}

// storeIsMaia reports whether the Secret and the release hold what Maia holds.
func (w *World) storeIsMaia(ctx context.Context) bool {
	clientID, secret, err := w.liveSecret(ctx)
	declared, declaredErr := w.declaredSecret()
	live := w.Maia.LiveSecret(sandbox.AgentID)
	return err == nil && declaredErr == nil && clientID == sandbox.ClientID && secret == live && declared == live
}

// shown is what those can read who may not read Secrets, what Helm says of its revisions, and the events.
func (w *World) shown(ctx context.Context) ([]byte, error) {
	var shown bytes.Buffer
	encoder := json.NewEncoder(&shown)
	secrets, err := w.Clients.CoreV1().Secrets(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		secret.Data = nil
		_ = encoder.Encode(secret)
	}
	lists := []func() (any, error){
		func() (any, error) {
			return w.Clients.AppsV1().Deployments(w.namespace).List(ctx, metav1.ListOptions{})
		},
		func() (any, error) {
			return w.Clients.AppsV1().ReplicaSets(w.namespace).List(ctx, metav1.ListOptions{})
		},
		func() (any, error) { return w.Clients.CoreV1().Pods(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) { return w.Clients.CoreV1().ConfigMaps(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) { return w.Clients.CoreV1().Events(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) {
			return w.Clients.CoordinationV1().Leases(w.namespace).List(ctx, metav1.ListOptions{})
		},
	}
	for _, list := range lists {
		found, err := list()
		if err != nil {
			return nil, err
		}
		_ = encoder.Encode(found) // plain data
	}
	history, err := w.helm.Releases.History(Release)
	if err != nil {
		return nil, err
	}
	for _, revision := range history {
		_ = encoder.Encode([]any{revision.Info.Description, revision.Info.Notes, revision.Labels})
	}
	return shown.Bytes(), nil
}

// Back reports whether the Secret and the release hold what Maia holds, and that the runner's pods are connected with it.
func (w *World) Back(ctx context.Context) bool {
	_, connected := w.Maia.Actual(sandbox.AgentID)
	return connected && w.storeIsMaia(ctx) && w.connected(ctx) && w.startedWith(ctx, w.Maia.LiveSecret(sandbox.AgentID))
}

// Namespace is the runner's.
func (w *World) Namespace() string { return w.namespace }

// Started is how many pods have ever started.
func (w *World) Started() int { return w.pods.count() }
