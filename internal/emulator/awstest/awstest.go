// Package awstest is what the tests of the emulators of AWS share: the settings of an SDK client, and the check of an error.
package awstest

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Config has an SDK client call the service without a network and without retries.
func Config(region string, service http.Handler) aws.Config {
	return aws.Config{
		Region:           region,
		Credentials:      credentials.NewStaticCredentialsProvider("AKID", "SECRET", "TOKEN"),
		BaseEndpoint:     aws.String("http://service.test"),
		HTTPClient:       &http.Client{Transport: wire.Transport(service)},
		RetryMaxAttempts: 1,
	}
}

// WantError ends the test unless the error has the code and its message contains the words. An empty code wants no error.
func WantError(t testing.TB, err error, code, words string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("err = %v", err)
		}
		return
	}
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), words) {
		t.Fatalf("err = %v, want %s with %q", err, code, words)
	}
}

// WantStatus is WantError, and checks the status too. Status 0 wants no error.
func WantStatus(t testing.TB, err error, status int, code, words string) {
	t.Helper()
	if status == 0 {
		code = ""
	}
	WantError(t, err, code, words)
	var response *awshttp.ResponseError
	if status != 0 && (!errors.As(err, &response) || response.HTTPStatusCode() != status) {
		t.Fatalf("err = %v, want status %d", err, status)
	}
}
