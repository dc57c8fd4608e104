package gcp

import (
	"context"
	"encoding/json"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// otherSecret is one in the runner's namespace that is nobody's business.
const otherSecret = "another"

func (w *World) addOtherSecret(ctx context.Context) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: otherSecret},
		StringData: map[string]string{"OAUTH_CLIENT_SECRET": "another-one"}}
	_, err := w.Clients.CoreV1().Secrets(w.namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// untouched is all in the namespace that a rotation must not change, to the byte: of what it does change the rest.
func (w *World) untouched(ctx context.Context) (string, error) {
	var all []any
	core := w.Clients.CoreV1()
	secrets, err := core.Secrets(w.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, secret := range secrets.Items {
		switch {
		case secret.Name == Secret:
			delete(secret.Data, "OAUTH_CLIENT_SECRET")
			secret.ManagedFields, secret.ResourceVersion = nil, ""
		case secret.Labels["owner"] == "helm":
			continue
		}
		all = append(all, secret)
	}
	d, err := w.deployment(ctx)
	if err != nil {
		return "", err
	}
	maps.DeleteFunc(d.Spec.Template.Annotations, func(key, _ string) bool { return strings.HasPrefix(key, "maia-rotate/") })
	d.Spec.Replicas = nil // proved apart
	all = append(all, d.Labels, d.Spec)
	for _, list := range []func() (any, error){
		func() (any, error) { return core.ServiceAccounts(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) { return core.Services(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) { return core.ConfigMaps(w.namespace).List(ctx, metav1.ListOptions{}) },
		func() (any, error) {
			return w.Clients.AutoscalingV2().HorizontalPodAutoscalers(w.namespace).List(ctx, metav1.ListOptions{})
		},
		func() (any, error) {
			return w.Clients.NetworkingV1().NetworkPolicies(w.namespace).List(ctx, metav1.ListOptions{})
		},
		func() (any, error) { return w.Clients.RbacV1().Roles(w.namespace).List(ctx, metav1.ListOptions{}) },
	} {
		found, err := list()
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(found)
		if err != nil {
			return "", err
		}
		var parsed struct{ Items any } // without the version of the list, which is the cluster's
		if err := json.Unmarshal(text, &parsed); err != nil {
			return "", err
		}
		all = append(all, parsed.Items)
	}
	text, err := json.Marshal(all)
	return string(text), err
}
