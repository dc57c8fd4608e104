// Package resourcemanager is what the emulators of parts of Azure Resource Manager have in common: its errors, its versions,
// and its lists, which come in pages.
package resourcemanager

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Problem is an error of Azure Resource Manager.
type Problem struct {
	Status        int
	Code, Message string
}

// New is a problem.
func New(status int, code, message string) *Problem { return &Problem{status, code, message} }

// Answer is the problem as it is answered.
func (p *Problem) Answer() wire.Answer {
	answer := JSON(p.Status, map[string]any{"error": map[string]any{"code": p.Code, "message": p.Message}})
	answer.Code = p.Code
	if p.Status == http.StatusUnauthorized {
		answer.Header.Set("Www-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.example/", error="invalid_token"`)
	}
	return answer
}

// JSON is an answer with a document.
func JSON(status int, document any) wire.Answer {
	body, err := json.Marshal(document)
	if err != nil {
		panic(fmt.Sprintf("resourcemanager: %v", err))
	}
	return wire.Answer{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: body}
}

// Unauthenticated is the problem of a request without the token that is accepted.
var Unauthenticated = New(http.StatusUnauthorized, "AuthenticationFailed",
	"Authentication failed. The 'Authorization' header is missing or invalid.")

// Denied is the problem of a caller who may not do something.
func Denied(action, scope string) *Problem {
	return &Problem{http.StatusForbidden, "AuthorizationFailed", fmt.Sprintf(
		"The client '00000000-0000-0000-0000-00000000000c' with object id '00000000-0000-0000-0000-00000000000d' does not have authorization "+
			"to perform action '%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		action, scope)}
}

// Refusal is the answer to a call that meets a fault.
func Refusal(fault wire.Fault, action, scope string) wire.Answer {
	switch fault.Kind {
	case wire.AccessDenied:
		return Denied(action, scope).Answer()
	case wire.Conflict:
		return New(http.StatusConflict, "Conflict", "Another operation is in progress.").Answer()
	case wire.BadRequest:
		return New(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid.").Answer()
	case wire.Throttle:
		answer := New(http.StatusTooManyRequests, "TooManyRequests", "The request is being throttled.").Answer()
		answer.Header.Set("Retry-After", strconv.Itoa(int(fault.RetryAfter.Seconds())))
		return answer
	}
	return New(http.StatusInternalServerError, "InternalServerError", "The server encountered an error.").Answer()
}

var version = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(-preview)?$`)

// CheckVersion checks the API version that a request asks for.
func CheckVersion(request *http.Request) *Problem {
	switch asked := request.URL.Query().Get("api-version"); {
	case asked == "":
		return New(http.StatusBadRequest, "MissingApiVersionParameter",
			"The api-version query parameter (?api-version=) is required for all requests.")
	case !version.MatchString(asked):
		return New(http.StatusBadRequest, "InvalidApiVersionParameter", "The api-version '"+asked+"' is invalid.")
	}
	return nil
}

// Page is the part of a list that a request asks for, of at most size items, with a link to the next.
func Page(request *http.Request, all []any, size int) (answer wire.Answer, failed *Problem) {
	query := request.URL.Query()
	from := 0
	if token := query.Get("$skipToken"); token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 0 || from > len(all) {
			return answer, New(http.StatusBadRequest, "InvalidSkipToken", "The skip token is invalid.")
		}
	}
	until := min(from+size, len(all))
	document := map[string]any{"value": append([]any{}, all[from:until]...)}
	if until < len(all) {
		query.Set("$skipToken", strconv.Itoa(until))
		next := url.URL{Scheme: "https", Host: request.Host, Path: request.URL.Path, RawQuery: query.Encode()}
		if host, _, err := net.SplitHostPort(request.Host); err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback()) &&
			request.TLS == nil {
			next.Scheme = "http"
		}
		document["nextLink"] = next.String()
	}
	return JSON(http.StatusOK, document), nil
}
