package helmrelease

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The annotations of the pod template: the mark, and what makes one restart differ from the last.
const (
	markAnnotation        = "maia-rotate/secret"         // fingerprint of the secret
	markVersionAnnotation = "maia-rotate/secret-version" // resourceVersion of the Secret that held it
	restartedAnnotation   = "maia-rotate/restarted-at"
)

// order is a restart of one Deployment.
type order struct {
	version     string    // resourceVersion of the Secret that the pods read; empty if the order is known by a note only
	restartedAt string    // as the pod template has it
	at          time.Time // by our clock
	annotations map[string]string
}

// newOrder is an order of pods that read this version of the Secret.
func newOrder(secret maia.Secret, version string, now time.Time) order {
	o := order{version: version, at: now, restartedAt: now.UTC().Format(time.RFC3339Nano)}
	o.annotations = map[string]string{
		markAnnotation: string(secret.Fingerprint()), markVersionAnnotation: version, restartedAnnotation: o.restartedAt,
	}
	return o
}

// orderID names a restart, in a note: the Deployment and the mark of time in its pod template.
func orderID(deployment, restartedAt string) string { return deployment + "@" + restartedAt }

// orderOf is the restart of a Deployment that stands for what the Secret holds: by this Runner, or as the note says.
func (r *Runner) orderOf(d *appsv1.Deployment) (order, bool) {
	if mine, ok := r.orders[d.Name]; ok && mine.version == r.seen.secretVersion {
		return mine, true
	}
	noted := r.seen.note.Ordered
	if noted == nil || noted.For != r.seen.live.ClientSecret.Fingerprint() {
		return order{}, false
	}
	i := slices.IndexFunc(noted.IDs, func(id string) bool { return strings.HasPrefix(id, d.Name+"@") })
	if i < 0 {
		return order{}, false
	}
	return order{restartedAt: strings.TrimPrefix(noted.IDs[i], d.Name+"@"), at: noted.At}, true
}

// orderShows is how long a read of a Deployment may show what was before a restart that was ordered.
const orderShows = 2 * time.Minute

// clockSkew is by how much the clocks of the function and of the cluster may differ.
const clockSkew = 5 * time.Second

// hidden reports whether a restart was ordered that a read of the Deployment does not show yet. After a while the read counts.
func (r *Runner) hidden(d *appsv1.Deployment) bool {
	ordered, ok := r.orderOf(d)
	return ok && restartOf(d).Before(parseTime(ordered.restartedAt)) && time.Since(ordered.at) < orderShows
}

// restartOf is when the newest pods of a Deployment were ordered by a run; zero if they were not.
func restartOf(d *appsv1.Deployment) time.Time {
	return parseTime(d.Spec.Template.Annotations[restartedAnnotation])
}

func parseTime(text string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, text) // else zero
	return at
}

// standsFor reports whether the pods of a Deployment's newest template read what the Secret holds. The template's mark must have
// the secret's fingerprint, and the Secret's version or, as something else than the value may have changed the Secret since, a
// time at which the note's order was given.
func (r *Runner) standsFor(d *appsv1.Deployment) bool {
	annotations := d.Spec.Template.Annotations
	if maia.Fingerprint(annotations[markAnnotation]) != r.seen.live.ClientSecret.Fingerprint() {
		return false
	}
	if annotations[markVersionAnnotation] == r.seen.secretVersion {
		return true
	}
	ordered, ok := r.orderOf(d)
	shown := restartOf(d)
	return ok && !shown.IsZero() && !shown.Before(parseTime(ordered.restartedAt)) && !r.seen.valueWritten.After(shown.Add(clockSkew))
}

// together is one error of several, which names each. Its kind is that of the one that a person must put right first.
func together(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	kinds := []rotate.Kind{rotate.Internal, rotate.NotReady, rotate.Configuration, rotate.Permission}
	worst := slices.MaxFunc(failures, func(a, b error) int {
		return slices.Index(kinds, rotate.KindOf(a)) - slices.Index(kinds, rotate.KindOf(b))
	})
	texts := make([]string, len(failures))
	for i, failure := range failures {
		texts[i] = rotate.AsError(failure, "").What
	}
	return rotate.Errorf(rotate.KindOf(worst), "%s", strings.Join(texts, "; ")).WithHint("%s", rotate.AsError(worst, "").Hint)
}
