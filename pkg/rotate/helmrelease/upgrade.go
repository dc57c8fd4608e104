package helmrelease

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// upgrade brings the release to its next revision, with the secret and nothing else changed.
func (r *Runner) upgrade(ctx context.Context, secret maia.Secret, recordOnly bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	configuration, wire := r.upgradeConfiguration(recordOnly)
	upgraded, err := r.runUpgrade(ctx, r.newUpgrade(configuration), secret)
	if err != nil {
		failed := r.failure("upgrade release "+r.config.Release, err)
		if rotate.KindOf(failed) == rotate.Permission {
			return cmp.Or(r.gone(ctx), failed) // Helm has tried to create it, which is not what is to be put right
		}
		return failed
	}
	rendered, err := parseManifest(upgraded.Manifest)
	if err != nil {
		return err
	}
	r.seen.last, r.seen.base, r.seen.manifest = upgraded, upgraded, rendered
	r.seen.declared.ClientSecret = secret
	if wire.secret != nil {
		r.seeAgain(wire.secret)
	}
	for name, restart := range wire.orders {
		r.log.InfoContext(ctx, "the upgrade has changed the pod template, which restarts the pods", "deployment", name)
		r.orders[name] = restart
	}
	return nil
}

// seeAgain remembers the Secret after a change of ours. If its value is the same, the pods that have read it are still current.
func (r *Runner) seeAgain(changed *corev1.Secret) {
	was, version := r.seen.live, r.seen.secretVersion
	r.see(changed)
	for name, ordered := range r.orders {
		if ordered.version == version && r.seen.live.Equal(was) {
			ordered.version = r.seen.secretVersion
			r.orders[name] = ordered
		}
	}
}

// leaveOneDeployed marks all revisions but one as superseded that are marked as deployed. There may be two after an upgrade by
// another writer at the same time, or if Helm could not write the mark of the revision before, which it does not report. The
// newest counts, for Helm too, so that a failure here breaks nothing.
func (r *Runner) leaveOneDeployed(ctx context.Context) {
	history, err := r.helm.Releases.History(r.config.Release)
	if err != nil {
		r.log.WarnContext(ctx, "whether older revisions are superseded could not be read", rotate.LogError(
			r.failure("read release "+r.config.Release, err)))
		return
	}
	deployed := slices.DeleteFunc(history, func(r *release.Release) bool { return r.Info == nil || r.Info.Status != release.StatusDeployed })
	slices.SortFunc(deployed, func(a, b *release.Release) int { return b.Version - a.Version })
	for i, revision := range deployed {
		if i == 0 {
			continue
		}
		revision.Info.Status = release.StatusSuperseded
		if err := r.helm.Releases.Update(revision); err != nil {
			r.log.WarnContext(ctx, "an older revision could not be marked as superseded", "revision", revision.Version, rotate.LogError(
				r.failure("write release "+r.config.Release, err)))
		}
	}
}

// gone is the error of an object that was deleted since the check; nil if there is none.
func (r *Runner) gone(ctx context.Context) error {
	objects, err := r.objects(r.cluster.rehearsal(), r.seen.base.Manifest)
	if err != nil {
		return nil
	}
	if err := r.checkObjects(ctx, objects); rotate.KindOf(err) == rotate.Configuration {
		return err
	}
	return nil
}

// cutOffDescription is that of a revision of ours that was cut off.
const cutOffDescription = "Cut off; completed by the next revision"

// endCutOff marks the newest revision as failed if it is an upgrade of ours that was cut off: Helm then goes on from the revision
// before. There is no rollback, which would restore the revoked secret.
func (r *Runner) endCutOff(ctx context.Context) error {
	last := r.cutOff()
	if last == nil {
		return r.busyRelease()
	}
	// Under the lock, for the run that has begun it may be alive still.
	if err := r.writeLease(ctx, writeRevision(last.Version)); err != nil {
		return err
	}
	last.Info.Status = release.StatusFailed
	last.Info.Description = cutOffDescription
	if err := r.helm.Releases.Update(last); err != nil {
		return r.failure("end the revision that was cut off", err)
	}
	return nil
}

