package helmrelease_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

func mayI(ctx context.Context, clients *kubernetes.Clientset, namespace, verb, group, resource string) (bool, error) {
	review, err := clients.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// withField adds a field to the JSON of a release's record.
func withField(t *testing.T, record []byte, field string) []byte {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(string(record))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, _ = writer.Write(append([]byte("{"+field+","), text[1:]...)) // to memory
	_ = writer.Close()
	return []byte(base64.StdEncoding.EncodeToString(out.Bytes()))
}

// sets is how many templates the runner's pods have had.
func (r *rig) sets() int {
	r.t.Helper()
	sets, err := r.clients.AppsV1().ReplicaSets(r.namespace).List(r.t.Context(), metav1.ListOptions{})
	r.must(err)
	return len(slices.DeleteFunc(sets.Items, func(s appsv1.ReplicaSet) bool { return !strings.HasPrefix(s.Name, appDeployment) }))
}

// TestWhatACarefulOperatorWouldLeave checks what helm and kubectl show after a rotation.
func TestWhatACarefulOperatorWouldLeave(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, change := range map[string]func(map[string]any){
		"the vendor's way": func(map[string]any) {},
		"a checksum in the pod template, by which the upgrade restarts": func(values map[string]any) { values["podChecksum"] = true },
		"a script runner": func(values map[string]any) { values["scriptRunner"] = map[string]any{"enabled": true} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p, change)
			script := strings.Contains(name, "script")
			if script {
				r.allowServices()
				r.scaleScriptRunner(4)
			}
			r.connect()
			first, setsBefore := r.maia.LiveSecret(rigAgent), r.sets()
			before, err := r.helm.Releases.Last(releaseName)
			r.must(err)
			r.rotated()
			setsBefore++ // rotated restarts once, to connect

			after, err := r.helm.Releases.Last(releaseName)
			r.must(err)
			live := r.maia.LiveSecret(rigAgent)
			if got, want := asJSON(after.Config), strings.ReplaceAll(asJSON(before.Config), first, live); got != want {
				t.Errorf("helm get values shows\n%s\nexpected\n%s", got, want)
			}
			if strings.Contains(asJSON(after.Chart.Values), first) || asJSON(after.Chart.Values) != asJSON(before.Chart.Values) {
				t.Error("the stored chart's own values are not what they were")
			}
			if after.Version != before.Version+1 || after.Info.Status != release.StatusDeployed ||
				after.Info.Description != "Credentials rotated by maia-rotate" {
				t.Errorf("helm history shows revision %d, %s, %q", after.Version, after.Info.Status, after.Info.Description)
			}
			if old, err := r.helm.Releases.Get(releaseName, before.Version); err != nil || old.Info.Status != release.StatusSuperseded {
				t.Errorf("the revision before is not superseded: %v", err)
			}
			if got := r.sets() - setsBefore; got != 1 {
				t.Errorf("the rotation has restarted the pods %d times, expected once", got)
			}
			deployment, err := r.deployment()
			r.must(err)
			if *deployment.Spec.Replicas != scaledTo {
				t.Errorf("there are %d replicas, expected %d", *deployment.Spec.Replicas, scaledTo)
			}
			if script && r.scriptRunners() != 4 {
				t.Errorf("the script runner has %d replicas, expected 4", r.scriptRunners())
			}
			kept, err := r.kept()
			r.must(err)
			for _, secret := range []string{first, live} {
				if strings.Contains(kept, secret) {
					t.Error("a secret is in descriptions, labels or annotations")
				}
			}
			if !slices.ContainsFunc(deployment.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "helm" }) {
				t.Error("nothing of the Deployment is managed by helm any more")
			}
			secret, err := r.secret()
			r.must(err)
			if secret != live {
				t.Error("the Secret does not hold what Maia holds")
			}
		})
	}
}

func (r *rig) allowServices() {
	r.t.Helper()
	role, err := r.clients.RbacV1().Roles(r.namespace).Get(r.t.Context(), "maia-rotate", metav1.GetOptions{})
	r.must(err)
	role.Rules = append(role.Rules, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services"},
		Verbs: []string{"get", "patch"}})
	_, err = r.clients.RbacV1().Roles(r.namespace).Update(r.t.Context(), role, metav1.UpdateOptions{})
	r.must(err)
}

const scriptDeployment = releaseName + "-matillion-runner-script-runner"

func (r *rig) scaleScriptRunner(n int) {
	r.t.Helper()
	_, err := r.clients.AppsV1().Deployments(r.namespace).Patch(r.t.Context(), scriptDeployment, types.MergePatchType,
		fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{}, "scale")
	r.must(err)
}

func (r *rig) scriptRunners() int32 {
	r.t.Helper()
	found, err := r.clients.AppsV1().Deployments(r.namespace).Get(r.t.Context(), scriptDeployment, metav1.GetOptions{})
	r.must(err)
	return *found.Spec.Replicas
}

// TestOperatorsUpgradeAfterwards upgrades as an operator does, after a rotation: the new secret stays, and nothing is
// restarted that need not be.
func TestOperatorsUpgradeAfterwards(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, flags := range map[string]func(*action.Upgrade){
		"--reuse-values":            func(u *action.Upgrade) { u.ReuseValues = true },
		"--reset-then-reuse-values": func(u *action.Upgrade) { u.ResetThenReuseValues = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.rotated()
			live, sets := r.maia.LiveSecret(rigAgent), r.sets()
			upgraded := r.operatorsUpgrade(map[string]any{"ours": map[string]any{"text": "changed"}}, flags)
			if secret, err := r.secret(); err != nil || secret != live || declared(upgraded) != live {
				t.Errorf("the upgrade has brought another secret back: %v", err)
			}
			if r.sets() != sets {
				t.Error("the upgrade has restarted the pods")
			}
		})
	}
}

// TestHistoryIsBounded has Helm keep ten revisions, as its command does.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	for range 11 {
		r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues = true })
	}
	r.must(r.scale(scaledTo))
	r.rotated()
	history, err := r.helm.Releases.History(releaseName)
	r.must(err)
	if len(history) != 10 {
		t.Errorf("%d revisions are kept, expected 10", len(history))
	}
}
