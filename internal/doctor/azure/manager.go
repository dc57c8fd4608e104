package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
)

// The versions of the APIs of Azure Resource Manager.
const (
	webVersion           = "2024-04-01"
	authorizationVersion = "2022-04-01"
	storageVersion       = "2023-05-01"
	appVersion           = "2025-01-01"
)

// manager asks Azure Resource Manager.
type manager struct {
	url     string
	options arm.ClientOptions
	client  *arm.Client
}

func (c *Checker) newManager() (*manager, error) {
	url, options, err := rotation.Manager(c.ManagerURL, c.Transport)
	if err != nil {
		return nil, err
	}
	client, err := arm.NewClient("maia-rotate", "v1.0.0", c.Credential, &options)
	return &manager{url, options, client}, err
}

// get reads a resource. The action is the one that the caller needs for it.
func (m *manager) get(ctx context.Context, path, version, action string, into any) error {
	return m.do(ctx, http.MethodGet, m.address(path, version, nil), action, into)
}

// post asks for what is read by a POST, as values of settings are.
func (m *manager) post(ctx context.Context, path, version, action string, into any) error {
	return m.do(ctx, http.MethodPost, m.address(path, version, nil), action, into)
}

// list reads all pages of a list.
func list[T any](ctx context.Context, m *manager, path, version, filter, action string) ([]T, error) {
	var all []T
	query := url.Values{}
	if filter != "" {
		query.Set("$filter", filter)
	}
	for next := m.address(path, version, query); next != ""; {
		var page struct {
			Value    []T    `json:"value"`
			NextLink string `json:"nextLink"`
		}
		if err := m.do(ctx, http.MethodGet, next, action, &page); err != nil {
			return nil, err
		}
		if page.NextLink != "" && !strings.HasPrefix(page.NextLink, m.url+"/") {
			return nil, fmt.Errorf("%s: the link to the next page leads away from Azure Resource Manager", action) // a token goes with it
		}
		all, next = append(all, page.Value...), page.NextLink
	}
	return all, nil
}

func (m *manager) address(path, version string, query url.Values) string {
	if query == nil {
		query = url.Values{}
	}
	query.Set("api-version", version)
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = url.PathEscape(segments[i])
	}
	return m.url + strings.Join(segments, "/") + "?" + query.Encode()
}

func (m *manager) do(ctx context.Context, method, address, action string, into any) error {
	return failure(action, ask(ctx, m.client.Pipeline(), method, address, into))
}

// ask sends a request without a body, and reads the JSON that is answered.
func ask(ctx context.Context, pipeline runtime.Pipeline, method, address string, into any) error {
	request, err := runtime.NewRequest(ctx, method, address)
	if err != nil {
		return err
	}
	request.Raw().Header.Set("Accept", "application/json")
	answer, err := pipeline.Do(request)
	if err != nil {
		return err
	}
	defer runtime.Drain(answer)
	if !runtime.HasStatusCode(answer, http.StatusOK) {
		return runtime.NewResponseError(answer)
	}
	if err := runtime.UnmarshalAsJSON(answer, into); err != nil {
		return errors.New("the answer is not what was expected") // the error may hold a part of it
	}
	return nil
}

// status is the HTTP status that Azure answered; 0 if the call did not get as far.
func status(err error) int {
	var answered *azcore.ResponseError
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}

func missing(err error) bool { return status(err) == http.StatusNotFound }

// refused is a call that the caller may not make.
type refused struct {
	error
	action string
}

func (r refused) Unwrap() error { return r.error }

func (r refused) Error() string { return "your credentials do not allow " + r.action }

// failure is the error of a call for which an action must be allowed. The SDK's own text is not used, for it quotes the whole
// answer.
func failure(action string, err error) error {
	if err == nil {
		return nil
	}
	var answered *azcore.ResponseError
	switch code := status(err); {
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		return refused{err, action}
	case errors.As(err, &answered):
		return worded{err, fmt.Sprintf("%s: %s (HTTP %d)", action, answered.ErrorCode, answered.StatusCode)}
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return worded{err, action + ": " + text}
}

type worded struct {
	error
	text string
}

func (w worded) Unwrap() error { return w.error }

func (w worded) Error() string { return w.text }
