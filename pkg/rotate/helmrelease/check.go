package helmrelease

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Check implements [rotate.Runner]. Reads were proved by Observe, writes of the Lease are by the note.
func (r *Runner) Check(ctx context.Context) error {
	if r.seen.last.Info.Status.IsPending() && r.cutOff() == nil {
		return r.busyRelease()
	}
	if err := r.checkWriters(); err != nil {
		return err
	}
	for _, d := range r.seen.deployments {
		if d.Spec.Paused {
			return rotate.Errorf(rotate.Configuration, "Deployment %s is paused: a restart would not begin", d.Name).
				WithHint("kubectl rollout resume deployment %s --namespace %s", d.Name, r.config.Namespace)
		}
		if err := r.checkOverrides(ctx, d); err != nil {
			return err
		}
	}
	if err := r.checkOtherReaders(); err != nil {
		return err
	}
	if err := r.checkNextRecord(ctx); err != nil {
		return err
	}
	trial := r.cluster.rehearsal()
	objects, err := r.objects(trial, r.seen.base.Manifest)
	if err != nil {
		return err
	}
	if err := r.checkTenancy(objects); err != nil {
		return err
	}
	if err := r.checkRights(ctx, objects); err != nil {
		return err
	}
	if err := r.checkObjects(ctx, objects); err != nil {
		return err
	}
	if err := r.dryRunPatches(ctx); err != nil {
		return err
	}
	return r.dryRun(ctx, trial, objects)
}

// objects are those of a manifest as Helm finds them: each in its own namespace, or in none. They are bound to the rehearsal, so
// that what is done with them has no effect.
func (r *Runner) objects(trial *rehearsal, manifest string) (kube.ResourceList, error) {
	objects, err := trial.helm.Build(strings.NewReader(manifest), false)
	if meta.IsNoMatchError(err) {
		return nil, rotate.Errorf(rotate.Configuration, "the cluster does not know a kind of object that release %s has: %s",
			r.config.Release, r.redact(err.Error())).
			WithHint("upgrade the release with a chart for this version of the cluster")
	} else if err != nil {
		return nil, r.failure("find the objects of release "+r.config.Release, err)
	}
	return objects, nil
}

// checkObjects refuses a release of which an object is gone: an upgrade would create it, which the function may not.
func (r *Runner) checkObjects(ctx context.Context, objects kube.ResourceList) error {
	for _, one := range objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := nameOf(one)
		// Not by the object's own Get, which would replace what the release says with the live object.
		if _, err := resource.NewHelper(one.Client, one.Mapping).Get(one.Namespace, one.Name); apierrors.IsNotFound(err) {
			return rotate.Errorf(rotate.Configuration, "%s of release %s is gone from the cluster", name, r.config.Release).
				WithHint("bring it back with helm upgrade --reuse-values; if it is not wanted, have the chart leave it out")
		} else if err != nil {
			return r.failure("read "+name, err)
		}
	}
	return nil
}

// nameOf is an object's kind and name, with its namespace if it is in one.
func nameOf(object *resource.Info) string {
	name := object.Mapping.GroupVersionKind.Kind + " " + object.Name
	if object.Namespace != "" {
		name += " in namespace " + object.Namespace
	}
	return name
}

// checkOtherReaders refuses a release in which something reads the Secret and would not be restarted.
func (r *Runner) checkOtherReaders() error {
	for _, one := range r.seen.manifest {
		if !slices.Contains([]string{"StatefulSet", "DaemonSet", "ReplicaSet", "Pod", "Job", "CronJob"}, one.Kind) {
			continue
		}
		pods, err := one.pods()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(pods, func(pod corev1.PodSpec) bool { return reads(pod, r.seen.secretName) }) {
			return rotate.Errorf(rotate.Configuration, "%s %s of release %s reads Secret %s, and only Deployments are restarted", one.Kind,
				one.Name, r.config.Release, r.seen.secretName).
				WithHint("run the runner as a Deployment")
		}
	}
	return nil
}

