package aws

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// code is the code of a service's error; "" if no service answered.
func code(err error) string {
	var answered smithy.APIError
	if errors.As(err, &answered) {
		return answered.ErrorCode()
	}
	return ""
}

func denied(err error) bool { return strings.Contains(code(err), "AccessDenied") }

func missing(err error) bool {
	return slices.Contains([]string{"ResourceNotFoundException", "NoSuchEntity"}, code(err))
}

// fatal reports whether no other call can be expected to be answered either: there are no credentials, they are not accepted, or
// AWS cannot be reached.
func fatal(err error) bool {
	switch code(err) {
	case "", "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException",
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired":
		return true
	}
	return false
}

// failure is an error of a call that everything else depends on.
func failure(operation string, err error) error {
	if denied(err) {
		return fmt.Errorf("your credentials do not allow %s: %s", operation, message(err))
	}
	return &callError{operation + ": " + message(err), err}
}

// callError is an error of a call, in words that hold no answer.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// message is what a service said of an error, without the SDK's words around it.
func message(err error) string {
	return ecs.ErrorText(err)
}

// untested warns that a check could not be made, because a call failed. It returns the errors that are fatal.
func (r *run) untested(check, operation string, err error) error {
	switch {
	case fatal(err):
		return failure(operation, err)
	case denied(err):
		r.report.Warn(check, "check with credentials that allow "+operation, "could not be tested: your credentials do not allow %s", operation)
	default:
		r.report.Warn(check, "", "could not be tested: %s: %s", operation, message(err))
	}
	return nil
}
