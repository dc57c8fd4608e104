package helmrelease_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/maia-rotate/maia-rotate/internal/runnerchart"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/helmrelease"
)

var metaListOptions = metav1.ListOptions{}

// record changes the newest record of the release.
func (r *rig) record(change func(*release.Release)) {
	r.t.Helper()
	last, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	change(last)
	r.must(r.helm.Releases.Update(last))
}

// next adds a revision in a state, as another writer's operation has left it.
func (r *rig) next(status release.Status, change func(*release.Release)) {
	r.t.Helper()
	last, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	info := *last.Info
	info.Status = status
	next := &release.Release{
		Name: last.Name, Namespace: last.Namespace, Version: last.Version + 1, Info: &info,
		Chart: last.Chart, Config: last.Config, Manifest: last.Manifest,
	}
	if change != nil {
		change(next)
	}
	r.must(r.helm.Releases.Create(next))
}

func (r *rig) annotate(name, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	_, err := r.clients.CoreV1().Namespaces().Patch(context.Background(), r.namespace, types.MergePatchType, []byte(patch),
		metav1.PatchOptions{})
	return err
}

// patchDeployment changes the runner's Deployment, and waits for what comes of it.
func (r *rig) patchDeployment(patch string) {
	r.t.Helper()
	_, err := r.clients.AppsV1().Deployments(r.namespace).Patch(r.t.Context(), appDeployment, types.StrategicMergePatchType,
		[]byte(patch), metav1.PatchOptions{})
	r.must(err)
	_, err = r.settled()
	r.must(err)
}

// set puts a value into a table of the values.
func set(values map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		values = values[key].(map[string]any)
	}
	values[path[len(path)-1]] = value
}

// refusal is a case of TestRefused.
type refusal struct {
	values  func(map[string]any)
	prepare func(*rig)
	config  []func(*helmrelease.Config)
	kind    rotate.Kind
	words   []string
}

// otherReader is a release with something else than a Deployment that reads the Secret.
func otherReader(version, kind, spec string) refusal {
	pod := "{containers: [{name: one, image: registry.test/one, envFrom: [{secretRef: {name: " + configSecret + "}}]}]}"
	document := fmt.Sprintf("---\napiVersion: %s\nkind: %s\nmetadata: {name: reader}\nspec: "+spec+"\n", version, kind, pod)
	return refusal{
		prepare: func(r *rig) { r.record(func(rel *release.Release) { rel.Manifest += document }) },
		kind:    rotate.Configuration, words: []string{kind + " reader", "reads Secret " + configSecret, "only Deployments are restarted"},
	}
}

