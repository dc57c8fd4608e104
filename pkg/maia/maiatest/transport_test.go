package maiatest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The whole of the client works over a real connection too.
func TestOverLoopback(t *testing.T) {
	s := newServer(t)
	server := httptest.NewServer(s)
	defer server.Close()
	clientID, clientSecret := s.APICredential()
	client, err := maia.New(maia.Config{APIURL: maiatest.APIURL(server.URL), TokenURL: maiatest.TokenURL(server.URL),
		ClientID: clientID, ClientSecret: maia.NewSecret(clientSecret), HTTPClient: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	agents, err := client.Agents(t.Context())
	if err != nil || len(agents) != 1 || agents[0].ID != id {
		t.Errorf("%+v, %v", agents, err)
	}
	credentials, err := client.RefreshCredentials(t.Context(), id)
	if err != nil || credentials.ClientSecret.Reveal() != s.LiveSecret(id) {
		t.Errorf("%+v, %v", credentials, err)
	}
}

func TestTransportHonoursTheContext(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://maia.test/dpc/v1/agents", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Transport().RoundTrip(r); !errors.Is(err, context.Canceled) || len(s.Calls()) != 0 {
		t.Errorf("%v, %v", err, s.Calls())
	}
}

// A request that breaks off is not carried out.
func TestBrokenRequest(t *testing.T) {
	s := newServer(t)
	a := send(t, roundTripWithBody{s.Transport()}, "POST", maiatest.APIURL("https://maia.test")+refreshPath, "x",
		map[string]string{"Authorization": "Bearer " + token(t, s), "Content-Type": "application/json"})
	if a.err == nil || s.Refreshes(id) != 0 || len(s.Calls()) != 1 {
		t.Errorf("%+v, %v", a, s.Calls())
	}
}

// roundTripWithBody replaces the body by one that breaks off.
type roundTripWithBody struct{ http.RoundTripper }

func (r roundTripWithBody) RoundTrip(request *http.Request) (*http.Response, error) {
	request.Body = brokenBody{}
	return r.RoundTripper.RoundTrip(request)
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, iotest.ErrTimeout }
func (brokenBody) Close() error             { return nil }

// A mistake in a test's callback is not swallowed.
func TestOtherPanicsPass(t *testing.T) {
	s := newServer(t)
	s.Inject(maiatest.Fault{Before: func() { panic("mine") }})
	defer func() {
		if got := recover(); got != "mine" {
			t.Errorf("recovered %v", got)
		}
	}()
	send(t, s.Transport(), "GET", "https://maia.test/dpc/v1/agents", "", nil)
}
