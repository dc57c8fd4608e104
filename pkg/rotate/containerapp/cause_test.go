package containerapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// TestErrorsNameTheCause: one status has several causes, each with its own kind and hint.
func TestErrorsNameTheCause(t *testing.T) {
	for _, test := range []struct {
		status int
		code   string
		kind   rotate.Kind
		hint   string
	}{
		{403, "AuthorizationFailed", rotate.Permission, "allow the function's identity " + actionWrite},
		{403, "AuthorizationPermissionMismatch", rotate.Permission, "allow the function's identity"},
		{403, "", rotate.Permission, "allow the function's identity"},
		{403, "RequestDisallowedByPolicy", rotate.Configuration, "Azure Policy with the effect Deny"},
		{403, "RequestDisallowedByAzure", rotate.Configuration, "policy of Azure's own"},
		{403, "DenyAssignmentAuthorizationFailed", rotate.Configuration, "deny assignment"},
		{403, "AuthorizationFailure", rotate.Configuration, "network into the storage account"},
		{409, "ScopeLocked", rotate.Configuration, "remove the lock ReadOnly"},
		{409, "ReadOnlyDisabledSubscription", rotate.Configuration, "subscription is disabled"},
		{409, "ContainerAppOperationInProgress", rotate.NotReady, "another writer changes it"},
		{400, "QuotaExceeded", rotate.Configuration, "raise the quota"},
		{409, "SubscriptionQuotaExceeded", rotate.Configuration, "raise the quota"},
		{429, "TooManyRequests", rotate.NotReady, "the next run tries again"},
		{408, "", rotate.NotReady, "the next run tries again"},
		{500, "InternalServerError", rotate.NotReady, "the next run tries again"},
		{503, "ServerBusy", rotate.NotReady, "the next run tries again"},
		{401, "AuthenticationFailed", rotate.Permission, "of the tenant"},
		{404, "ResourceNotFound", rotate.Configuration, "check the resource ID"},
		{404, "RevisionNotFound", rotate.NotReady, "the revision is gone"},
		{400, "RevisionInactive", rotate.NotReady, "deactivated"},
		{400, "ContainerAppSecretInvalid", rotate.Configuration, "Azure refuses the app's secrets"},
		{400, "InvalidRequestContent", rotate.Internal, "activity log"},
	} {
		err := failure("change app runner", actionWrite, &azcore.ResponseError{StatusCode: test.status, ErrorCode: test.code})
		var typed *rotate.Error
		if !errors.As(err, &typed) || typed.Kind != test.kind || !strings.Contains(typed.Hint, test.hint) ||
			!strings.Contains(typed.What, fmt.Sprint(test.status)) {
			t.Errorf("%d %s is %v", test.status, test.code, err)
		}
	}
}

// TestNoTextOfTheSDKIsPassedOn, because it may quote an answer.
func TestNoTextOfTheSDKIsPassedOn(t *testing.T) {
	const quoted = "the-secret-of-another"
	malformed := json.Unmarshal([]byte(`{"a":`+quoted+`}`), new(any))
	for name, err := range map[string]error{
		"JSON": fmt.Errorf("unmarshalling type *armappcontainers.SecretsCollection: %s: %w", quoted, malformed),
		"a status line": &url.Error{Op: "Get", URL: "https://management.azure.com/" + quoted,
			Err: fmt.Errorf("malformed HTTP response %q", quoted)},
		"a code":          &azcore.ResponseError{StatusCode: 500, ErrorCode: "<html>\n" + strings.Repeat("x", 200) + quoted},
		"a broken answer": &url.Error{Op: "Get", URL: quoted, Err: io.ErrUnexpectedEOF},
		"no connection":   &url.Error{Op: "Get", URL: quoted, Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}},
		"no name": &url.Error{Op: "Get", URL: quoted,
			Err: &net.DNSError{Err: "no such host", Name: "management.azure.com", IsNotFound: true}},
	} {
		text := failure("read app runner", actionRead, err).Error()
		if strings.Contains(text, quoted) || strings.Contains(text, "\n") || len(text) > 400 {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestTheLastRealAnswerIsNamed, and not that the request was canceled while the SDK waited for its next try.
func TestTheLastRealAnswerIsNamed(t *testing.T) {
	busy := &azcore.ResponseError{StatusCode: http.StatusTooManyRequests, ErrorCode: "TooManyRequests"}
	err := failure("read app runner", actionRead, &tooLate{context.DeadlineExceeded, busy})
	if text := err.Error(); !strings.Contains(text, "TooManyRequests (HTTP 429), until the time was up") ||
		!errors.Is(err, context.DeadlineExceeded) || rotate.KindOf(err) != rotate.NotReady {
		t.Errorf("%v", err)
	}
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	err = failure("read app runner", actionRead, &tooLate{context.Canceled, reset})
	if text := err.Error(); !strings.Contains(text, "connection reset by peer, until the time was up") || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestOrdersAreReadAsTheyWereWritten: an ID in any other form says nothing.
func TestOrdersAreReadAsTheyWereWritten(t *testing.T) {
	at := time.Date(2026, 11, 28, 19, 17, 57, 123_000_000, time.UTC)
	for _, one := range []order{
		{}, {at: at}, {at: at, before: map[string]replica{"runner--1-a": {created: at.Add(-1), restarts: 3}, "runner--1-b": {}}},
	} {
		revision, read, ok := parseOrder(one.id("runner--1"))
		if !ok || revision != "runner--1" || !read.at.Equal(one.at) || len(read.before) != len(one.before) {
			t.Errorf("%s is read as %q, %+v, %t", one.id("runner--1"), revision, read, ok)
		}
		for name, was := range one.before {
			if got := read.before[name]; !got.created.Equal(was.created) || got.restarts != was.restarts {
				t.Errorf("%s: %+v is read as %+v", name, was, got)
			}
		}
	}
	for _, text := range []string{"", "runner--1", "@-", "runner--1@yesterday", "runner--1@-;a", "runner--1@-;a=-",
		"runner--1@-;a=-+x", "runner--1@-;a=b+1"} {
		if revision, _, ok := parseOrder(text); ok {
			t.Errorf("%q is read as an order of %s", text, revision)
		}
	}
	many := order{at: at, before: map[string]replica{}}
	for i := range 1000 {
		many.before[fmt.Sprintf("runner--1-%d", i)] = replica{created: at}
	}
	if n := len(many.id("runner--1")); n > 2000 {
		t.Errorf("an ID of %d bytes", n)
	}
}
