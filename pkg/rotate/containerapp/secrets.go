package containerapp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

const (
	storeTries    = 6
	conflictWait  = 3 * time.Second
	provisionPoll = time.Second
	provisionTime = 90 * time.Second // that a change of the app may take
	lagWait       = 40 * time.Second // that a list may take to show a change which has ended
	lagPoll       = 2 * time.Second
	lagTime       = time.Minute // after which a list that shows an older value is believed
)

// readSecrets lists the secrets, with their values.
func (r *Runner) readSecrets(ctx context.Context) error {
	var answer *http.Response
	found, err := r.apps.ListSecrets(policy.WithCaptureResponse(ctx, &answer), r.id.ResourceGroupName, r.id.Name, nil)
	if err != nil {
		return failure("list the secrets of app "+r.id.Name, actionListSecrets, err)
	}
	r.seen.secrets, r.seen.listed = present(found.Value), dateOf(answer)
	return nil
}

// find is a secret by its name; nil if there is none.
func (v *view) find(name string) *armappcontainers.ContainerAppSecret {
	for _, secret := range v.secrets {
		if value(secret.Name) == name {
			return secret
		}
	}
	return nil
}

// valueOf is the value of a secret that the app itself holds.
func (v *view) valueOf(name string) (string, error) {
	secret := v.find(name)
	switch {
	case secret == nil:
		return "", rotate.Errorf(rotate.Configuration, "app %s has no secret %s, to which its variables refer", v.name, name).
			WithHint("bring it back: az containerapp secret set")
	case value(secret.KeyVaultURL) != "":
		return "", v.inVault(name)
	case value(secret.Value) == "":
		return "", rotate.Errorf(rotate.Configuration, "the secret %s of app %s is empty", name, v.name).
			WithHint("set it: az containerapp secret set")
	}
	return *secret.Value, nil
}

// inVault refuses a reference to Key Vault.
func (v *view) inVault(name string) *rotate.Error {
	refused := rotate.Errorf(rotate.Configuration, "the secret %s of app %s is a reference to Key Vault", name, v.name)
	if name != v.secret {
		return refused.WithHint("make the client ID a secret of the app itself, or a plain variable: no secret of Key Vault is read here")
	}
	return refused.WithHint("make it a secret of the app itself: az containerapp secret set --secrets %s=VALUE; Container Apps reads "+
		"Key Vault up to 30 minutes late, and the runner would be cut off for so long. Other secrets may be references", name)
}

// all are the secrets in the form in which they are sent.
func (v *view) all() ([]*armappcontainers.Secret, error) {
	sent := make([]*armappcontainers.Secret, len(v.secrets))
	for i, secret := range v.secrets {
		sent[i] = &armappcontainers.Secret{Name: secret.Name}
		switch {
		case value(secret.KeyVaultURL) != "":
			sent[i].KeyVaultURL, sent[i].Identity = secret.KeyVaultURL, secret.Identity
		case value(secret.Value) != "":
			sent[i].Value = secret.Value
		default:
			return nil, rotate.Errorf(rotate.Configuration, "the secret %s of app %s is empty: Azure refuses any change of the secrets then",
				value(secret.Name), v.name).
				WithHint("set it, or remove it: az containerapp secret remove")
		}
	}
	return sent, nil
}

// Store implements [rotate.Runner]. Whatever else changes the app at the same time is waited for.
func (r *Runner) Store(ctx context.Context, credentials maia.Credentials) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		done, err := r.store(ctx, credentials)
		switch {
		case done:
			return nil
		case err != nil && (try == storeTries || !passes(err)):
			return failure("write the secrets of app "+r.id.Name, actionWrite, err)
		case err == nil && try == storeTries:
			return rotate.Errorf(rotate.Internal, "the secrets of app %s were written %d times, and do not hold the value", r.id.Name, try).
				WithHint("find out who else changes the secrets; the next run tries again")
		}
		r.log.WarnContext(ctx, "the change was not carried out, or undone: the secrets are listed again", "try", try,
			rotate.LogError(failure("write the secrets of app "+r.id.Name, actionWrite, err)))
		if late := cmp.Or(wait(ctx, conflictWait), r.awaitAllowed(ctx)); late != nil {
			return failure("write the secrets of app "+r.id.Name, actionWrite, cmp.Or(err, late))
		}
	}
}

// passes reports whether a change is worth another try: another writer changes the app, Azure is asked too much, or has failed.
func passes(err error) bool {
	var answered *azcore.ResponseError
	if !errors.As(err, &answered) || answered.ErrorCode == scopeLocked {
		return false
	}
	switch code := answered.StatusCode; code {
	case http.StatusConflict, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return causeOf(answered) == nil
	default:
		return code >= 500
	}
}