// TestRefused is what must be refused with a clear error, and nothing refreshed or changed.
func TestRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	config := func(change func(*helmrelease.Config)) []func(*helmrelease.Config) {
		return []func(*helmrelease.Config){change}
	}
	for name, test := range map[string]refusal{
		"another release": {
			config: config(func(c *helmrelease.Config) { c.Release = "missing" }),
			kind:   rotate.Configuration, words: []string{"there is no release missing in namespace runner-"},
		},
		"uninstalled": {
			prepare: func(r *rig) { r.record(func(rel *release.Release) { rel.Info.Status = release.StatusUninstalled }) },
			kind:    rotate.Configuration, words: []string{"is uninstalled", "the function's configuration"},
		},
		"pending install": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) { rel.Info.Status = release.StatusPendingInstall })
			},
			kind: rotate.NotReady, words: []string{"is pending-install and has no deployed revision"},
		},
		"pending upgrade of another writer": {
			prepare: func(r *rig) { r.next(release.StatusPendingUpgrade, nil) },
			kind:    rotate.NotReady, words: []string{"another Helm operation on release matillion-agent", "in progress"},
		},
		"pending rollback of another writer": {
			prepare: func(r *rig) { r.next(release.StatusPendingRollback, nil) },
			kind:    rotate.NotReady, words: []string{"another Helm operation on release matillion-agent"},
		},
		"no chart in the record": {
			prepare: func(r *rig) { r.record(func(rel *release.Release) { rel.Chart = nil }) },
			kind:    rotate.Configuration, words: []string{"revision 1", "holds no chart"},
		},
		"record that cannot be read": {
			prepare: func(r *rig) {
				_, err := r.clients.CoreV1().Secrets(r.namespace).Patch(r.t.Context(), "sh.helm.release.v1."+releaseName+".v1", types.MergePatchType,
					[]byte(`{"data":{"release":"bm90IGEgcmVjb3Jk"}}`), metav1.PatchOptions{})
				r.must(err)
			},
			kind: rotate.Configuration, words: []string{"no revision of it that Helm can read"},
		},
		"place of the next record is taken": {
			prepare: func(r *rig) {
				_, err := r.clients.CoreV1().Secrets(r.namespace).Create(r.t.Context(), &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1." + releaseName + ".v2"},
					Data:       map[string][]byte{"release": []byte("not a record")},
				}, metav1.CreateOptions{})
				r.must(err)
			},
			kind: rotate.NotReady, words: []string{
				"Secret sh.helm.release.v1." + releaseName + ".v2 is where Helm keeps the next revision of release"},
		},
		"broken template in the stored chart": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) {
					rel.Chart.Templates = append(rel.Chart.Templates,
						&chart.File{Name: "templates/broken.yaml", Data: []byte("{{ .Values.nothing.here }}")})
				})
			},
			kind: rotate.Configuration, words: []string{"the chart of release matillion-agent cannot be rendered with its values at " +
				"matillion-runner/templates/broken.yaml:1:"},
		},
		"subcharts": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) {
					rel.Chart.Metadata.Dependencies = []*chart.Dependency{{Name: "another", Version: "1"}}
				})
			},
			kind: rotate.Configuration, words: []string{"subcharts"},
		},
		"manifest that is not YAML": {
			prepare: func(r *rig) { r.record(func(rel *release.Release) { rel.Manifest = "a: b: c\n" + rel.Manifest }) },
			kind:    rotate.Configuration, words: []string{"manifest is not YAML"},
		},
		"no such value": {
			config: config(func(c *helmrelease.Config) { c.SecretPath = "config.somethingElse" }),
			kind:   rotate.Configuration, words: []string{"has no value config.somethingElse"},
		},
		"value that is a table": {
			config: config(func(c *helmrelease.Config) { c.SecretPath = "dpcAgent.dpcAgent" }),
			kind:   rotate.Configuration, words: []string{"dpcAgent.dpcAgent", "expected a string that is not empty"},
		},
		"value that is a number": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) { set(rel.Config, 7, "config", "oauthClientSecret") })
			},
			kind: rotate.Configuration, words: []string{"config.oauthClientSecret", "expected a string that is not empty"},
		},
		"value that is another one's": {
			config: config(func(c *helmrelease.Config) { c.SecretPath = "config.extra" }),
			kind:   rotate.Configuration, words: []string{"no Deployment that reads OAUTH_CLIENT_SECRET from a Secret of the release which " +
				"holds the configured value"},
		},
		"path that is none": {
			config: config(func(c *helmrelease.Config) { c.SecretPath = "config..secret" }),
			kind:   rotate.Configuration, words: []string{`"config..secret" is not a path of values`},
		},
		"another client ID": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) { set(rel.Config, "another", "config", "oauthClientId") })
			},
			kind: rotate.Configuration, words: []string{`holds the client ID "runner-client"`, `say "another"`},
		},
		"agent ID that is none": {
			values: func(values map[string]any) { set(values, "not-a-uuid", "dpcAgent", "dpcAgent", "env", "agentId") },
			kind:   rotate.Configuration, words: []string{"dpcAgent.dpcAgent.env.agentId", `"not-a-uuid"`, "UUID"},
		},
		"agent ID of the pods that is none": {
			values: func(values map[string]any) {
				set(values, "<MatillionAgentId>", "dpcAgent", "dpcAgent", "env", "agentId")
				set(values, []any{map[string]any{"name": "AGENT_ID", "value": "<MatillionAgentId>"}}, "dpcAgent", "dpcAgent", "env", "direct")
			},
			kind: rotate.Configuration, words: []string{"names agent \"<MatillionAgentId>\"", "AGENT_ID", "UUID"},
		},
		"pods that get another agent than the values": {
			values: func(values map[string]any) {
				set(values, []any{map[string]any{"name": "AGENT_ID", "value": anotherAgent}}, "dpcAgent", "dpcAgent", "env", "direct")
			},
			kind: rotate.Configuration, words: []string{"name agent " + rigAgent, "get " + anotherAgent},
		},
		"containers that get several agents": {
			prepare: func(r *rig) {
				r.patchDeployment(`{"spec":{"template":{"spec":{"containers":[{"name":"more","image":"registry.test/more",` +
					`"env":[{"name":"AGENT_ID","value":"` + anotherAgent + `"}],"envFrom":[{"secretRef":{"name":"` + configSecret + `"}}]}]}}}}`)
			},
			kind: rotate.Configuration, words: []string{"several values of AGENT_ID", rigAgent, anotherAgent},
		},
		"Pod that reads the Secret":         otherReader("v1", "Pod", "%s"),
		"StatefulSet that reads the Secret": otherReader("apps/v1", "StatefulSet", "{template: {spec: %s}}"),
		"Job that reads the Secret":         otherReader("batch/v1", "Job", "{template: {spec: %s}}"),
		"CronJob that reads the Secret":     otherReader("batch/v1", "CronJob", "{jobTemplate: {spec: {template: {spec: %s}}}}"),
		"overridden by env.fromSecret": {
			values: func(values map[string]any) {
				set(values, []any{map[string]any{"name": "OAUTH_CLIENT_SECRET", "secret": "foreign", "key": "password"}}, "dpcAgent",
					"dpcAgent", "env", "fromSecret")
			},
			kind: rotate.Configuration, words: []string{"gets OAUTH_CLIENT_SECRET from elsewhere", "env.fromSecret"},
		},
		"Deployment that is paused": {
			prepare: func(r *rig) { r.patchDeployment(`{"spec":{"paused":true}}`) },
			kind:    rotate.Configuration, words: []string{"is paused", "kubectl rollout resume"},
		},
		"scaled to zero": {
			prepare: func(r *rig) { r.patchDeployment(`{"spec":{"replicas":0}}`) },
			kind:    rotate.NotReady, words: []string{"scaled to zero"},
		},
		"in the middle of a rollout": {
			prepare: func(r *rig) {
				r.must(r.annotate("runner.test/hang", "true"))
				r.patchDeployment(`{"spec":{"template":{"metadata":{"annotations":{"by":"operator"}}}}}`)
			},
			kind: rotate.NotReady, words: []string{"Insufficient cpu", "old pods that take their time to end may hold its place"},
		},
		"Secret that is immutable": {
			prepare: func(r *rig) {
				_, err := r.clients.CoreV1().Secrets(r.namespace).Patch(r.t.Context(), configSecret, types.MergePatchType,
					[]byte(`{"immutable":true}`), metav1.PatchOptions{})
				r.must(err)
			},
			kind: rotate.Configuration, words: []string{"dry run of a change of Secret " + configSecret, "immutable"},
		},
		"Secret that is gone": {
			prepare: func(r *rig) {
				r.must(r.clients.CoreV1().Secrets(r.namespace).Delete(r.t.Context(), configSecret, metav1.DeleteOptions{}))
			},
			kind: rotate.Configuration, words: []string{"Secret " + configSecret, "is gone", "helm upgrade --reuse-values"},
		},
		"Deployment that is gone": {
			prepare: func(r *rig) {
				r.must(r.clients.AppsV1().Deployments(r.namespace).Delete(r.t.Context(), appDeployment, metav1.DeleteOptions{}))
			},
			kind: rotate.Configuration, words: []string{"Deployment " + appDeployment, "is gone"},
		},
		"HorizontalPodAutoscaler that is gone": {
			prepare: func(r *rig) {
				r.must(r.clients.AutoscalingV2().HorizontalPodAutoscalers(r.namespace).Delete(r.t.Context(), fullName+"-hpa", metav1.DeleteOptions{}))
			},
			kind: rotate.Configuration, words: []string{"HorizontalPodAutoscaler " + fullName + "-hpa in namespace runner-", "is gone",
				"helm upgrade --reuse-values"},
		},
		"NetworkPolicy that is gone": {
			prepare: func(r *rig) {
				r.must(r.clients.NetworkingV1().NetworkPolicies(r.namespace).Delete(r.t.Context(), fullName+"-deny-ingress", metav1.DeleteOptions{}))
			},
			kind: rotate.Configuration, words: []string{"NetworkPolicy " + fullName + "-deny-ingress in namespace runner-", "is gone",
				"helm upgrade --reuse-values"},
		},
		"ServiceAccount that is gone": {
			prepare: func(r *rig) {
				r.must(r.clients.CoreV1().ServiceAccounts(r.namespace).Delete(r.t.Context(), fullName, metav1.DeleteOptions{}))
			},
			kind: rotate.Configuration, words: []string{"ServiceAccount " + fullName + " in namespace runner-", "is gone",
				"helm upgrade --reuse-values"},
		},
		"object that the chart would make today": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) {
					rel.Chart.Templates = append(rel.Chart.Templates,
						&chart.File{Name: "templates/more.yaml", Data: []byte("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: more}")})
				})
			},
			kind: rotate.Configuration, words: []string{"would create or delete ServiceAccount more in namespace runner-",
				"helm upgrade --reuse-values"},
		},
		"object of a kind that the cluster does not know": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) {
					rel.Manifest += "---\napiVersion: example.test/v1\nkind: Unknown\nmetadata: {name: one}\n"
				})
			},
			kind: rotate.Configuration, words: []string{"does not know a kind of object", `no matches for kind "Unknown"`},
		},
		"change that the server does not admit": {
			prepare: func(r *rig) {
				r.record(func(rel *release.Release) { // as if an operator had changed what cannot be changed back
					rel.Chart.Templates = slices.DeleteFunc(rel.Chart.Templates, func(f *chart.File) bool { return f.Name == "templates/hpa.yaml" })
					rel.Chart.Templates = append(rel.Chart.Templates, &chart.File{Name: "templates/hpa.yaml", Data: []byte(
						"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: " + fullName +
							"-hpa}\nspec: {minReplicas: 9, maxReplicas: 3}")})
				})
			},
			kind: rotate.Configuration, words: []string{"dry run of the changes by an upgrade of release matillion-agent", "maxReplicas"},
		},
		"Lease of another run": {
			prepare: func(r *rig) {
				me, seconds, now := "another", int32(3600), metav1.NowMicro()
				_, err := r.clients.CoordinationV1().Leases(r.namespace).Create(r.t.Context(), &coordinationv1.Lease{
					ObjectMeta: metav1.ObjectMeta{Name: leaseOfRelease},
					Spec:       coordinationv1.LeaseSpec{HolderIdentity: &me, LeaseDurationSeconds: &seconds, RenewTime: &now, AcquireTime: &now},
				}, metav1.CreateOptions{})
				r.must(err)
				go r.renew()
			},
			kind: rotate.NotReady, words: []string{"another run is at work on this runner (another)"},
		},
		"note that cannot be read": {
			prepare: func(r *rig) {
				_, err := r.clients.CoordinationV1().Leases(r.namespace).Create(r.t.Context(), &coordinationv1.Lease{
					ObjectMeta: metav1.ObjectMeta{Name: leaseOfRelease, Annotations: map[string]string{"maia-rotate/note": "{"}},
				}, metav1.CreateOptions{})
				r.must(err)
			},
			kind: rotate.Configuration, words: []string{"maia-rotate/note of Lease " + leaseOfRelease + " cannot be read"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var change []func(map[string]any)
			if test.values != nil {
				change = append(change, test.values)
			}
			r := newRig(t, p, change...)
			if _, err := r.maia.Connect(rigAgent, rigClient, r.maia.LiveSecret(rigAgent)); err != nil {
				t.Fatal(err)
			}
			if test.prepare != nil {
				test.prepare(r)
			}
			r.refused(test.kind, test.words, test.config...)
		})
	}
}

