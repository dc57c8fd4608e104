package gcp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/api/googleapi"
)

// status is the HTTP status of an error that Google Cloud answered, with what it said; 0 if the call did not get as far.
func status(err error) (int, string) {
	var api *googleapi.Error
	if errors.As(err, &api) {
		return api.Code, api.Message
	}
	var typed *apierror.APIError
	if errors.As(err, &typed) {
		return typed.HTTPCode(), typed.Error()
	}
	return 0, ""
}

func missing(err error) bool {
	code, _ := status(err)
	return code == http.StatusNotFound
}

// failure is an error of a call for which a permission is needed.
func failure(permission string, err error) error {
	switch code, message := status(err); code {
	case http.StatusForbidden, http.StatusUnauthorized:
		return fmt.Errorf("your credentials do not allow %s: %s", permission, message)
	default:
		return fmt.Errorf("%s: %w", permission, err)
	}
}
