package helmrelease

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/kube"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// agreement is what the Secret and the release say of each other.
//
//	they hold the same                                            nothing
//	an upgrade of ours was cut off before it came to the Secret   Unfinished, its value is Pending
//	the Secret holds what we have brought there                   Unrecorded
//	the release holds what the runner had before,
//	or another writer's upgrade has failed                        Unfinished
//	else                                                          an error: another writer changes the Secret
func (r *Runner) agreement() (rotate.Platform, error) {
	platform := rotate.Platform{Stored: r.seen.live}
	cutOff := r.cutOff()
	if cutOff != nil {
		if held, err := r.credentialsOf(cutOff); err == nil && !held.Equal(r.seen.live) {
			platform.Pending, platform.Unfinished = held, true
			return platform, nil
		}
	}
	switch {
	case cutOff == nil && r.seen.declared.Equal(r.seen.live):
	case cutOff != nil, r.delivered():
		platform.Unrecorded = r.unrecorded()
	case r.declaredBefore(), r.lastHolds(r.seen.live):
		platform.Pending, platform.Unfinished = r.seen.declared, true
	default:
		return rotate.Platform{}, r.otherWriter()
	}
	return platform, nil
}

// delivered reports whether the Secret holds what a run of ours has put there.
func (r *Runner) delivered() bool {
	note, live := r.seen.note, r.seen.live.ClientSecret.Fingerprint()
	return r.lock.delivered() == live ||
		note.LastRotation != nil && note.LastRotation.New == live && note.LastRotation.Over == r.seen.declared.ClientSecret.Fingerprint() ||
		note.Adopted != nil && note.Adopted.New == live && note.Adopted.Over == r.seen.declared.ClientSecret.Fingerprint()
}

// declaredBefore reports whether the release's value was the runner's once, as our note says.
func (r *Runner) declaredBefore() bool {
	note := r.seen.note
	known := []maia.Fingerprint{note.Applied}
	if note.LastRotation != nil {
		known = append(known, note.LastRotation.Over, note.LastRotation.New)
	}
	if note.Adopted != nil {
		known = append(known, note.Adopted.Over, note.Adopted.New)
	}
	if note.Intent != nil {
		known = append(known, note.Intent.Over)
	}
	return slices.Contains(known, r.seen.declared.ClientSecret.Fingerprint())
}

// lastHolds reports whether the newest revision holds credentials, even if it is not the one that counts.
func (r *Runner) lastHolds(credentials maia.Credentials) bool {
	held, err := r.credentialsOf(r.seen.last)
	return err == nil && held.Equal(credentials)
}

// unrecorded says why the release does not record what the Secret holds.
func (r *Runner) unrecorded() string {
	if r.notRecorded != "" {
		return r.notRecorded
	}
	return fmt.Sprintf("revision %d of release %s in namespace %s is not the one that put the value into Secret %s",
		r.seen.base.Version, r.config.Release, r.config.Namespace, r.seen.secretName)
}

// Store implements [rotate.Runner]: it upgrades the release, which changes the Secret. If that fails, it changes the Secret
// without an upgrade, so that the runner comes back; Observe then says that the release does not record it.
func (r *Runner) Store(ctx context.Context, credentials maia.Credentials) error {
	r.known(credentials.ClientSecret)
	delivered := r.seen.live.Equal(credentials)
	if delivered && r.seen.declared.Equal(credentials) && r.cutOff() == nil {
		return nil
	}
	if err := r.Hold(ctx, enough); err != nil {
		return err
	}
	if !delivered { // what was ordered before reads an older value
		clear(r.orders)
		clear(r.seen.current)
	}
	err := r.record(ctx, credentials, delivered)
	if err == nil {
		r.notRecorded = ""
		r.forgetDelivered(ctx)
		return nil
	}
	if r.notRecorded = rotate.AsError(err, "").What; delivered || ctx.Err() != nil {
		return err
	}
	if failed := r.deliver(ctx, credentials); failed != nil {
		return together([]error{err, failed})
	}
	r.log.WarnContext(ctx, "the Secret was changed without an upgrade of the release, which failed; it is tried again", rotate.LogError(err))
	return nil
}

// record upgrades the release, so that its newest revision holds the credentials, and so does the Secret.
func (r *Runner) record(ctx context.Context, credentials maia.Credentials, recordOnly bool) error {
	// In this order, for an upgrade of ours is recognised by the Lease.
	if r.seen.last.Info.Status.IsPending() {
		if err := r.endCutOff(ctx); err != nil {
			return err
		}
	}
	if r.lock.revision() != r.seen.last.Version+1 {
		if err := r.writeLease(ctx, writeRevision(r.seen.last.Version+1)); err != nil {
			return err
		}
	}
	if err := r.upgrade(ctx, credentials.ClientSecret, recordOnly); err != nil {
		return err
	}
	r.leaveOneDeployed(ctx)
	if !r.seen.live.Equal(credentials) {
		return rotate.Errorf(rotate.Internal, "release %s was upgraded, and Secret %s does not hold the value",
			r.config.Release, r.seen.secretName).
			WithHint("find out who else changes the Secret; the next run tries again")
	}
	return nil
}

// deliver changes the Secret itself. Later runs know by the Lease that it was us.
func (r *Runner) deliver(ctx context.Context, credentials maia.Credentials) error {
	if err := r.Hold(ctx, enough); err != nil {
		return err
	}
	if err := r.writeLease(ctx, writeDelivered(credentials.ClientSecret.Fingerprint())); err != nil {
		return err
	}
	changed, err := r.clients.CoreV1().Secrets(r.config.Namespace).Patch(ctx, r.seen.secretName, types.StrategicMergePatchType,
		secretPatch(credentials.ClientSecret), metav1.PatchOptions{FieldManager: kube.ManagedFieldsManager})
	if err != nil {
		return r.failure("change Secret "+r.seen.secretName, err)
	}
	r.see(changed)
	return nil
}

// secretPatch changes the client_secret and nothing else.
func secretPatch(secret maia.Secret) []byte {
	patch, _ := json.Marshal(map[string]any{"data": map[string][]byte{clientSecretVariable: []byte(secret.Reveal())}}) // bytes only
	return patch
}

// forgetDelivered removes from the Lease a delivery that is recorded now. If this run cannot, a later one does.
func (r *Runner) forgetDelivered(ctx context.Context) {
	if r.lock.delivered() == "" {
		return
	}
	if err := r.writeLease(ctx, func(annotations map[string]string) { delete(annotations, deliveredAnnotation) }); err != nil {
		r.log.WarnContext(ctx, "the note of what was delivered could not be taken back", rotate.LogError(err))
	}
}
