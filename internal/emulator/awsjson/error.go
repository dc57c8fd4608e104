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
