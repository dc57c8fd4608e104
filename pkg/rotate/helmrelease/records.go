package helmrelease

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"

	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// How much of the records of a release is unpacked, in bytes: of one, and of all. A packed record is at most 1 MiB. What Helm
// packs grows about fivefold; what another writer packs may grow a thousandfold, and take all memory.
const (
	longestRecord  = 16 << 20
	longestRecords = 64 << 20
)

// recordName is that of the Secret in which Helm keeps a revision.
func recordName(release string, revision int) string {
	return fmt.Sprintf("sh.helm.release.v1.%s.v%d", release, revision)
}

// unpacking reads what is packed in a record; nil if nothing is.
func unpacking(record []byte) io.Reader {
	packed, err := base64.StdEncoding.DecodeString(string(record))
	if err != nil {
		return nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	return io.LimitReader(reader, longestRecord+1)
}

// unpack is the JSON of a release's record; nil if it is not one, or too long.
func unpack(record []byte) []byte {
	reader := unpacking(record)
	if reader == nil {
		return nil
	}
	text, err := io.ReadAll(reader)
	if err != nil || len(text) > longestRecord {
		return nil
	}
	return text
}

// boundedSecrets are the Secrets in which Helm finds its records, without those that are too long.
type boundedSecrets struct{ typedv1.SecretInterface }

func (b boundedSecrets) List(ctx context.Context, options metav1.ListOptions) (*corev1.SecretList, error) {
	list, err := b.SecretInterface.List(ctx, options)
	if err == nil {
		err = checkLength(list.Items...)
	}
	return list, err
}

func (b boundedSecrets) Get(ctx context.Context, name string, options metav1.GetOptions) (*corev1.Secret, error) {
	found, err := b.SecretInterface.Get(ctx, name, options)
	if err == nil {
		err = checkLength(*found)
	}
	return found, err
}

func checkLength(records ...corev1.Secret) error {
	var all int64
	for _, record := range records {
		reader := unpacking(record.Data["release"])
		if reader == nil {
			continue // Helm's to refuse
		}
		length, _ := io.Copy(io.Discard, reader)
		if all += length; length > longestRecord || all > longestRecords {
			return rotate.Errorf(rotate.Configuration, "Secret %s, which says that it is a record of Helm's, is too long to be read", record.Name).
				WithHint("find out who has made it; if no release needs it, remove it")
		}
	}
	return nil
}

// dryRunSecrets are the Secrets as the server would have them: what is written is tried, and not kept.
type dryRunSecrets struct{ typedv1.SecretInterface }

func (d dryRunSecrets) Create(ctx context.Context, secret *corev1.Secret, options metav1.CreateOptions) (*corev1.Secret, error) {
	options.DryRun = []string{metav1.DryRunAll}
	return d.SecretInterface.Create(ctx, secret, options)
}

func (d dryRunSecrets) Update(ctx context.Context, secret *corev1.Secret, options metav1.UpdateOptions) (*corev1.Secret, error) {
	options.DryRun = []string{metav1.DryRunAll}
	return d.SecretInterface.Update(ctx, secret, options)
}

// spareOfRecord is added to a record that is tried: the true one may be longer by a secret, which does not compress, in its
// values and its manifest.
const spareOfRecord = 1 << 10

// dryRunRecords has the server try the writes of Helm's bookkeeping, with Helm's own code: the record of the next revision, that of the
// one before as superseded, and the removal of the oldest, where there are as many as are kept. A quota, an admission policy or
// the limit of a Secret's length shows here.
func (r *Runner) dryRunRecords(ctx context.Context, next *release.Release) error {
	records := driver.NewSecrets(boundedSecrets{dryRunSecrets{r.clients.CoreV1().Secrets(r.config.Namespace)}})
	records.Log = func(string, ...any) {}
	history, err := r.helm.Releases.History(r.config.Release)
	if err != nil {
		return r.failure("read release "+r.config.Release, err)
	}
	if len(history) >= maxHistory {
		oldest := slices.MinFunc(history, func(a, b *release.Release) int { return a.Version - b.Version })
		name := recordName(r.config.Release, oldest.Version)
		// Not by the typed client, which says in the body that this is a dry run: a fence sees only the address.
		removal := r.clients.CoreV1().RESTClient().Delete().Namespace(r.config.Namespace).Resource("secrets").Name(name)
		if err := removal.Param("dryRun", metav1.DryRunAll).Do(ctx).Error(); err != nil {
			return r.dryRunFailure("dry run of the removal of Secret "+name+", the oldest record of release "+r.config.Release, err)
		}
	}
	tried, info := *next, *next.Info
	info.Description = spareText()
	tried.Info = &info
	name := recordName(r.config.Release, next.Version)
	if err := records.Create(name, &tried); err != nil {
		return r.dryRunFailure("dry run of the next record of release "+r.config.Release+", Secret "+name, err)
	}
	for _, revision := range history {
		if revision.Version != r.seen.base.Version {
			continue
		}
		name := recordName(r.config.Release, revision.Version)
		revision.Info.Status = release.StatusSuperseded
		if err := records.Update(name, revision); err != nil {
			return r.dryRunFailure("dry run of a change of the record of release "+r.config.Release+", Secret "+name, err)
		}
	}
	return nil
}

// spareText cannot be compressed to less than spareOfRecord bytes.
func spareText() string {
	random := make([]byte, spareOfRecord)
	rand.Read(random) // never fails
	return base64.StdEncoding.EncodeToString(random)
}

// checkNextRecord refuses a release where something already has the name of the next revision's record. Helm skips a record that
// it cannot decode, and would find only after the refresh that it cannot write its own.
func (r *Runner) checkNextRecord(ctx context.Context) error {
	name := recordName(r.config.Release, r.seen.last.Version+1)
	_, err := r.clients.CoreV1().Secrets(r.config.Namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return r.failure("read Secret "+name, err)
	}
	return rotate.Errorf(rotate.NotReady, "Secret %s is where Helm keeps the next revision of release %s, which there is not yet",
		name, r.config.Release).
		WithHint("nothing if an operator has just upgraded the release; if it stays, Helm cannot read it: find out who has made it, and " +
			"remove it")
}
