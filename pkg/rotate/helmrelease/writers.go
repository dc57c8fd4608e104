package helmrelease

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"helm.sh/helm/v3/pkg/kube"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Who writes the Secret beside us: External Secrets and its like do so again and again, and would put an older value over ours.

// checkWriters refuses a Secret that belongs to somebody else, or whose client_secret somebody else manages.
func (r *Runner) checkWriters() error {
	if owners := r.seen.secretMeta.OwnerReferences; len(owners) > 0 {
		return r.otherWriter("release %s has Secret %s, which belongs to " + owners[0].Kind + " " + owners[0].Name)
	}
	if others := r.otherManagers(); len(others) > 0 {
		return r.otherWriter("release %s has Secret %s, whose " + clientSecretVariable + " is managed by " + strings.Join(others, ", "))
	}
	return nil
}

// otherWriter is the error of a Secret that somebody else writes: format takes the names of the release and of the Secret.
func (r *Runner) otherWriter(format string) error {
	return rotate.Errorf(rotate.Configuration, format+"%s", r.config.Release, r.seen.secretName, r.lastManagers()).
		WithTodo("if another tool writes the Secret (External Secrets, Sealed Secrets, …), rotate where that tool takes the value from, or have it leave the Secret to "+
			"the release; if none does, upgrade the release with the Secret's value, and take the tool's entry out of the Secret's metadata.managedFields, in namespace %s",
			r.config.Namespace)
}

// lastManagers names those that manage the client_secret, for a reader; empty if none is known.
func (r *Runner) lastManagers() string {
	var names []string
	for _, managed := range r.seen.secretMeta.ManagedFields {
		if writesValue(managed) && !slices.Contains(names, managed.Manager) {
			names = append(names, managed.Manager)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (its last writers: " + strings.Join(names, ", ") + ")"
}

// otherManagers are those that manage the client_secret and are neither Helm, nor us, nor a person. A Helm inside of another program has
// that program's name: it is known by the annotations that only Helm writes.
func (r *Runner) otherManagers() (names []string) {
	for _, managed := range r.seen.secretMeta.ManagedFields {
		ours := managed.Manager == kube.ManagedFieldsManager || managed.Manager == fieldManager || strings.HasPrefix(managed.Manager, "kubectl")
		if writesValue(managed) && !ours && !manages(managed, "f:metadata", "f:annotations", "f:meta.helm.sh/release-name") && !slices.Contains(names, managed.Manager) {
			names = append(names, managed.Manager)
		}
	}
	return names
}

func writesValue(managed metav1.ManagedFieldsEntry) bool {
	return manages(managed, "f:data", "f:"+clientSecretVariable)
}

// manages reports whether an entry of managedFields has a field.
func manages(managed metav1.ManagedFieldsEntry, path ...string) bool {
	if managed.FieldsV1 == nil {
		return false
	}
	var at any
	if json.Unmarshal(managed.FieldsV1.Raw, &at) != nil {
		return false
	}
	for _, key := range path {
		fields, _ := at.(map[string]any)
		below, ok := fields[key]
		if !ok {
			return false
		}
		at = below
	}
	return true
}
