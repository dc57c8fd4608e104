package controlplane

import (
	"context"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// AwaitAllowed waits until a user may do something in a namespace: the API server hears of a Role a moment after it was applied.
func AwaitAllowed(ctx context.Context, user *rest.Config, namespace, verb, group, resource string) error {
	clients, err := kubernetes.NewForConfig(user)
	if err != nil {
		return fmt.Errorf("controlplane: %w", err)
	}
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: group, Resource: resource},
	}}
	for {
		answer, err := clients.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && answer.Status.Allowed {
			return nil
		}
		select {
		case <-time.After(settlePoll):
		case <-ctx.Done():
			return fmt.Errorf("controlplane: waited until %s %s is allowed in namespace %s: %w", verb, resource, namespace, ctx.Err())
		}
	}
}