// renew shows that the holder of the Lease is alive, once a second.
func (r *rig) renew() {
	ctx := r.t.Context()
	leases := r.clients.CoordinationV1().Leases(r.namespace)
	for {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
		lease, err := leases.Get(ctx, leaseOfRelease, metav1.GetOptions{})
		if err != nil {
			continue
		}
		now := metav1.NowMicro()
		lease.Spec.RenewTime = &now
		_, _ = leases.Update(ctx, lease, metav1.UpdateOptions{}) // else a second later
	}
}

const anotherAgent = "6a1cf9c1-1111-4222-8333-444455556666"

// TestVariablesOfTheirOwn is a release whose pods get their variables from the list env.direct: the other values are
// placeholders.
func TestVariablesOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p, func(values map[string]any) {
		env := values["dpcAgent"].(map[string]any)["dpcAgent"].(map[string]any)["env"].(map[string]any)
		env["agentId"], env["matillionRegion"] = "<MatillionAgentId>", "<MatillionRegion>"
		env["direct"] = []any{map[string]any{"name": "AGENT_ID", "value": rigAgent}, map[string]any{"name": "MATILLION_REGION", "value": "US1"}}
	})
	runner, err := r.discover()
	r.must(err)
	if runner.AgentID() != rigAgent || runner.Region() != "us1" {
		t.Errorf("agent %q in region %q", runner.AgentID(), runner.Region())
	}
	r.rotated()
}

