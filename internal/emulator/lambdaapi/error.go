package lambdaapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

func failure(status int, code, format string, args ...any) *awsjson.Error {
	return &awsjson.Error{Code: code, Message: fmt.Sprintf(format, args...), Status: status}
}

func notFound(format string, args ...any) *awsjson.Error {
	return failure(http.StatusNotFound, "ResourceNotFoundException", format, args...)
}

func invalid(format string, args ...any) *awsjson.Error {
	return failure(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}

// toError turns any error of an operation into one of the service.
func toError(err error) *awsjson.Error {
	var e *awsjson.Error
	if errors.As(err, &e) {
		return e
	}
	return failure(http.StatusInternalServerError, "ServiceException", "%v", err)
}

// errorBody is the body of an error; its code is in a header. The service spells the message's member in two ways, and its
// clients know which error has which.
func errorBody(e *awsjson.Error) map[string]string {
	kind, member := "User", "Message"
	if e.Status >= http.StatusInternalServerError {
		kind = "Service"
	}
	if e.Code == "InvalidParameterValueException" || e.Code == "ValidationException" {
		member = "message"
	}
	return map[string]string{"Type": kind, member: e.Message}
}
