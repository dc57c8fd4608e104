package helmrelease

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// sight is what a Runner saw last.
type sight struct {
	last, base *release.Release // the newest revision, and the one that an upgrade starts from
	manifest   manifest         // of base
	values     values           // of base
	declared   maia.Credentials // what base's values hold

	secretName    string
	secretVersion string    // resourceVersion
	secretWritten time.Time // when, by the API server's clock; zero if it does not say
	valueWritten  time.Time // the same for the client_secret alone
	secretMeta    metav1.ObjectMeta
	live          maia.Credentials // what the Secret holds
	note          rotate.Note      // as the Lease holds it

	deployments []*appsv1.Deployment // that read the Secret
	replicas    map[string]int32     // live, of every Deployment of the manifest
	failing     map[string]bool      // Deployments whose newest pods do not come up
	current     map[string]bool      // Deployments whose newest pods read what the Secret holds
}

func (s sight) names() []string {
	names := make([]string, len(s.deployments))
	for i, d := range s.deployments {
		names[i] = d.Name
	}
	return names
}

// read reads everything.
func (r *Runner) read(ctx context.Context) error {
	if err := r.readLease(ctx); err != nil {
		return err
	}
	seen := sight{replicas: map[string]int32{}, failing: map[string]bool{}, current: map[string]bool{}}
	var err error
	if seen.last, seen.base, err = r.revisions(); err != nil {
		return err
	}
	if seen.values, err = valuesOf(seen.base); err != nil {
		return err
	}
	if seen.declared, err = seen.values.credentials(r.config.SecretPath); err != nil {
		return err
	}
	r.known(seen.declared.ClientSecret)
	if seen.manifest, err = parseManifest(seen.base.Manifest); err != nil {
		return err
	}
	deployments, err := all[appsv1.Deployment](seen.manifest, "Deployment")
	if err != nil {
		return err
	}
	if seen.secretName, err = seen.manifest.secretOf(seen.declared.ClientSecret, deployments); err != nil {
		return err
	}
	r.seen = seen
	if err := r.readSecret(ctx); err != nil {
		return err
	}
	return r.readDeployments(ctx, deployments)
}

// revisions are the newest one, and the one from which Helm upgrades: the newest if it is deployed, else the one that is,
// else the newest if it failed or was superseded.
func (r *Runner) revisions() (last, base *release.Release, err error) {
	where := "release " + r.config.Release + " in namespace " + r.config.Namespace
	history, err := r.helm.Releases.History(r.config.Release)
	if errors.Is(err, driver.ErrReleaseNotFound) || err == nil && len(history) == 0 {
		return nil, nil, rotate.Errorf(rotate.Configuration, "there is no %s, or no revision of it that Helm can read", where).
			WithHint("check the namespace and the release that the function is configured with: helm list --namespace %s --all", r.config.Namespace)
	} else if err != nil {
		return nil, nil, r.failure("read "+where, err)
	}
	slices.SortFunc(history, func(a, b *release.Release) int { return b.Version - a.Version })
	last = history[0]
	for _, revision := range history {
		if revision.Info == nil {
			return nil, nil, rotate.Errorf(rotate.Configuration, "revision %d of %s says nothing of its state", revision.Version, where).
				WithHint("upgrade the release with Helm 3 once")
		}
	}
	switch deployed := slices.IndexFunc(history, func(r *release.Release) bool { return r.Info.Status == release.StatusDeployed }); {
	case last.Info.Status == release.StatusUninstalled, last.Info.Status == release.StatusUninstalling:
		return nil, nil, rotate.Errorf(rotate.Configuration, "%s is %s", where, last.Info.Status).
			WithHint("take it out of the function's configuration, or install it again")
	case deployed >= 0:
		base = history[deployed]
	case last.Info.Status == release.StatusFailed, last.Info.Status == release.StatusSuperseded, r.began(last):
		base = last
	default:
		return nil, nil, rotate.Errorf(rotate.NotReady, "%s is %s and has no deployed revision", where, last.Info.Status).
			WithHint("wait until its installation has ended, or end it with helm uninstall or helm rollback")
	}
	for _, needed := range []*release.Release{last, base} {
		if needed.Chart == nil || needed.Chart.Metadata == nil {
			return nil, nil, rotate.Errorf(rotate.Configuration, "revision %d of %s holds no chart", needed.Version, where).
				WithHint("upgrade the release with Helm 3 once")
		}
	}
	if len(base.Chart.Metadata.Dependencies) > 0 || len(base.Chart.Dependencies()) > 0 {
		return nil, nil, rotate.Errorf(rotate.Configuration,
			"the chart of %s has subcharts, which Helm does not keep with the release: an upgrade would remove what they made", where).
			WithHint("install the runner by a chart without dependencies")
	}
	return last, base, nil
}