// TestRoleLackingOneVerb takes one verb at a time out of the shipped Role.
func TestRoleLackingOneVerb(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	if _, err := r.maia.Connect(rigAgent, rigClient, r.maia.LiveSecret(rigAgent)); err != nil {
		t.Fatal(err)
	}
	roles := r.clients.RbacV1().Roles(r.namespace)
	shipped, err := roles.Get(t.Context(), "maia-rotate", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(rules []rbacv1.PolicyRule) {
		t.Helper()
		role, err := roles.Get(t.Context(), "maia-rotate", metav1.GetOptions{})
		r.must(err)
		role.Rules = rules
		_, err = roles.Update(t.Context(), role, metav1.UpdateOptions{})
		r.must(err)
	}
	tried := 0
	for i, rule := range shipped.Rules {
		for _, verb := range rule.Verbs {
			rules := slices.Clone(shipped.Rules)
			rules[i] = *rule.DeepCopy()
			rules[i].Verbs = slices.DeleteFunc(rules[i].Verbs, func(v string) bool { return v == verb })
			rules = slices.DeleteFunc(rules, func(rule rbacv1.PolicyRule) bool { return len(rule.Verbs) == 0 })
			put(rules)
			r.awaitRight(verb, rule.APIGroups[0], rule.Resources[0], false)
			tried++
			r.refused(rotate.Permission, []string{verb, rule.Resources[0], "rbac.yaml"})
			if t.Failed() {
				t.Fatalf("without %s %s", verb, rule.Resources[0])
			}
			put(shipped.Rules)
			r.awaitRight(verb, rule.APIGroups[0], rule.Resources[0], true)
		}
	}
	t.Logf("%d verbs taken away, each is missed before anything is changed", tried)
}

// awaitRight waits until the API server knows of a change of the Role.
func (r *rig) awaitRight(verb, group, resource string, want bool) {
	r.t.Helper()
	clients, err := kubernetes.NewForConfig(r.user)
	r.must(err)
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		allowed, err := mayI(ctx, clients, r.namespace, verb, group, resource)
		r.must(err)
		if allowed == want {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestFailedRevision starts from what Helm starts from: the deployed revision, or the first one though it failed.
func TestFailedRevision(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, prepare := range map[string]func(*rig){
		"after a deployed one": func(r *rig) {
			r.next(release.StatusFailed, func(rel *release.Release) {
				rel.Config = runnerchart.Values(rigAgent, rigClient, "of-an-upgrade-that-failed")
			})
		},
		"the only one": func(r *rig) { r.record(func(rel *release.Release) { rel.Info.Status = release.StatusFailed }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			prepare(r)
			r.rotated()
			last, err := r.helm.Releases.Last(releaseName)
			r.must(err)
			if last.Info.Status != release.StatusDeployed || declared(last) != r.maia.LiveSecret(rigAgent) {
				t.Errorf("revision %d is %s", last.Version, last.Info.Status)
			}
		})
	}
}

// TestReleaseOfHelm4 is one that Helm 4 has upgraded with server-side apply: it works, and a warning is logged.
func TestReleaseOfHelm4(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	if _, err := r.discover(); err != nil || strings.Contains(r.log.String(), "Helm 4") {
		t.Fatalf("a release of Helm 3: %v\n%s", err, r.log.String())
	}
	name := "sh.helm.release.v1." + releaseName + ".v1"
	record, err := r.clients.CoreV1().Secrets(r.namespace).Get(t.Context(), name, metav1.GetOptions{})
	r.must(err)
	record.Data["release"] = withField(t, record.Data["release"], `"apply_method":"ssa"`)
	_, err = r.clients.CoreV1().Secrets(r.namespace).Update(t.Context(), record, metav1.UpdateOptions{})
	r.must(err)
	if _, err := r.discover(); err != nil || strings.Count(r.log.String(), "Helm 4 with server-side apply") != 1 {
		t.Errorf("a release of Helm 4: %v\n%s", err, r.log.String())
	}
}

// operatorsUpgrade is helm upgrade with flags.
func (r *rig) operatorsUpgrade(values map[string]any, flags func(*action.Upgrade)) *release.Release {
	r.t.Helper()
	last, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	upgrade := action.NewUpgrade(r.helm)
	upgrade.Namespace = r.namespace
	flags(upgrade)
	upgraded, err := upgrade.RunWithContext(r.t.Context(), releaseName, last.Chart, values)
	r.must(err)
	_, err = r.settled()
	r.must(err)
	return upgraded
}
