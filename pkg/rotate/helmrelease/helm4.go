package helmrelease

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"

	"github.com/tidwall/gjson"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// warnOfHelm4 says so where the release was last upgraded by Helm 4 with server-side apply: Helm 3, which this is, goes on
// from there without it and does not keep the mark. It reads the record itself, for Helm 3 does not know the field. What
// cannot be read is Helm's to complain of.
func (r *Runner) warnOfHelm4(ctx context.Context) {
	name := fmt.Sprintf("sh.helm.release.v1.%s.v%d", r.config.Release, r.seen.last.Version)
	record, err := r.clients.CoreV1().Secrets(r.config.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if method := gjson.GetBytes(unpack(record.Data["release"]), "apply_method").String(); method == "ssa" {
		r.log.WarnContext(ctx, "the release was last upgraded by Helm 4 with server-side apply; Helm 3 upgrades it without: check the fields' managers if that matters",
			"namespace", r.config.Namespace, "revision", r.seen.last.Version)
	}
}

// longestRecord is how much of a release's record is unpacked, in bytes. A record is at most 1 MiB when it is packed, and what
// Helm packs grows some ten times; what somebody else packs grows a thousand times.
const longestRecord = 32 << 20

// unpack is the JSON of a release's record; nil if it is not one, or too long.
func unpack(record []byte) []byte {
	packed, err := base64.StdEncoding.DecodeString(string(record))
	if err != nil {
		return nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(reader, longestRecord+1))
	if err != nil || len(text) > longestRecord {
		return nil
	}
	return text
}
