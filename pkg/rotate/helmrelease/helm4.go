package helmrelease

import (
	"context"

	"github.com/tidwall/gjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// warnOfHelm4 logs a warning if the release was last upgraded by Helm 4 with server-side apply: Helm 3, which this is, goes on
// from there without it and does not keep the mark. It reads the record itself, for Helm 3 does not know the field. What
// cannot be read is Helm's to complain of.
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