// newUpgrade waits for nothing and rolls nothing back: after a time-out of Helm's own, the revision with the revoked secret would
// count.
func (r *Runner) newUpgrade(configuration *action.Configuration) *action.Upgrade {
	upgrade := action.NewUpgrade(configuration)
	upgrade.Namespace = r.config.Namespace
	upgrade.ResetThenReuseValues = true // ReuseValues would write the old secret into the stored chart
	upgrade.MaxHistory = maxHistory
	upgrade.DisableHooks = true
	upgrade.DisableOpenAPIValidation = true
	upgrade.Description = "Credentials rotated by maia-rotate"
	upgrade.PostRenderer = keepReplicas(r.seen.replicas)
	return upgrade
}

// runUpgrade ignores a cancellation: it would leave the new secret live, the revision failed, and none deployed.
func (r *Runner) runUpgrade(ctx context.Context, upgrade *action.Upgrade, secret maia.Secret) (*release.Release, error) {
	// Rendering changes the chart, so that it is read anew each time.
	last, base, err := r.revisions()
	if err != nil {
		return nil, err
	}
	if last.Version != r.seen.last.Version || base.Version != r.seen.base.Version {
		return nil, rotate.Errorf(rotate.NotReady, "another writer has changed release %s, which is at revision %d now", r.config.Release,
			last.Version).
			WithHint("nothing: the next read goes on from what is there")
	}
	return r.upgradeRendered(context.WithoutCancel(ctx), upgrade, last, base, secret)
}

// keepReplicas is a post-renderer that states the live numbers of replicas.
type keepReplicas map[string]int32

func (k keepReplicas) Run(rendered *bytes.Buffer) (*bytes.Buffer, error) {
	kept, err := withReplicas(rendered.Bytes(), k)
	return bytes.NewBuffer(kept), err
}

// placeholder stands for the secret in a dry run.
var placeholder = maia.NewSecret("placeholder-of-a-dry-run")

// dryRun renders the upgrade, makes sure that the value reaches the Secret and that no object comes or goes, and has the server
// try each change of the upgrade without effect.
func (r *Runner) dryRun(ctx context.Context, trial *rehearsal, objects kube.ResourceList) error {
	upgrade := r.newUpgrade(r.helm)
	upgrade.DryRun, upgrade.DryRunOption = true, "server"
	rendered, err := r.runUpgrade(ctx, upgrade, placeholder)
	if err != nil {
		return r.dryRunFailure("dry run of an upgrade of release "+r.config.Release, err)
	}
	if err := r.dryRunRecords(ctx, rendered); err != nil {
		return err
	}
	manifest, err := parseManifest(rendered.Manifest)
	if err != nil {
		return err
	}
	if name, err := manifest.secretHolding(placeholder); err != nil {
		return err
	} else if name != r.seen.secretName {
		return rotate.Errorf(rotate.Configuration, "in a dry run of an upgrade of release %s its value %s does not reach %s of Secret %s",
			r.config.Release, r.config.SecretPath, clientSecretVariable, r.seen.secretName).
			WithHint("check the configured path of the client_secret, and the chart")
	}
	upgraded, err := r.objects(trial, rendered.Manifest)
	if err != nil {
		return err
	}
	for _, one := range slices.Concat(upgraded.Difference(objects), objects.Difference(upgraded)) {
		return rotate.Errorf(rotate.Configuration, "an upgrade of release %s with its own chart and values would create or delete %s",
			r.config.Release, nameOf(one)).
			WithHint("upgrade the release with helm upgrade --reuse-values, so that it is what its chart renders in this cluster")
	}
	if _, err := trial.helm.Update(objects, upgraded, false); err != nil {
		return r.dryRunFailure("dry run of the changes by an upgrade of release "+r.config.Release, cmp.Or(trial.lost, err))
	}
	return nil
}
