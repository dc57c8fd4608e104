package helmrelease

import (
	"context"

	"github.com/tidwall/gjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// warnOfHelm4 logs a warning if the release was last upgraded by Helm 4 with server-side apply. This is Helm 3, which upgrades
// without server-side apply, and does not keep the field of the record that says so. The field is read from the record here, for
// Helm 3 does not know it; a record that cannot be read is reported by Helm.
func (r *Runner) warnOfHelm4(ctx context.Context) {
	name := recordName(r.config.Release, r.seen.last.Version)
	record, err := r.clients.CoreV1().Secrets(r.config.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if method := gjson.GetBytes(unpack(record.Data["release"]), "apply_method").String(); method == "ssa" {
		r.log.WarnContext(ctx, "the release was last upgraded by Helm 4 with server-side apply; Helm 3 upgrades it without: check the "+
			"fields' managers if that matters",
			"namespace", r.config.Namespace, "revision", r.seen.last.Version)
	}
}