// began reports whether an upgrade of ours made this revision, as the Lease or the revision's description says.
func (r *Runner) began(revision *release.Release) bool {
	return r.lock.revision() == revision.Version || revision.Info.Description == cutOffDescription
}

// cutOff is the newest revision if it is one of ours that was not completed; else nil. A revision is ours if we had announced it
// and it changes nothing but the secret: its chart, too, is that of the base.
func (r *Runner) cutOff() *release.Release {
	last, base := r.seen.last, r.seen.base
	unfinished := last.Info.Status.IsPending() || last.Info.Status == release.StatusFailed
	if !unfinished || !r.began(last) || !differOnlyIn(r.config.SecretPath, last.Config, base.Config) || !sameChart(last.Chart, base.Chart) {
		return nil
	}
	return last
}

// sameChart compares all that a record holds of a chart: its metadata, templates, own values, schema and files.
func sameChart(a, b *chart.Chart) bool {
	left, err := json.Marshal(a)
	if err != nil {
		return false
	}
	right, err := json.Marshal(b)
	return err == nil && bytes.Equal(left, right)
}

func (r *Runner) credentialsOf(revision *release.Release) (maia.Credentials, error) {
	values, err := valuesOf(revision)
	if err != nil {
		return maia.Credentials{}, err
	}
	held, err := values.credentials(r.config.SecretPath)
	r.known(held.ClientSecret)
	return held, err
}

// readSecret reads the Secret from which the next pod starts.
func (r *Runner) readSecret(ctx context.Context) error {
	found, err := r.clients.CoreV1().Secrets(r.config.Namespace).Get(ctx, r.seen.secretName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return rotate.Errorf(rotate.Configuration, "Secret %s of release %s is gone from namespace %s", r.seen.secretName,
			r.config.Release, r.config.Namespace).
			WithHint("bring it back with helm upgrade --reuse-values; the next run puts the valid value into it")
	} else if err != nil {
		return r.failure("read Secret "+r.seen.secretName, err)
	}
	value := string(found.Data[clientSecretVariable])
	if value == "" {
		return rotate.Errorf(rotate.Configuration, "Secret %s in namespace %s has no %s", r.seen.secretName, r.config.Namespace,
			clientSecretVariable).
			WithHint("bring it back with helm upgrade --reuse-values; the next run puts the valid value into it")
	}
	r.seen.live = maia.Credentials{ClientID: r.seen.declared.ClientID, ClientSecret: secretIn(found)}
	if id, ok := found.Data[clientIDVariable]; ok {
		r.seen.live.ClientID = string(id)
	}
	if r.seen.live.ClientID != r.seen.declared.ClientID {
		return rotate.Errorf(rotate.Configuration, "Secret %s holds the client ID %q, and the values of release %s say %q",
			r.seen.secretName, r.seen.live.ClientID, r.config.Release, r.seen.declared.ClientID).
			WithHint("find out which is the runner's, and upgrade the release with it")
	}
	r.see(found)
	return nil
}

// see remembers a version of the Secret.
func (r *Runner) see(found *corev1.Secret) {
	r.seen.live.ClientSecret = secretIn(found)
	r.known(r.seen.live.ClientSecret)
	r.seen.secretVersion, r.seen.secretMeta = found.ResourceVersion, found.ObjectMeta
	r.seen.secretWritten, r.seen.valueWritten = time.Time{}, time.Time{}
	for _, managed := range found.ManagedFields {
		if managed.Time == nil {
			continue
		}
		if managed.Time.After(r.seen.secretWritten) {
			r.seen.secretWritten = managed.Time.Time
		}
		if writesValue(managed) && managed.Time.After(r.seen.valueWritten) {
			r.seen.valueWritten = managed.Time.Time
		}
	}
}

func secretIn(found *corev1.Secret) maia.Secret {
	return maia.NewSecret(string(found.Data[clientSecretVariable]))
}

