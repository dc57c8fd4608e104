package containerapp

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// LastAnswers has a client remember the error of the last try of a request. If the time is up while it waits for the next try,
// the SDK itself says only that the request was canceled. The clients that use [Config]'s options have it already.
func LastAnswers(options azcore.ClientOptions) azcore.ClientOptions {
	options.PerCallPolicies = append(options.PerCallPolicies[:len(options.PerCallPolicies):len(options.PerCallPolicies)], callPolicy{})
	options.PerRetryPolicies = append(options.PerRetryPolicies[:len(options.PerRetryPolicies):len(options.PerRetryPolicies)], tryPolicy{})
	return options
}

// tries is what is remembered of the tries of a request.
type tries struct{ last error }

// tooLate is the error of a request whose time was up between two tries.
type tooLate struct{ err, last error }

func (t *tooLate) Error() string { return t.err.Error() }

// Unwrap gives both causes: why it ended, and what went wrong before.
func (t *tooLate) Unwrap() []error { return []error{t.err, t.last} }

// callPolicy is around all tries of a request.
type callPolicy struct{}

// Do implements policy.Policy.
func (callPolicy) Do(request *policy.Request) (*http.Response, error) {
	made := &tries{}
	request.SetOperationValue(made)
	answer, err := request.Next()
	if ended := request.Raw().Context().Err(); err != nil && ended != nil && errors.Is(err, ended) && made.last != nil {
		return answer, &tooLate{err, made.last}
	}
	return answer, err
}

// tryPolicy is around each try.
type tryPolicy struct{}

// Do implements policy.Policy.
func (tryPolicy) Do(request *policy.Request) (*http.Response, error) {
	answer, err := request.Next()
	made := new(tries)
	if !request.OperationValue(&made) {
		return answer, err
	}
	switch {
	case err == nil && answer.StatusCode >= http.StatusBadRequest:
		made.last = runtime.NewResponseError(answer)
	case err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded):
		made.last = err
	}
	return answer, err
}
