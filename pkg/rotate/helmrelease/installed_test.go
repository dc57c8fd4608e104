package helmrelease_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	"github.com/maia-rotate/maia-rotate/internal/runnerchart"
)

const (
	releaseName    = "matillion-agent"
	fullName       = releaseName + "-matillion-runner"
	configSecret   = fullName + "-config"
	appDeployment  = fullName + "-app"
	leaseOfRelease = "maia-rotate-" + releaseName
	scaledTo       = 3 // the chart says 2
)

// installed is a runner that a release deploys, as its operators see it.
type installed struct {
	namespace string
	admin     *rest.Config
	clients   *kubernetes.Clientset
	helm      *action.Configuration
}

// install makes a namespace with a release, the function's Role, and something foreign.
func (p *place) install(agentID, clientID, secret string, change ...func(values map[string]any)) (*installed, error) {
	ctx := context.Background() // it outlives the bubble that asked for it
	admin := rest.CopyConfig(p.Admin())
	admin.QPS = -1
	clients, err := kubernetes.NewForConfig(admin)
	if err != nil {
		return nil, err
	}
	i := &installed{namespace: fmt.Sprintf("runner-%d", made.Add(1)), admin: admin, clients: clients}
	chart, err := runnerchart.Load()
	if err != nil {
		return nil, err
	}
	values := runnerchart.Values(agentID, clientID, secret)
	for _, change := range change {
		change(values)
	}
	if err := runnerchart.Install(ctx, admin, i.namespace, releaseName, chart, values); err != nil {
		return nil, err
	}
	shipped, err := shippedRole(i.namespace)
	if err != nil {
		return nil, err
	}
	if err := controlplane.ApplyYAML(ctx, admin, shipped); err != nil {
		return nil, err
	}
	if err := controlplane.AwaitAllowed(ctx, p.user, i.namespace, "patch", "apps", "deployments"); err != nil {
		return nil, err
	}
	i.helm = i.configuration()
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}, StringData: map[string]string{"password": "of another"}}
	if _, err := clients.CoreV1().Secrets(i.namespace).Create(ctx, other, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	if err := i.scale(scaledTo); err != nil {
		return nil, err
	}
	_, err = i.settled()
	return i, err
}

func (i *installed) configuration() *action.Configuration {
	silent := func(string, ...any) {}
	flags := genericclioptions.NewConfigFlags(false).WithWrapConfigFn(func(*rest.Config) *rest.Config { return rest.CopyConfig(i.admin) })
	flags.Namespace = &i.namespace
	client := kube.New(flags)
	client.Namespace = i.namespace
	stored := storage.Init(driver.NewSecrets(i.clients.CoreV1().Secrets(i.namespace)))
	return &action.Configuration{RESTClientGetter: flags, KubeClient: client, Releases: stored, Log: silent}
}

func (i *installed) remove() {
	now := int64(0)
	ctx := context.Background()
	_ = i.clients.AppsV1().Deployments(i.namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})
}

func (i *installed) scale(n int32) error {
	patch := fmt.Sprintf(`{"spec":{"replicas":%d}}`, n)
	_, err := i.clients.AppsV1().Deployments(i.namespace).Patch(context.Background(), appDeployment, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{FieldManager: "hpa"}, "scale")
	return err
}

// settled waits until the cluster has done what it does by itself, and returns the pods that run.
func (i *installed) settled() ([]corev1.Pod, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := controlplane.Settle(ctx, i.admin, i.namespace); err != nil {
		return nil, err
	}
	pods, err := i.clients.CoreV1().Pods(i.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning || !isReady(p)
	}), nil
}

