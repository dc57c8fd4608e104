package containerapp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The actions on blobs that the function's identity needs.
const (
	actionReadBlob  = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	actionWriteBlob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
)

// failure gives an error of Azure its kind. The SDK's own text is not used: it holds the whole answer.
func failure(what, action string, err error) error {
	if err == nil || errors.As(err, new(*rotate.Error)) {
		return err
	}
	var answered *azcore.ResponseError
	if !errors.As(err, &answered) {
		return fmt.Errorf("%s: %w", what, err)
	}
	kind, todo := rotate.Internal, "look at the activity log; the next run tries again"
	switch code := answered.StatusCode; {
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		kind, todo = rotate.Permission, "allow the function's identity "+action
	case code == http.StatusNotFound:
		kind, todo = rotate.Configuration, "check the resource ID in the function's settings"
	case code == http.StatusConflict:
		kind, todo = rotate.NotReady, "nothing: somebody else changes it, the next run tries again"
	case code == http.StatusTooManyRequests, code >= 500:
		kind, todo = rotate.NotReady, "nothing: the next run tries again"
	}
	typed := rotate.Errorf(kind, "%s: %s (HTTP %d)", what, answered.ErrorCode, answered.StatusCode)
	typed.Todo = todo
	return typed
}
