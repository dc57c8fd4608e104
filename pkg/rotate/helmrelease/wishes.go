package helmrelease

import (
	"context"
	"encoding/json"
	"fmt"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// wishesAnnotation of the Lease has, as JSON, what operators have asked for. A run that writes the Lease leaves it as it is.
const wishesAnnotation = "maia-rotate/wishes"

func wishesOf(lease *coordinationv1.Lease) (rotate.Wishes, error) {
	text, ok := lease.Annotations[wishesAnnotation]
	if !ok {
		return rotate.Wishes{}, nil
	}
	wishes, err := rotate.ParseWishes([]byte(text))
	if err != nil {
		return wishes, fmt.Errorf("annotation %s of Lease %s: %w", wishesAnnotation, lease.Name, err)
	}
	return wishes, nil
}

// wishes are what operators have asked for, as last read.
func (l *lock) wishes() rotate.Wishes {
	defer l.lease.Use()()
	wishes, err := wishesOf(l.seen)
	if err != nil {
		return rotate.Unread(err)
	}
	return wishes
}

// Wish changes what operators have asked for of the runner. Runs that are at work see it. Where the Lease is written at the same time,
// the change is made to what was written.
func (r *Runner) Wish(ctx context.Context, change func(*rotate.Wishes)) error {
	leases, name := r.lock.leases, r.lock.name
	for try := 0; ; try++ {
		lease, err := leases.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			lease, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}},
				metav1.CreateOptions{FieldManager: fieldManager})
		}
		if err == nil {
			err = changeWishes(ctx, leases, lease, change)
		}
		switch {
		case err == nil:
			return nil
		case try == maxTries, !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err):
			return r.failure("write Lease "+name, err)
		}
	}
}

func changeWishes(ctx context.Context, leases client.LeaseInterface, lease *coordinationv1.Lease, change func(*rotate.Wishes)) error {
	wishes, _ := wishesOf(lease) // what cannot be read is replaced
	change(&wishes)
	text, err := json.Marshal(wishes)
	if err != nil {
		return err
	}
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[wishesAnnotation] = string(text)
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: fieldManager})
	return err
}
