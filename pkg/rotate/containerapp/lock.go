package containerapp

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	leaseDuration = 45 * time.Second // longer than a refresh may take
	renewEvery    = 10 * time.Second
	renewTime     = 15 * time.Second // that a renewal may take, its repetitions included
	leaseMargin   = 5 * time.Second  // by which a lease may outlast its time, as seen from here
	leasePoll     = 2 * time.Second
	maxTries      = 4
	longestNote   = 64 << 10 // bytes
)

// lock is the runner's blob: its lease is the lock of the home, its content the note. It is written under the lease only, and
// only over what was seen.
type lock struct {
	container *container.Client
	blob      *blockblob.Client
	leases    *lease.BlobClient
	name      string
	app       string // resource ID, of the runner's home
	id        string // of the lease

	turn    chan struct{} // holds one token: whoever has it uses what is below
	note    rotate.Note   // as last seen
	etag    azcore.ETag   // empty: there is no blob
	leased  bool          // by somebody, as last seen
	endless bool          // for good
	till    time.Time     // the lease is ours until then; zero: it is not
	gone    chan struct{} // closed when its renewal has ended

	stop atomic.Pointer[context.CancelFunc] // of its renewal; nil: there is none
}

// content is that of the blob: the note, and whose it is.
type content struct {
	App string `json:"app"` // resource ID
	rotate.Note
}

// parseContent reads the JSON of a content. What it does not know is an error, as for [rotate.ParseNote].
func parseContent(text []byte) (read content, err error) {
	if len(text) == 0 {
		return content{}, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return content{}, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return content{}, errors.New("there is something behind the note")
	}
	return read, nil
}

func newLock(state *container.Client, name, app string) *lock {
	l := &lock{container: state, name: name, app: app, id: newID(), turn: make(chan struct{}, 1), blob: state.NewBlockBlobClient(name)}
	l.leases, _ = lease.NewBlobClient(l.blob, &lease.BlobClientOptions{LeaseID: &l.id}) // errs only if it has to make an ID
	l.turn <- struct{}{}
	return l
}

// newID is a random UUID, as leases want it.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never errs
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// use waits for the others that use the lock.
func (l *lock) use() (done func()) {
	<-l.turn
	return func() { l.turn <- struct{}{} }
}

// read looks at the blob. One that is not there holds the zero note.
func (l *lock) read(ctx context.Context) error {
	found, err := l.blob.DownloadStream(ctx, nil)
	if absent(err) {
		l.note, l.etag, l.leased, l.endless = rotate.Note{}, "", false, false
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(found.Body, longestNote))
	_ = found.Body.Close()
	if err != nil {
		return err
	}
	held, err := parseContent(text)
	switch {
	case err != nil:
		return rotate.Errorf(rotate.Configuration, "the blob %s in %s cannot be read: %w", l.name, l.container.URL(), err).
			WithHint("find out who has changed it; if the runner is connected and its app holds what Maia does, delete the blob")
	case held.App != "" && !strings.EqualFold(held.App, l.app):
		// Whoever names another runner's agent in an app of theirs would have its live secret healed into it.
		return rotate.Errorf(rotate.Configuration, "the blob %s in %s says that the runner is at home in %s, not in %s", l.name, l.container.URL(), held.App, l.app).
			WithHint("if the runner has moved, delete the blob; if not, find out who names its agent in another app")
	}
	if value(found.ETag) == "" {
		return rotate.Errorf(rotate.NotReady, "the blob %s in %s was read without an ETag, by which alone it can be written safely", l.name, l.container.URL()).
			WithHint("look what is between the function and its storage account")
	}
	l.note, l.etag, l.leased = held.Note, *found.ETag, value(found.LeaseState) == lease.StateTypeLeased
	l.endless = l.leased && value(found.LeaseDuration) == lease.DurationTypeInfinite
	return nil
}

// answered says that an error is an answer with one of the codes, or one without a code, with the status.
func answered(err error, status int, codes ...bloberror.Code) bool {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.ErrorCode == "" {
		return answer.StatusCode == status
	}
	return bloberror.HasCode(err, codes...)
}

// absent says of an error that the blob is not there, or not even the container.
func absent(err error) bool {
	return answered(err, http.StatusNotFound, bloberror.BlobNotFound, bloberror.ContainerNotFound)
}

