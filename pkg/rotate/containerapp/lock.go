package containerapp

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	azlease "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/lease"
)

const renewTime = 15 * time.Second // that a renewal may take, its repetitions included

// lock is the runner's blob: its lease is the lock of the platform, its content the note.
type lock struct {
	lease     *lease.Lock
	container *container.Client
	blob      *blockblob.Client
	leases    *azlease.BlobClient
	name      string
	app       string // resource ID, of the runner's app
	id        string // of the lease

	note rotate.Note // as last read
	etag azcore.ETag // empty: there is no blob
}

func newLock(state *container.Client, name, app string) *lock {
	l := &lock{container: state, name: name, app: app, id: newID(), blob: state.NewBlockBlobClient(name)}
	l.leases, _ = azlease.NewBlobClient(l.blob, &azlease.BlobClientOptions{LeaseID: &l.id}) // errs only if it has to make an ID
	l.lease = lease.New(l)
	return l
}

// newID is a random UUID, as leases want it.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never errs
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Read implements [lease.Backend]. A blob that is not there holds the zero note.
func (l *lock) Read(ctx context.Context, held bool) (lease.State, error) {
	found, err := l.download(ctx)
	if err != nil {
		return lease.State{}, err
	}
	state := lease.State{Lasts: lease.ByPlatform}
	switch status := value(found.LeaseState); {
	case held:
		state.Owner = lease.ThisRun
	case status == azlease.StateTypeLeased, status == azlease.StateTypeBreaking:
		state.Owner = lease.OtherRun
	}
	if value(found.LeaseDuration) == azlease.DurationTypeInfinite {
		state.Endless = rotate.Errorf(rotate.NotReady, "the blob %s in %s is leased without an end, which no run does", l.name,
			l.container.URL()).
			WithHint("find out who holds it; end it with az storage blob lease break")
	}
	return state, nil
}

// enter makes sure that the lease is this run's, and that no other has written the note since it was read.
func (l *lock) enter(ctx context.Context) error {
	if l.lease.Held() {
		return nil
	}
	before := l.note
	if err := l.lease.Take(ctx, l.acquire); err != nil {
		return err
	}
	if err := l.lease.Read(ctx); err != nil {
		return err
	}
	if !l.note.Equal(before) {
		return l.lease.Busy()
	}
	return nil
}

// acquire takes the lease of the blob, which it makes if it has to.
func (l *lock) acquire(ctx context.Context) (since time.Time, err error) {
	if l.etag == "" {
		if err := l.create(ctx); err != nil {
			return time.Time{}, err
		}
	}
	since = time.Now()
	_, err = l.leases.AcquireLease(ctx, int32(lease.Duration/time.Second), nil)
	switch {
	case absent(err):
		err = l.deleted()
	case answered(err, http.StatusConflict, bloberror.LeaseAlreadyPresent, bloberror.LeaseIsBreakingAndCannotBeAcquired):
		err = lease.ErrTaken
	}
	return since, err
}

// create makes the blob, empty, and its container. Another run may have made them.
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
		if err := l.createContainer(ctx); err != nil {
			return err
		}
	}
}

func (l *lock) createContainer(ctx context.Context) error {
	if _, err := l.container.Create(ctx, nil); err != nil && !answered(err, http.StatusConflict, bloberror.ContainerAlreadyExists) {
		return failure("make the container of blob "+l.name, actionContainer, err)
	}
	return nil
}

// hold makes sure that the lease is this run's for at least d. It is renewed in any case: an operator may have broken it.
func (l *lock) hold(ctx context.Context, d time.Duration) error {
	if err := l.lease.Renew(ctx); err != nil {
		return err
	}
	return l.lease.Enough(d)
}

func (l *lock) Renew(ctx context.Context) (since time.Time, err error) {
	bounded, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	since = time.Now()
	if _, err = l.leases.RenewLease(bounded, nil); absent(err) || lost(err) {
		err = l.lostError(err)
	}
	return since, err
}

func (l *lock) Release(ctx context.Context) { _, _ = l.leases.ReleaseLease(ctx, nil) }

// lost reports whether an error means that the lease is no longer this run's.
func lost(err error) bool {
	return bloberror.HasCode(err, bloberror.LeaseLost,
		bloberror.LeaseIDMismatchWithBlobOperation, bloberror.LeaseNotPresentWithBlobOperation,
		bloberror.LeaseIDMismatchWithLeaseOperation, bloberror.LeaseNotPresentWithLeaseOperation, bloberror.LeaseIsBrokenAndCannotBeRenewed)
}

// lostError is the error of a lease that is no longer this run's, as an answer says.
func (l *lock) lostError(err error) *rotate.Error {
	if absent(err) {
		return l.deleted()
	}
	l.lease.Lose()
	return l.lease.Busy()
}

// deleted is the error of a blob that is no longer there, and its lease with it.
func (l *lock) deleted() *rotate.Error {
	l.lease.Lose()
	l.etag = ""
	return rotate.Errorf(rotate.NotReady, "the blob %s in %s has been deleted since this run read it", l.name, l.container.URL()).
		WithHint("nothing: it is made again; if this repeats, find out who deletes it")
}

// answered reports whether an error is an answer with one of the codes, or one without a code, with the status.
func answered(err error, status int, codes ...bloberror.Code) bool {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.ErrorCode == "" {
		return answer.StatusCode == status
	}
	return bloberror.HasCode(err, codes...)
}

// absent reports whether an error means that the blob is not there, or not even the container.
func absent(err error) bool {
	return answered(err, http.StatusNotFound, bloberror.BlobNotFound, bloberror.ContainerNotFound)
}
