package containerapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// wishesName is the blob with what operators have asked for of an agent. It is another one than the note's: nobody can write that
// while a run leases it.
func wishesName(agentID string) string { return strings.ToLower(agentID) + ".wishes.json" }

// errUnread is wrapped by the error of a blob that was read, and is not understood.
var errUnread = errors.New("it is not as maia-rotate writes it")

// readWishes reads the blob, with its ETag, which is empty if there is none.
func readWishes(ctx context.Context, state *container.Client, agentID string) (wishes rotate.Wishes, etag azcore.ETag, err error) {
	name := wishesName(agentID)
	found, err := state.NewBlockBlobClient(name).DownloadStream(ctx, nil)
	if absent(err) {
		return rotate.Wishes{}, "", nil
	}
	if err != nil {
		return rotate.Wishes{}, "", failure("read blob "+name, actionReadBlob, err)
	}
	defer func() { _ = found.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(found.Body, longestNote))
	if err != nil {
		return rotate.Wishes{}, "", failure("read blob "+name, actionReadBlob, err)
	}
	if wishes, err = rotate.ParseWishes(text); err != nil {
		err = fmt.Errorf("blob %s in %s: %w: %w", name, state.URL(), errUnread, err)
	}
	return wishes, value(found.ETag), err
}

// Wish changes what operators have asked for of the runner. Runs that are at work see it. Where two operators do so at the same time,
// each change is made to what the other has written.
func (r *Runner) Wish(ctx context.Context, change func(*rotate.Wishes)) error {
	state, agentID := r.lock.container, r.agentID
	for try := 0; ; try++ {
		wishes, etag, err := readWishes(ctx, state, agentID)
		if err != nil && !errors.Is(err, errUnread) { // what is not understood is replaced
			return err
		}
		change(&wishes)
		text, err := json.Marshal(wishes)
		if err != nil {
			return err
		}
		conditions := &blob.ModifiedAccessConditions{IfMatch: &etag}
		if etag == "" {
			conditions = &blob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}
		}
		_, err = state.NewBlockBlobClient(wishesName(agentID)).Upload(ctx, streaming.NopCloser(bytes.NewReader(text)), &blockblob.UploadOptions{
			HTTPHeaders:      &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
			AccessConditions: &blob.AccessConditions{ModifiedAccessConditions: conditions},
		})
		if absent(err) && try == 0 {
			if err := r.lock.createContainer(ctx); err != nil {
				return err
			}
			continue
		}
		raced := answered(err, http.StatusPreconditionFailed, bloberror.ConditionNotMet) ||
			answered(err, http.StatusConflict, bloberror.BlobAlreadyExists)
		if err == nil || !raced || try == maxTries {
			return failure("write blob "+wishesName(agentID), actionWriteBlob, err)
		}
	}
}
