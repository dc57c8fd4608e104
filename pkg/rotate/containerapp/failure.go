package containerapp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The actions that the function's identity needs: on the app …
const (
	actionRead        = "Microsoft.App/containerApps/read"
	actionWrite       = "Microsoft.App/containerApps/write"
	actionListSecrets = "Microsoft.App/containerApps/listSecrets/action"
	actionRevisions   = "Microsoft.App/containerApps/revisions/read"
	actionRestart     = "Microsoft.App/containerApps/revisions/restart/action"
	actionReplicas    = "Microsoft.App/containerApps/revisions/replicas/read"
)

// … and in the storage account.
const (
	actionReadBlob  = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read"
	actionWriteBlob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
	actionContainer = "Microsoft.Storage/storageAccounts/blobServices/containers/write"
)

// scopeLocked is the code of what a lock of Azure's forbids, lists of secrets among it.
const scopeLocked = "ScopeLocked"

// failure gives an error of Azure its kind. The SDK's own text of an answer is not used: it holds the whole of it.
func failure(what, action string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := err.(*rotate.Error); ours {
		return err
	}
	if errors.As(err, new(*rotate.Error)) { // a credential's
		return fmt.Errorf("%s: %w", what, err)
	}
	var answered *azcore.ResponseError
	if !errors.As(err, &answered) {
		return notAnswered(what, err)
	}
	kind, todo := rotate.Internal, "look at the activity log; the next run tries again"
	switch code := answered.StatusCode; {
	case answered.ErrorCode == scopeLocked:
		kind, todo = rotate.Configuration, "remove the lock ReadOnly from the app or its resource group; one against deletion may stay"
	case code == http.StatusForbidden:
		kind, todo = rotate.Permission, "allow the function's identity "+action
	case code == http.StatusUnauthorized:
		kind, todo = rotate.Permission, "check that the function's identity is of the tenant that the resource is in; the action is "+action
	case code == http.StatusNotFound:
		kind, todo = rotate.Configuration, "check the resource ID in the function's settings"
	case code == http.StatusConflict:
		kind, todo = rotate.NotReady, "nothing: somebody else changes it, the next run tries again"
	case code == http.StatusTooManyRequests, code >= 500:
		kind, todo = rotate.NotReady, "nothing: the next run tries again"
	}
	typed := rotate.Errorf(kind, "%s: %s (HTTP %d)", what, cmp.Or(answered.ErrorCode, http.StatusText(answered.StatusCode)), answered.StatusCode)
	typed.Todo = todo
	return typed
}

// notAnswered is the error of a call that Azure did not answer, or that was not even sent.
func notAnswered(what string, err error) error {
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s: %w", what, cause)
		}
	}
	text, _, _ := strings.Cut(err.Error(), "\n") // what follows may hold an answer
	failed := rotate.Errorf(rotate.Internal, "%s: %s", what, text).WithTodo("look at the function's log; the next run tries again")
	var network net.Error
	if errors.As(err, &network) {
		failed.Kind = rotate.NotReady
		failed.Todo = "nothing: the next run tries again; if this repeats, check that the function reaches Azure Resource Manager and its storage account"
	}
	return failed
}