func isReady(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions,
		func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// secret is what a pod that starts now would read.
func (i *installed) secret() (string, error) {
	secret, err := i.clients.CoreV1().Secrets(i.namespace).Get(context.Background(), configSecret, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(secret.Data["OAUTH_CLIENT_SECRET"]), nil
}

// whole is what of the release does not fit together; empty if all does.
func (i *installed) whole() (wrong string, err error) {
	live, err := i.secret()
	if err != nil {
		return "", err
	}
	history, err := i.helm.Releases.History(releaseName)
	if err != nil {
		return "", err
	}
	last := slices.MaxFunc(history, func(a, b *release.Release) int { return a.Version - b.Version })
	for _, revision := range history {
		if deployed := revision.Info.Status == release.StatusDeployed; deployed != (revision == last) {
			wrong += fmt.Sprintf("revision %d of %d is %s; ", revision.Version, last.Version, revision.Info.Status)
		}
	}
	if declared(last) != live {
		wrong += fmt.Sprintf("revision %d holds another value than the Secret", last.Version)
	}
	return wrong, nil
}

// declared is the client_secret that the values of a revision hold.
func declared(rel *release.Release) string {
	config, _ := rel.Config["config"].(map[string]any)
	secret, _ := config["oauthClientSecret"].(string)
	return secret
}

// put is an operator's upgrade with another secret, who keeps the replicas.
func (i *installed) put(secret string) error {
	// Nobody upgrades over one that was cut off; here an operator ends it first.
	last, err := i.helm.Releases.Last(releaseName)
	if err != nil {
		return err
	}
	if last.Info.Status.IsPending() {
		last.Info.Status = "failed"
		if err := i.helm.Releases.Update(last); err != nil {
			return err
		}
	}
	upgrade := action.NewUpgrade(i.helm)
	upgrade.Namespace, upgrade.ResetThenReuseValues, upgrade.PostRenderer = i.namespace, true, replicas(scaledTo)
	_, err = upgrade.Run(releaseName, last.Chart, map[string]any{"config": map[string]any{"oauthClientSecret": secret}})
	return err
}

type replicas int

func (n replicas) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	return bytes.NewBufferString(strings.ReplaceAll(rendered.String(), "replicas: 2", fmt.Sprintf("replicas: %d", n))), nil
}

func (i *installed) rolloutRestart() error {
	patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{%q:%q}}}}}`, kubectlRestart, time.Now().Format(time.RFC3339Nano))
	_, err := i.clients.AppsV1().Deployments(i.namespace).Patch(context.Background(), appDeployment, types.StrategicMergePatchType,
		[]byte(patch), metav1.PatchOptions{FieldManager: "kubectl-rollout"})
	return err
}

const kubectlRestart = "kubectl.kubernetes.io/restartedAt"

// kept is what those can read who may not read Secrets, and what Helm shows of its revisions.
func (i *installed) kept() (string, error) {
	ctx := context.Background()
	var text strings.Builder
	secrets, err := i.clients.CoreV1().Secrets(i.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, secret := range secrets.Items {
		fmt.Fprintln(&text, secret.Name, secret.Labels, secret.Annotations)
	}
	revisions, err := i.helm.Releases.History(releaseName)
	if err != nil {
		return "", err
	}
	for _, revision := range revisions {
		fmt.Fprintln(&text, revision.Version, revision.Info.Status, revision.Info.Description, revision.Labels, revision.Info.Notes)
	}
	lease, err := i.clients.CoordinationV1().Leases(i.namespace).Get(ctx, leaseOfRelease, metav1.GetOptions{})
	if err == nil {
		fmt.Fprintln(&text, asJSON(lease))
	} else if !apierrors.IsNotFound(err) {
		return "", err
	}
	deployment, err := i.deployment()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(&text, asJSON(deployment.ObjectMeta), asJSON(deployment.Spec))
	return text.String(), nil
}

func (i *installed) deployment() (*appsv1.Deployment, error) {
	return i.clients.AppsV1().Deployments(i.namespace).Get(context.Background(), appDeployment, metav1.GetOptions{})
}

// foreign is what is not ours to change.
func (i *installed) foreign() (string, error) {
	ctx := context.Background()
	var text strings.Builder
	deployment, err := i.deployment()
	if err != nil {
		return "", err
	}
	spec := deployment.Spec.DeepCopy()
	spec.Template.Annotations = without(spec.Template.Annotations, "maia-rotate/secret", "maia-rotate/secret-version",
		"maia-rotate/restarted-at", kubectlRestart)
	fmt.Fprintln(&text, asJSON(spec), deployment.Labels, without(deployment.Annotations, "deployment.kubernetes.io/revision"))
	for _, name := range []string{configSecret, "foreign"} {
		secret, err := i.clients.CoreV1().Secrets(i.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return "", err
		}
		delete(secret.Data, "OAUTH_CLIENT_SECRET")
		fmt.Fprintln(&text, asJSON(secret.Data), secret.Labels, secret.Annotations)
	}
	policies, err := i.clients.NetworkingV1().NetworkPolicies(i.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, policy := range policies.Items {
		fmt.Fprintln(&text, policy.Name, policy.ResourceVersion)
	}
	scalers, err := i.clients.AutoscalingV2().HorizontalPodAutoscalers(i.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, scaler := range scalers.Items {
		fmt.Fprintln(&text, scaler.Name, scaler.ResourceVersion)
	}
	last, err := i.helm.Releases.Last(releaseName)
	if err != nil {
		return "", err
	}
	values := asJSON(last.Config)
	if config, ok := last.Config["config"].(map[string]any); ok {
		if secret, ok := config["oauthClientSecret"].(string); ok {
			values = strings.ReplaceAll(values, secret, "…")
		}
	}
	fmt.Fprintln(&text, values, last.Chart.Metadata.Version,
		without(last.Labels, "name", "owner", "status", "version", "createdAt", "modifiedAt"))
	return text.String(), nil
}
