package helmrelease

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"helm.sh/helm/v3/pkg/kube"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// checkWriters refuses a Secret that belongs to another owner, or whose client_secret another writer manages: External Secrets,
// for example, would write an older value over ours again and again.
func (r *Runner) checkWriters() error {
	if owners := r.seen.secretMeta.OwnerReferences; len(owners) > 0 {
		return rotate.Errorf(rotate.Configuration, "Secret %s of release %s in namespace %s belongs to %s %s, which may write it again",
			r.seen.secretName, r.config.Release, r.config.Namespace, owners[0].Kind, owners[0].Name).
			WithHint("have the release own its Secret: take it out of that tool's hands, and its metadata.ownerReferences away")
	}
	if others := r.otherManagers(); len(others) > 0 {
		return rotate.Errorf(rotate.Configuration, "%s of Secret %s of release %s in namespace %s is managed by %s, which may write it again",
			clientSecretVariable, r.seen.secretName, r.config.Release, r.config.Namespace, strings.Join(others, ", ")).
			WithHint("have that tool leave the Secret to the release; if nothing writes it any more, " +
				"take the entry out of the Secret's metadata.managedFields")
	}
	return nil
}

// otherWriter is the error of a Secret that holds something else than the release without a rotation as the reason.
func (r *Runner) otherWriter() error {
	return rotate.Errorf(rotate.Configuration,
		"the values of release %s in namespace %s hold another client_secret than Secret %s, which no rotation explains%s",
		r.config.Release, r.config.Namespace, r.seen.secretName, r.lastManagers()).
		WithHint("if another tool writes the Secret (External Secrets, Sealed Secrets), have it leave the Secret to the release, " +
			"and its metadata.managedFields; then upgrade the release with the value that the Secret holds")
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

// otherManagers are those that manage the client_secret and are neither Helm, nor us, nor a person. A Helm inside another program
// has that program's name, and is recognised by the annotations that only Helm writes.
func (r *Runner) otherManagers() (names []string) {
	for _, managed := range r.seen.secretMeta.ManagedFields {
		ours := managed.Manager == kube.ManagedFieldsManager || managed.Manager == fieldManager
		helms := manages(managed, "f:metadata", "f:annotations", "f:meta.helm.sh/release-name")
		other := !ours && !helms && !strings.HasPrefix(managed.Manager, "kubectl")
		if other && writesValue(managed) && !slices.Contains(names, managed.Manager) {
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
	if json.Unmarshal(managed.FieldsV1.GetRawBytes(), &at) != nil {
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
