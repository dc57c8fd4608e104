package iam

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// success is the answer of an operation. Both its element and that of its result are called after the operation.
type success struct {
	XMLName   xml.Name
	Namespace string `xml:"xmlns,attr"`
	Result    any
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

func errorAnswer(e *awsjson.Error, requestID string) errorResponse {
	kind := "Sender"
	if e.Status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	return errorResponse{Namespace: namespace, Type: kind, Code: e.Code, Message: e.Message, RequestID: requestID}
}

func failure(status int, code, format string, args ...any) *awsjson.Error {
	return &awsjson.Error{Code: code, Message: fmt.Sprintf(format, args...), Status: status}
}

func invalidInput(format string, args ...any) *awsjson.Error {
	return failure(http.StatusBadRequest, "InvalidInput", format, args...)
}

// validation is the error of a parameter that is not of its type or length.
func validation(parameter, constraint string, args ...any) *awsjson.Error {
	return failure(http.StatusBadRequest, "ValidationError",
		"1 validation error detected: Value at '%s' failed to satisfy constraint: %s", parameter, fmt.Sprintf(constraint, args...))
}

// toError turns any error of an operation into one of the service.
func toError(err error) *awsjson.Error {
	var e *awsjson.Error
	if errors.As(err, &e) {
		return e
	}
	return failure(http.StatusInternalServerError, "ServiceFailure", "%v", err)
}
