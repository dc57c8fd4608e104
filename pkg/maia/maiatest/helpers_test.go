package maiatest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	id     = "0f8fad5b-d9cb-469f-a165-70867728950e"
	secret = "the-first-secret"
)

// newServer returns a fake with one agent.
func newServer(t testing.TB, opts ...maiatest.Option) *maiatest.Server {
	t.Helper()
	s := maiatest.New(opts...)
	t.Cleanup(s.Close)
	s.AddAgent(maiatest.AgentSpec{ID: id, Name: "runner", ClientID: "client", Secret: secret})
	return s
}

// login connects an instance with the live secret.
func login(t testing.TB, s *maiatest.Server) *maiatest.Instance {
	t.Helper()
	instance, err := s.Connect(id, "client", s.LiveSecret(id))
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

// answer is what came back from a raw request.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any // nil if it is no JSON object
	err    error          // of the transport, or of reading the body
}

func send(t testing.TB, transport http.RoundTripper, method, target, body string, headers map[string]string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range headers {
		r.Header.Set(key, value)
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	a := answer{status: response.StatusCode, header: response.Header, raw: string(content), err: err}
	_ = json.Unmarshal(content, &a.body) // nil is what the callers expect
	return a
}

func tokenForm(s *maiatest.Server) url.Values {
	clientID, clientSecret := s.APICredential()
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}, "client_secret": {clientSecret},
		"audience": {"https://api.matillion.com"}}
}

// token asks for one in the right way.
func token(t testing.TB, s *maiatest.Server) string {
	t.Helper()
	a := send(t, s.Transport(), "POST", maiatest.TokenURL("https://maia.test"), tokenForm(s).Encode(),
		map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	text, _ := a.body["access_token"].(string)
	if a.status != 200 || text == "" {
		t.Fatalf("no token: %+v", a)
	}
	return text
}

// call makes a request to the API as a good client would.
func call(t testing.TB, s *maiatest.Server, token, method, path, body string) answer {
	t.Helper()
	headers := map[string]string{"Authorization": "Bearer " + token, "Accept": "application/json"}
	if body != "" {
		headers["Content-Type"] = "application/json"
	}
	return send(t, s.Transport(), method, maiatest.APIURL("https://maia.test")+path, body, headers)
}