// awaitFree waits until nobody else holds the lease, or until it has outlasted its time: then somebody renews it.
func (l *lock) awaitFree(ctx context.Context) (free bool, err error) {
	for began := time.Now(); ; {
		if err := l.read(ctx); err != nil {
			return false, err
		}
		if !l.leased || l.held() {
			return true, nil
		}
		if l.endless {
			return false, l.busy() // no run's: nobody would ever be at work on the runner
		}
		if time.Since(began) > leaseDuration+leaseMargin {
			return false, nil
		}
		if err := wait(ctx, leasePoll); err != nil {
			return false, err
		}
	}
}

func (l *lock) held() bool { return l.left() > 0 }

// left is for how long the lease is ours still. On a machine that has slept only the clock on the wall tells.
func (l *lock) left() time.Duration {
	return min(time.Until(l.till), l.till.Round(0).Sub(time.Now().Round(0)))
}

// write makes a note durable, under the lease, which it takes if it has to. The note before must be the one that was seen.
func (l *lock) write(ctx context.Context, note rotate.Note) error {
	before := l.note
	if err := l.enter(ctx); err != nil {
		return err
	}
	text, err := json.Marshal(content{App: l.app, Note: note})
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		if l.etag == "" {
			return l.deleted()
		}
		written, err := l.blob.Upload(ctx, streaming.NopCloser(bytes.NewReader(text)), &blockblob.UploadOptions{
			HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
			AccessConditions: &blob.AccessConditions{
				LeaseAccessConditions:    &blob.LeaseAccessConditions{LeaseID: &l.id},
				ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &l.etag},
			},
		})
		if err == nil {
			l.note = note
			if written.ETag != nil {
				l.etag = *written.ETag // else the one before is not that of the blob any more, and the blob is read again
			}
			return nil
		}
		if absent(err) || lost(err) {
			return l.taken(err)
		}
		if !answered(err, http.StatusPreconditionFailed, bloberror.ConditionNotMet) || try == maxTries {
			return err
		}
		// It was written and the answer lost, or the ETag has changed without the content.
		if err := l.read(ctx); err != nil {
			return err
		}
		switch {
		case l.etag == "":
		case l.note.Equal(note):
			return nil
		case !l.note.Equal(before):
			return l.busy()
		}
	}
}

// lost says of an error that the lease is no longer ours.
func lost(err error) bool {
	return bloberror.HasCode(err, bloberror.LeaseLost,
		bloberror.LeaseIDMismatchWithBlobOperation, bloberror.LeaseNotPresentWithBlobOperation,
		bloberror.LeaseIDMismatchWithLeaseOperation, bloberror.LeaseNotPresentWithLeaseOperation, bloberror.LeaseIsBrokenAndCannotBeRenewed)
}

// taken is the error of a lock that is not ours any more, as an error says.
func (l *lock) taken(err error) *rotate.Error {
	if absent(err) {
		return l.deleted()
	}
	l.till = time.Time{}
	return l.busy()
}

// deleted is the error of a blob that is not there any more, and its lease with it.
func (l *lock) deleted() *rotate.Error {
	l.till, l.etag = time.Time{}, ""
	return rotate.Errorf(rotate.NotReady, "the blob %s in %s has been deleted since this run looked at it", l.name, l.container.URL()).
		WithHint("nothing: it is made again; if this repeats, find out who deletes it")
}

// enter makes sure that the lease is ours, and that nobody has written the note since it was seen.
func (l *lock) enter(ctx context.Context) error {
	before := l.note
	if err := l.take(ctx); err != nil {
		return err
	}
	if !l.note.Equal(before) {
		return l.busy()
	}
	return nil
}

// take takes the lease, unless it is ours, and looks at the blob again.
func (l *lock) take(ctx context.Context) error {
	if l.held() {
		return nil
	}
	if l.etag == "" {
		if err := l.create(ctx); err != nil {
			return err
		}
	}
	for began := time.Now(); ; {
		asked := time.Now()
		_, err := l.leases.AcquireLease(ctx, int32(leaseDuration/time.Second), nil)
		if err == nil {
			l.keep(ctx, asked)
			return l.read(ctx)
		}
		switch {
		case absent(err):
			return l.deleted()
		case !answered(err, http.StatusConflict, bloberror.LeaseAlreadyPresent, bloberror.LeaseIsBreakingAndCannotBeAcquired):
			return err
		case l.endless, time.Since(began) > leaseDuration+leaseMargin:
			return l.busy()
		}
		if err := wait(ctx, leasePoll); err != nil {
			return err
		}
	}
}