// dryRunPatches has the server itself try, without effect, what an upgrade and a restart will change: an immutable Secret
// or an admission policy shows here.
func (r *Runner) dryRunPatches(ctx context.Context) error {
	options := metav1.PatchOptions{FieldManager: fieldManager, DryRun: []string{metav1.DryRunAll}}
	patch := secretPatch(placeholder)
	if _, err := r.clients.CoreV1().Secrets(r.config.Namespace).Patch(ctx, r.seen.secretName, types.StrategicMergePatchType, patch,
		options); err != nil {
		return r.dryRunFailure("dry run of a change of Secret "+r.seen.secretName, err)
	}
	ordered := newOrder(placeholder, r.seen.secretVersion, time.Now())
	for _, d := range r.seen.deployments {
		if _, err := r.patchMark(ctx, d.Name, ordered, options); err != nil {
			return r.dryRunFailure("dry run of a restart of Deployment "+d.Name, err)
		}
	}
	return nil
}

// dryRunFailure is the error of a dry run. The rotation itself would fail likewise, so what the cluster or the chart says must be
// put right.
func (r *Runner) dryRunFailure(what string, err error) error {
	failed := r.failure(what, err)
	var typed *rotate.Error
	if errors.As(failed, &typed) && typed.Kind == rotate.Internal {
		typed.Kind, typed.Hint = rotate.Configuration, "put right what it says; nothing is refreshed until the dry run succeeds"
	}
	return failed
}

// right is what a rotation does in the cluster.
type right struct {
	verb      string
	of        schema.GroupResource
	namespace string // empty: of the cluster
	name      string // empty: of any name
}

// rights are all that a rotation may need.
func (r *Runner) rights(objects kube.ResourceList) []right {
	here := r.config.Namespace
	secrets, deployments := schema.GroupResource{Resource: "secrets"}, schema.GroupResource{Group: "apps", Resource: "deployments"}
	leases := schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}
	rights := []right{
		{"list", secrets, here, ""}, {"get", secrets, here, ""}, {"create", secrets, here, ""}, {"update", secrets, here, ""}, {"delete",
			secrets, here, ""},
		{"list", schema.GroupResource{Group: "apps", Resource: "replicasets"}, here, ""}, {"list", schema.GroupResource{Resource: "pods"},
			here, ""},
		{"get", leases, here, r.lock.name}, {"create", leases, here, ""}, {"update", leases, here, r.lock.name},
	}
	for _, d := range r.seen.deployments {
		rights = append(rights, right{"get", deployments, here, d.Name}, right{"patch", deployments, here, d.Name})
	}
	for _, one := range objects {
		for _, verb := range []string{"get", "patch"} {
			if needed := (right{verb, one.Mapping.Resource.GroupResource(), one.Namespace, one.Name}); !slices.Contains(rights, needed) {
				rights = append(rights, needed)
			}
		}
	}
	return rights
}

// checkRights asks the cluster for each right, and reports all that are missing.
func (r *Runner) checkRights(ctx context.Context, objects kube.ResourceList) error {
	var missing []string
	for _, needed := range r.rights(objects) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: needed.namespace, Verb: needed.verb, Group: needed.of.Group, Resource: needed.of.Resource, Name: needed.name,
			},
		}}
		answer, err := r.clients.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return r.failure("ask the cluster whether the function may "+needed.verb+" "+needed.of.String(), err)
		}
		if !answer.Status.Allowed {
			missing = append(missing, strings.TrimSpace(needed.verb+" "+needed.of.String()+" "+needed.name))
		}
	}
	if len(missing) > 0 {
		return rotate.Errorf(rotate.Permission, "the function may not %s in namespace %s", strings.Join(missing, ", "), r.config.Namespace).
			WithHint("add it to the function's Role (deploy/gcp/kubernetes/rbac.yaml has all that it needs for the vendor's chart, the rule " +
				"for its script runner commented out)")
	}
	return nil
}

// secretHolding is the name of the Secret in the manifest whose client_secret is this one; empty if there is none.
func (m manifest) secretHolding(secret maia.Secret) (string, error) {
	deployments, err := all[appsv1.Deployment](m, "Deployment")
	if err != nil {
		return "", err
	}
	name, err := m.secretOf(secret, deployments)
	if rotate.KindOf(err) == rotate.Configuration {
		return "", nil
	}
	return name, err
}
