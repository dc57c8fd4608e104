package awsjson

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an error as the service answers it.
type Error struct {
	Code    string // such as "ResourceNotFoundException"
	Message string
	Status  int // HTTP status; 0 means 400
}

// Errorf returns an error that is answered with status 400.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid returns the error of a value that breaks a constraint. at is the value in the service's words: "at 'maxResults'", or
// "'x' at 'sortBy'" where the service repeats it.
func Invalid(at, constraint string) *Error {
	message := "1 validation error detected: Value " + at + " failed to satisfy constraint: Member must " + constraint
	return &Error{Code: "ValidationException", Message: message, Status: http.StatusBadRequest}
}

// Unauthorized is the message of an error for want of a right, such as "iam:GetRole".
func Unauthorized(account, role, right, resource string) string {
	return fmt.Sprintf("User: arn:aws:sts::%s:assumed-role/%s/session is not authorized to perform: %s on resource: %s because no "+
		"identity-based policy allows the %[3]s action", account, role, right, resource)
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// toError turns any error of an operation into one of the service.
func toError(err error, config Config) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: config.ServerError, Message: err.Error(), Status: http.StatusInternalServerError}
}

func status(err error) int {
	if err == nil {
		return http.StatusOK
	}
	var e *Error
	switch {
	case !errors.As(err, &e):
		return http.StatusInternalServerError
	case e.Status == 0:
		return http.StatusBadRequest
	default:
		return e.Status
	}
}

func code(err error, config Config) string {
	if err == nil {
		return ""
	}
	return toError(err, config).Code
}