// readDeployments reads the Deployments of the manifest: in full those that read the Secret, and of the others the number of
// replicas.
func (r *Runner) readDeployments(ctx context.Context, stated []appsv1.Deployment) error {
	for _, one := range stated {
		if cmp.Or(one.Namespace, r.config.Namespace) != r.config.Namespace {
			continue // not the release's to have: Check refuses it
		}
		live, err := r.deployment(ctx, one.Name)
		if err != nil {
			return err
		}
		if live.Spec.Replicas != nil {
			r.seen.replicas[live.Name] = *live.Spec.Replicas
		}
		if reads(live.Spec.Template.Spec, r.seen.secretName) {
			r.seen.deployments = append(r.seen.deployments, live)
		}
	}
	if len(r.seen.deployments) == 0 {
		return rotate.Errorf(rotate.Configuration, "no Deployment of release %s reads Secret %s any more, though its manifest says so",
			r.config.Release, r.seen.secretName).
			WithHint("upgrade the release")
	}
	return nil
}

func (r *Runner) deployment(ctx context.Context, name string) (*appsv1.Deployment, error) {
	live, err := r.clients.AppsV1().Deployments(r.config.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, rotate.Errorf(rotate.Configuration, "Deployment %s of release %s is gone from namespace %s", name, r.config.Release,
			r.config.Namespace).
			WithHint("bring it back with helm upgrade --reuse-values")
	} else if err != nil {
		return nil, r.failure("read Deployment "+name, err)
	}
	return live, nil
}

// checkOverrides refuses a Deployment whose pods get the secret from elsewhere than the Secret.
func (r *Runner) checkOverrides(ctx context.Context, d *appsv1.Deployment) error {
	for _, container := range d.Spec.Template.Spec.Containers {
		one := corev1.PodSpec{Containers: []corev1.Container{container}}
		if !reads(one, r.seen.secretName) {
			continue
		}
		variable, later := overrides(container, r.seen.secretName)
		for _, name := range later {
			other, err := r.clients.CoreV1().Secrets(r.config.Namespace).Get(ctx, name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				continue
			} else if err != nil {
				return r.failure("read Secret "+name, err)
			}
			_, has := other.Data[strings.TrimPrefix(clientSecretVariable, prefixOf(container, name))]
			variable = variable || has
		}
		if variable {
			return rotate.Errorf(rotate.Configuration,
				"container %s of Deployment %s gets %s from elsewhere than Secret %s, so that the release's value has no effect",
				container.Name, d.Name, clientSecretVariable, r.seen.secretName).
				WithHint("take %s out of env and env.fromSecret of the release's values", clientSecretVariable)
		}
	}
	return nil
}

// identity is the runner's agent ID and region. The vendor's chart brings both to the pods as variables, from values of their own
// or from the list env.direct; in the latter case those values are placeholders, so that what the pods get counts. If the values
// name an agent too, it must be the same. The caller decides about a missing region.
func (r *Runner) identity() (agentID, region string, err error) {
	if agentID, err = r.variable(agentIDVariable); err != nil {
		return "", "", err
	}
	said, err := r.seen.values.text(agentIDPath)
	switch {
	case agentID == "" && err != nil:
		return "", "", err
	case agentID == "":
		agentID = said
	case err == nil && maia.CheckAgentID(said) == nil && !strings.EqualFold(said, agentID):
		return "", "", rotate.Errorf(rotate.Configuration, "the values of release %s name agent %s, and its pods get %s",
			r.config.Release, said, agentID).
			WithHint("find out which is the runner's, and upgrade the release with it")
	}
	if maia.CheckAgentID(agentID) != nil {
		return "", "", rotate.Errorf(rotate.Configuration,
			"release %s names agent %q (variable %s, value %s), expected an agent ID (a UUID)",
			r.config.Release, agentID, agentIDVariable, agentIDPath)
	}
	if region, err = r.variable(regionVariable); err != nil {
		return "", "", err
	}
	if region == "" {
		region, _ = r.seen.values.text(regionPath)
	}
	return agentID, strings.ToLower(region), nil
}

// variable is the plain value of a variable in the containers that read the Secret; empty if they have none.
func (r *Runner) variable(name string) (value string, err error) {
	for _, d := range r.seen.deployments {
		for _, c := range d.Spec.Template.Spec.Containers {
			if !reads(corev1.PodSpec{Containers: []corev1.Container{c}}, r.seen.secretName) {
				continue
			}
			for _, e := range c.Env {
				if e.Name != name || e.Value == "" {
					continue
				}
				if value != "" && !strings.EqualFold(value, e.Value) {
					return "", rotate.Errorf(rotate.Configuration, "the pods of release %s get several values of %s: %s and %s", r.config.Release,
						name, value, e.Value).
						WithHint("give each runner a release of its own")
				}
				value = e.Value
			}
		}
	}
	return value, nil
}

func prefixOf(c corev1.Container, secret string) string {
	for _, f := range c.EnvFrom {
		if f.SecretRef != nil && f.SecretRef.Name == secret {
			return f.Prefix
		}
	}
	return ""
}
