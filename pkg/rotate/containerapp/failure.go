package containerapp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"unicode"

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

// Codes of Azure's.
const (
	// scopeLocked is the code of what a lock of Azure's forbids, lists of secrets among it.
	scopeLocked      = "ScopeLocked"
	revisionNotFound = "RevisionNotFound"
)

// cause is the reason for an answer whose status alone would mislead.
type cause struct {
	code string // of Azure's; a part of it where it ends in "…"
	kind rotate.Kind
	hint string
}

// causes go before the status. The first that fits counts.
var causes = []cause{
	{scopeLocked, rotate.Configuration, "remove the lock ReadOnly from the app or its resource group; one against deletion may stay"},
	{"RequestDisallowedByPolicy", rotate.Configuration,
		"an assignment of Azure Policy with the effect Deny refuses this change, whatever the identity may do; " +
			"the app's activity log names it: exempt the app (az policy exemption create)"},
	{"RequestDisallowedByAzure", rotate.Configuration,
		"a policy of Azure's own refuses this change in this subscription or region: the app's activity log says why; ask its " +
			"administrator, or Microsoft"},
	{"DenyAssignmentAuthorizationFailed", rotate.Configuration,
		"a deny assignment forbids it, which no role overrides: have whoever made it (a deployment stack, a managed application) exclude " +
			"the function's identity"},
	{"ReadOnlyDisabledSubscription", rotate.Configuration, "the subscription is disabled and can only be read: have it enabled again"},
	{"Quota…", rotate.Configuration, "raise the quota that the app's activity log names, or make room in it"},
	{"AuthorizationFailure", rotate.Configuration,
		"let the function's network into the storage account (its firewall, or its private endpoint), and check that the account takes tokens"},
	{"ContainerAppSecretInvalid", rotate.Configuration,
		"Azure refuses the app's secrets as they are: find the one that is empty, or refers to Key Vault and does not resolve, " +
			"and correct or remove it"},
	{revisionNotFound, rotate.NotReady, "nothing: the revision is gone, the next read finds those that are there"},
	{"RevisionInactive", rotate.NotReady, "nothing: the revision was deactivated, the next read finds those that are active"},
}

// causeOf is the cause of an answer; nil if its status says all.
func causeOf(answered *azcore.ResponseError) *cause {
	for _, one := range causes {
		part, isPart := strings.CutSuffix(one.code, "…")
		if one.code == answered.ErrorCode || isPart && strings.Contains(strings.ToLower(answered.ErrorCode), strings.ToLower(part)) {
			return &one
		}
	}
	return nil
}

// Denied is wrapped by the error of a call that no role of the identity allows.
type Denied struct{ Action string }

// Error implements error.
func (d Denied) Error() string { return d.Action + " is not allowed" }

// byStatus is the kind of an answer that has no cause of its own, and what to do about it.
func byStatus(status int, action string) (kind rotate.Kind, hint string) {
	switch {
	case status == http.StatusForbidden:
		return rotate.Permission, "allow the function's identity " + action
	case status == http.StatusUnauthorized:
		return rotate.Permission, "check that the function's identity is of the tenant that the resource is in; the action is " + action
	case status == http.StatusNotFound:
		return rotate.Configuration, "check the resource ID in the function's settings"
	case status == http.StatusConflict:
		return rotate.NotReady, "nothing: another writer changes it, the next run tries again"
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return rotate.NotReady, "nothing: the next run tries again"
	}
	return rotate.Internal, "check the activity log; the next run tries again"
}

// failure gives an error of Azure its kind. The SDK's own text is not used: it holds the whole answer, or quotes it.
func failure(what, action string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := err.(*rotate.Error); ours {
		return err
	}
	if credential := (*rotate.Error)(nil); errors.As(err, &credential) {
		return rotate.Within(what, credential)
	}
	var answered *azcore.ResponseError
	if !errors.As(err, &answered) {
		return notAnswered(what, err)
	}
	kind, hint := byStatus(answered.StatusCode, action)
	if cause := causeOf(answered); cause != nil {
		kind, hint = cause.kind, cause.hint
	}
	code := strings.Map(func(r rune) rune { // a word, whatever was sent in its place
		if r == '_' || r == '-' || r == '.' || r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return -1
	}, answered.ErrorCode)
	code = cmp.Or(code[:min(len(code), longestCode)], http.StatusText(answered.StatusCode))
	typed := rotate.Errorf(kind, "%s: %s (HTTP %d)", what, code, answered.StatusCode)
	typed.Hint = hint
	if kind == rotate.Permission && answered.StatusCode == http.StatusForbidden {
		typed.Err = Denied{action}
	}
	if late := new(tooLate); errors.As(err, &late) {
		typed.What, typed.Err = typed.What+", until the time was up", late.err
	}
	return typed
}

// longestCode is more than the longest of Azure's codes.
const longestCode = 100

// notAnswered is the error of a call that Azure did not answer, or whose answer could not be read, or that was not even sent.
func notAnswered(what string, err error) error {
	late := new(tooLate)
	if errors.As(err, &late) {
		err = late.last
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s: %w", what, cause)
		}
	}
	text, network := connectionText(err)
	failed := rotate.Errorf(rotate.Internal, "%s: %s", what, text).WithHint("check the function's log; the next run tries again")
	if network {
		failed.Kind = rotate.NotReady
		failed.Hint = "nothing: the next run tries again; if this repeats, check that the function reaches Azure Resource Manager and its " +
			"storage account"
	}
	if late.err != nil {
		failed.What, failed.Err = failed.What+", until the time was up", late.err
	}
	return failed
}

// connectionText is the part of an error without an answer that may be shown: nothing that may quote a server. It reports whether
// the network is in the way.
func connectionText(err error) (text string, network bool) {
	var (
		dns     *net.DNSError
		op      *net.OpError
		cert    *tls.CertificateVerificationError
		alert   tls.AlertError
		errno   syscall.Errno
		timeout net.Error
	)
	switch {
	case errors.As(err, &dns):
		return dns.Error(), true
	case errors.As(err, &op):
		return op.Error(), true
	case errors.As(err, &cert):
		return cert.Error(), true
	case errors.As(err, &alert):
		return alert.Error(), true
	case errors.As(err, &errno):
		return errno.Error(), true
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "the connection was closed before the answer was complete", true
	case errors.As(err, &timeout):
		return "no complete answer", true
	}
	return "no answer that could be read", false
}