// store lists the secrets, changes one, sends all, and lists them again. It reports whether the app then holds what it should.
//
// There is no ETag. Another writer's change that is under way is waited for before the list, and one that begins between
// the list and ours is a conflict for one of the two. One that begins and ends in that moment would be lost.
func (r *Runner) store(ctx context.Context, credentials maia.Credentials) (done bool, err error) {
	if err := r.awaitNoChange(ctx); err != nil {
		return false, err
	}
	if err := r.readSecrets(ctx); err != nil {
		return false, err
	}
	over, err := r.seen.valueOf(r.seen.secret)
	if err != nil {
		return false, err
	}
	wanted := credentials.ClientSecret.Reveal()
	if over == wanted {
		if r.seen.state != armappcontainers.ContainerAppProvisioningStateFailed || r.resent {
			return true, nil
		}
		r.resent = true // of a change that ended as failed, what is listed may not be what a replica reads
	}
	sent, err := r.seen.all()
	if err != nil {
		return false, err
	}
	for _, secret := range sent {
		if value(secret.Name) == r.seen.secret {
			secret.Value = &wanted
		}
	}
	if err := r.enter(ctx); errors.Is(err, lease.ErrOtherRun) {
		return false, err // this run was held up, and what it has listed may be old
	} else if err != nil {
		r.log.WarnContext(ctx, "the lock could not be taken again; the secrets are written without it", rotate.LogError(err))
	}
	r.forget()
	holds, err := r.send(ctx, sent)
	if err != nil {
		return false, err
	}
	if state := r.seen.state; state != armappcontainers.ContainerAppProvisioningStateSucceeded {
		failed := rotate.Errorf(rotate.Internal, "the change of the secrets of app %s ended as %s", r.id.Name, state).
			WithHint("check the app's activity log; the next run tries again")
		if !holds {
			return false, failed
		}
		r.log.WarnContext(ctx, "the app holds the secret all the same", rotate.LogError(failed))
		if !r.resent {
			return r.store(ctx, credentials)
		}
	}
	if r.held = r.seen.listed; holds {
		r.wrote = write{secret: r.seen.secret, over: over, value: wanted, at: time.Now(), modified: r.seen.modified}
	}
	return holds, nil
}

// forget forgets the restarts so far, also the noted one: their replicas have read an older value than the one that is stored
// now.
func (r *Runner) forget() {
	r.restartDue, r.held = true, time.Time{}
	clear(r.ordered)
	clear(r.noted)
	if ordered := r.note.Ordered; ordered != nil {
		r.void = ordered.At
	}
}

// send sends secrets in a change of the app that names nothing else but the location, waits until Azure has carried it out, and
// lists them again. It reports whether the app then holds them. A list that still shows the secrets from before the change may
// lag, and is repeated for a while.
func (r *Runner) send(ctx context.Context, sent []*armappcontainers.Secret) (holds bool, err error) {
	before := r.seen.secrets
	if err := r.patch(ctx, armappcontainers.ContainerApp{
		Location:   &r.seen.location,
		Properties: &armappcontainers.ContainerAppProperties{Configuration: &armappcontainers.Configuration{Secrets: sent}},
	}); err != nil {
		return false, err
	}
	for began := time.Now(); ; {
		if err := r.awaitNoChange(ctx); err != nil {
			return false, err
		}
		if err := r.readSecrets(ctx); err != nil {
			return false, err
		}
		holds = r.seen.holds(sent)
		lags := r.seen.state == armappcontainers.ContainerAppProvisioningStateSucceeded && r.seen.lists(before)
		if holds || !lags || time.Since(began) > lagWait {
			return holds, nil
		}
		if err := wait(ctx, lagPoll); err != nil {
			return false, err
		}
	}
}

// write is a change of the client secret: the value before and after, when it was written, and when the app then was last
// changed.
type write struct {
	secret, over, value string
	at, modified        time.Time
}

// remember shows the value that was written last where a list shows the one before it: a list may lag, or come from another
// server that does. If the app was changed since, the list shows another writer's value; and after a while the list counts in any
// case.
func (r *Runner) remember(ctx context.Context) error {
	last := r.wrote
	shown := r.seen.find(last.secret)
	if last.modified.IsZero() || time.Since(last.at) > lagTime || shown == nil || value(shown.Value) != last.over {
		return nil
	}
	if err := r.readApp(ctx); err != nil {
		return err
	}
	if r.seen.modified.After(last.modified) || r.seen.secret != last.secret {
		return nil
	}
	written := *shown
	written.Value = &last.value
	r.seen.secrets = slices.Clone(r.seen.secrets)
	r.seen.secrets[slices.Index(r.seen.secrets, shown)] = &written
	return nil
}

// lists reports whether the secrets are those of another list.
func (v *view) lists(other []*armappcontainers.ContainerAppSecret) bool {
	return slices.EqualFunc(v.secrets, other, func(a, b *armappcontainers.ContainerAppSecret) bool {
		return value(a.Name) == value(b.Name) && value(a.Value) == value(b.Value) &&
			value(a.KeyVaultURL) == value(b.KeyVaultURL) && value(a.Identity) == value(b.Identity)
	})
}

// awaitNoChange waits until no change of the app is in progress.
func (r *Runner) awaitNoChange(ctx context.Context) error {
	for began := time.Now(); ; {
		if err := r.readApp(ctx); err != nil {
			return err
		}
		switch {
		case !r.seen.changing():
			return nil
		case time.Since(began) > provisionTime:
			return rotate.Errorf(rotate.NotReady, "a change of app %s is in progress for more than %s", r.id.Name, provisionTime).
				WithHint("nothing: the next run reads it again")
		}
		if err := wait(ctx, provisionPoll); err != nil {
			return err
		}
	}
}

// holds reports whether the app has the secrets that were sent, and no other.
func (v *view) holds(sent []*armappcontainers.Secret) bool {
	if len(sent) != len(v.secrets) {
		return false
	}
	return !slices.ContainsFunc(sent, func(secret *armappcontainers.Secret) bool {
		found := v.find(value(secret.Name))
		return found == nil || value(found.KeyVaultURL) != value(secret.KeyVaultURL) ||
			value(secret.KeyVaultURL) == "" && value(found.Value) != value(secret.Value)
	})
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