// create makes the blob, empty, and the container around it. Another run may have made them.
func (l *lock) create(ctx context.Context) error {
	for try := 0; ; try++ {
		_, err := l.blob.Upload(ctx, streaming.NopCloser(bytes.NewReader(nil)), &blockblob.UploadOptions{
			AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}},
		})
		switch {
		case err == nil, answered(err, http.StatusConflict, bloberror.BlobAlreadyExists),
			answered(err, http.StatusPreconditionFailed, bloberror.ConditionNotMet, bloberror.LeaseIDMissing):
			return nil
		case !absent(err) || try > 0:
			return err
		}
		if _, err := l.container.Create(ctx, nil); err != nil && !answered(err, http.StatusConflict, bloberror.ContainerAlreadyExists) {
			return failure("make the container of blob "+l.name, actionContainer, err)
		}
	}
}

// keep has the lease renewed from now on, which was asked for at a time.
func (l *lock) keep(ctx context.Context, asked time.Time) {
	l.till = asked.Add(leaseDuration)
	if l.stop.Load() != nil {
		return
	}
	renewal, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.gone = make(chan struct{})
	l.stop.Store(&stop)
	go l.renew(renewal, l.gone)
}

// renew keeps the lease until it is told to stop, or has lost it.
func (l *lock) renew(ctx context.Context, gone chan<- struct{}) {
	defer close(gone)
	for wait(ctx, renewEvery) == nil && l.renewed(ctx) {
	}
}

// renewed says that the lease is ours still, after it was renewed, and that there is something to go on for.
func (l *lock) renewed(ctx context.Context) bool {
	defer l.use()()
	if ctx.Err() != nil {
		return false
	}
	if l.held() {
		_ = l.extend(ctx) // else at the next tick, or Hold says so
	}
	if !l.held() {
		l.end() // one that is taken again is kept anew
		l.gone = nil
		return false
	}
	return true
}

// extend renews the lease now.
func (l *lock) extend(ctx context.Context) error {
	asked := time.Now()
	bounded, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	_, err := l.leases.RenewLease(bounded, nil)
	switch {
	case err == nil:
		l.till = asked.Add(leaseDuration)
	case absent(err), lost(err):
		return l.taken(err)
	}
	return err
}

// hold makes sure that the lease is ours for at least d. It is renewed in any case: somebody may have broken it.
func (l *lock) hold(ctx context.Context, d time.Duration) error {
	if !l.held() {
		return l.busy()
	}
	if err := l.extend(ctx); err != nil {
		return err
	}
	if left := l.left(); left < d {
		return rotate.Errorf(rotate.NotReady, "the lock on the runner is this run's for %s more, a refresh may take %s", left.Round(time.Second), d).
			WithHint("nothing: the next run tries again; if this repeats, the storage account answers too slowly")
	}
	return nil
}

// end ends the renewal.
func (l *lock) end() {
	if stop := l.stop.Swap(nil); stop != nil {
		(*stop)()
	}
}

// release gives the lock back. A renewal that is under way is not waited for.
func (l *lock) release(ctx context.Context) {
	l.end()
	done := l.use()
	gone := l.gone
	l.gone = nil
	if l.held() {
		_, _ = l.leases.ReleaseLease(ctx, nil) // else it ends by itself
	}
	l.till = time.Time{}
	done()
	if gone != nil {
		<-gone
	}
}

// errOtherRun is what a lock's error wraps where another run has it.
var errOtherRun = errors.New("another run")

// busy is the error of a lock that another run holds, or has held.
func (l *lock) busy() *rotate.Error {
	if l.endless {
		return rotate.Errorf(rotate.NotReady, "the blob %s in %s is leased without an end, which no run does", l.name, l.container.URL()).
			WithHint("find out who holds it; end it with az storage blob lease break")
	}
	other := rotate.Errorf(rotate.NotReady, "another run is at work on this runner, or has been since this one looked").
		WithHint("nothing: that run goes on, or the next one does")
	other.Err = errOtherRun
	return other
}
