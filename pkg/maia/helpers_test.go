package maia_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	agentID   = "0f8fad5b-d9cb-469f-a165-70867728950e"
	otherID   = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	apiSecret = "API-SECRET-do-not-print"
	apiToken  = "ACCESS-TOKEN-do-not-print"
	secret    = "RUNNER-SECRET-do-not-print"
)

// roundTrip is a RoundTripper made of a function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer builds a response with a JSON body; headers come as pairs.
func answer(status int, body string, headers ...string) *http.Response {
	response := &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i < len(headers); i += 2 {
		response.Header.Set(headers[i], headers[i+1])
	}
	return response
}

// withToken answers token requests with apiToken and leaves the others to api.
func withToken(api roundTrip) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		if isTokenRequest(r) {
			return answer(200, `{"access_token":"`+apiToken+`","token_type":"Bearer","expires_in":1800}`), nil
		}
		return api(r)
	}
}

func isTokenRequest(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/token") }

// newClient returns a client on the given transport.
func newClient(t testing.TB, transport http.RoundTripper) *maia.Client {
	t.Helper()
	client, err := maia.New(maia.Config{
		Region: "eu1", ClientID: "api", ClientSecret: maia.NewSecret(apiSecret),
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// newFake returns a fake with one agent whose secret is secret.
func newFake(t testing.TB, opts ...maiatest.Option) *maiatest.Server {
	t.Helper()
	fake := maiatest.New(append([]maiatest.Option{maiatest.WithAPICredential("api", apiSecret)}, opts...)...)
	t.Cleanup(fake.Close)
	fake.AddAgent(maiatest.AgentSpec{ID: agentID, Name: "runner", Description: "a runner", ClientID: "client", Secret: secret})
	return fake
}

// count returns how many calls of this name the fake got.
func count(fake *maiatest.Server, name maiatest.Name) (n int) {
	for _, call := range fake.Calls() {
		if call.Name == name {
			n++
		}
	}
	return n
}

// wantError checks the kind and that the text has all the parts.
func wantError(t testing.TB, err error, kind error, parts ...string) *maia.Error {
	t.Helper()
	var e *maia.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v (%T), want a *maia.Error", err, err)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("got %q, want the kind %q", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want it to contain %q", err, part)
		}
	}
	return e
}
