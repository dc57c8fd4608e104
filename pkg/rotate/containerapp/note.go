package containerapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	maxTries    = 4        // to write the note
	longestNote = 64 << 10 // bytes
)

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
		return content{}, errors.New("there is something after the note")
	}
	return read, nil
}

// download reads the blob, with the note. The answer is the zero one if there is no blob.
func (l *lock) download(ctx context.Context) (blob.DownloadStreamResponse, error) {
	found, err := l.blob.DownloadStream(ctx, nil)
	if absent(err) {
		l.note, l.etag = rotate.Note{}, ""
		return blob.DownloadStreamResponse{}, nil
	}
	if err != nil {
		return found, err
	}
	text, err := io.ReadAll(io.LimitReader(found.Body, longestNote))
	_ = found.Body.Close()
	if err != nil {
		return found, err
	}
	held, err := parseContent(text)
	switch {
	case err != nil:
		return found, rotate.Errorf(rotate.Configuration, "the blob %s in %s cannot be read: %w", l.name, l.container.URL(), err).
			WithHint("find out who has changed it; if the runner is connected and its app holds what Maia does, delete the blob")
	case held.App != "" && !strings.EqualFold(held.App, l.app):
		// Otherwise whoever names another runner's agent in an app of theirs would have its live secret healed into that app.
		return found, rotate.Errorf(rotate.Configuration, "the blob %s in %s says that the runner is app %s, not %s",
			l.name, l.container.URL(), held.App, l.app).
			WithHint("if the runner has moved, delete the blob; if not, find out who names its agent in another app")
	case value(found.ETag) == "":
		return found, rotate.Errorf(rotate.NotReady, "the blob %s in %s was read without an ETag, by which alone it can be written safely",
			l.name, l.container.URL()).
			WithHint("check what is between the function and its storage account")
	}
	l.note, l.etag = held.Note, *found.ETag
	return found, nil
}

// write makes a note durable, under the lease, which it takes if it has to. The note before must be the one that was read.
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
		err := l.upload(ctx, text)
		switch {
		case err == nil:
			l.note = note
			return nil
		case absent(err) || lost(err):
			return l.lostError(err)
		case !answered(err, http.StatusPreconditionFailed, bloberror.ConditionNotMet) || try == maxTries:
			return err
		}
		// It was written and the answer lost, or the ETag has changed without the content.
		if err := l.lease.Read(ctx); err != nil {
			return err
		}
		switch {
		case l.etag == "":
		case l.note.Equal(note):
			return nil
		case !l.note.Equal(before):
			return l.lease.Busy()
		}
	}
}

// upload writes the blob over the version that was read, under the lease.
func (l *lock) upload(ctx context.Context, text []byte) error {
	written, err := l.blob.Upload(ctx, streaming.NopCloser(bytes.NewReader(text)), &blockblob.UploadOptions{
		HTTPHeaders: &blob.HTTPHeaders{BlobContentType: to.Ptr("application/json")},
		AccessConditions: &blob.AccessConditions{
			LeaseAccessConditions:    &blob.LeaseAccessConditions{LeaseID: &l.id},
			ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: &l.etag},
		},
	})
	if err == nil && written.ETag != nil {
		l.etag = *written.ETag // without it the next write finds a changed ETag, and reads the blob again
	}
	return err
}
