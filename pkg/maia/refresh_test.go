package maia_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestRefresh(t *testing.T) {
	fake := newFake(t)
	got, err := fake.Client(t).RefreshCredentials(t.Context(), agentID)
	if err != nil || got.ClientID != "client" || got.ClientSecret.Reveal() != fake.LiveSecret(agentID) || fake.LiveSecret(agentID) == secret {
		t.Errorf("%+v, %v", got, err)
	}
}

// What a failed refresh is called decides whether anyone may try again.
func TestRefreshOutcomes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   maiatest.Fault
		kind    error
		carried int // refreshes that Maia carried out in the end
	}{
		{"dropped before", maiatest.Fault{Kind: maiatest.DropBefore}, maia.ErrOutcomeUnknown, 0},
		{"answer lost", maiatest.Fault{Kind: maiatest.DropAfter}, maia.ErrOutcomeUnknown, 1},
		{"carried out late", maiatest.Fault{Kind: maiatest.Late, Delay: time.Minute}, maia.ErrOutcomeUnknown, 1},
		{"no answer in time", maiatest.Fault{Kind: maiatest.Slow, Delay: time.Minute}, maia.ErrOutcomeUnknown, 1},
		{"500", maiatest.Fault{Kind: maiatest.Status5xx, Status: 500}, maia.ErrOutcomeUnknown, 0},
		{"503", maiatest.Fault{Kind: maiatest.Status5xx}, maia.ErrOutcomeUnknown, 0},
		{"503 after", maiatest.Fault{Kind: maiatest.Status5xxAfter}, maia.ErrOutcomeUnknown, 1},
		{"408", maiatest.Fault{Kind: maiatest.Status5xx, Status: 408}, maia.ErrOutcomeUnknown, 0},
		{"redirect", maiatest.Fault{Kind: maiatest.Redirect, Location: "https://elsewhere.test/"}, maia.ErrOutcomeUnknown, 0},
		{"garbage", maiatest.Fault{Kind: maiatest.Garbage}, maia.ErrOutcomeUnknown, 1},
		{"truncated", maiatest.Fault{Kind: maiatest.Truncated}, maia.ErrOutcomeUnknown, 1},
		{"HTML", maiatest.Fault{Kind: maiatest.HTML}, maia.ErrOutcomeUnknown, 1},
		{"masked", maiatest.Fault{Kind: maiatest.Masked}, maia.ErrOutcomeUnknown, 1},
		{"no body", maiatest.Fault{Kind: maiatest.Empty}, maia.ErrOutcomeUnknown, 1},
		{"no client ID", maiatest.Fault{Kind: maiatest.CustomBody, Body: []byte(`{"clientSecret":"s3cret-s3cret"}`)}, maia.ErrOutcomeUnknown, 1},
		{"accepted, nothing more", maiatest.Fault{Kind: maiatest.CustomBody, Status: 202}, maia.ErrOutcomeUnknown, 1},
		{"400", maiatest.Fault{Kind: maiatest.Status5xx, Status: 400}, maia.ErrRejected, 0},
		{"401", maiatest.Fault{Kind: maiatest.Status5xx, Status: 401}, maia.ErrUnauthorized, 0},
		{"403", maiatest.Fault{Kind: maiatest.Status5xx, Status: 403}, maia.ErrForbidden, 0},
		{"404", maiatest.Fault{Kind: maiatest.Status5xx, Status: 404}, maia.ErrNotFound, 0},
		{"409", maiatest.Fault{Kind: maiatest.Status5xx, Status: 409}, maia.ErrRejected, 0},
		{"429", maiatest.Fault{Kind: maiatest.RateLimited, RetryAfter: "7"}, maia.ErrRateLimited, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := newFake(t)
				fault := tt.fault
				fault.Call = maiatest.RefreshCredentials
				fake.Inject(fault)
				began := time.Now()
				_, err := fake.Client(t).RefreshCredentials(t.Context(), agentID)
				e := wantError(t, err, tt.kind, "refresh credentials of agent "+agentID)
				if e.Kind != tt.kind || errors.Is(err, maia.ErrOutcomeUnknown) != (tt.kind == maia.ErrOutcomeUnknown) {
					t.Errorf("%+v", e)
				}
				if e.Title != "" || e.Detail != "" {
					t.Errorf("the error repeats the answer: %+v", e)
				}
				if n := count(fake, maiatest.RefreshCredentials); n != 1 {
					t.Errorf("%d requests were sent", n)
				}
				if took := time.Since(began); took > maia.RefreshTimeout {
					t.Errorf("took %v", took)
				}
				<-time.After(time.Hour)
				if n := fake.Refreshes(agentID); n != tt.carried {
					t.Errorf("%d refreshes were carried out, want %d", n, tt.carried)
				}
			})
		})
	}
}

func TestRefreshCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		ctx, cancel := context.WithCancel(t.Context())
		fake.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, After: cancel})
		_, err := fake.Client(t).RefreshCredentials(ctx, agentID)
		wantError(t, err, maia.ErrOutcomeUnknown, "cancelled")
		if !errors.Is(err, context.Canceled) || fake.Refreshes(agentID) != 1 {
			t.Errorf("%v, %d refreshes", err, fake.Refreshes(agentID))
		}
	})
}

// A context that ends before anything is sent leaves no doubt.
func TestRefreshCancelledBefore(t *testing.T) {
	fake := newFake(t)
	client := fake.Client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := client.RefreshCredentials(ctx, agentID)
	wantError(t, err, context.Canceled)
	if errors.Is(err, maia.ErrOutcomeUnknown) || count(fake, maiatest.RefreshCredentials) != 0 {
		t.Errorf("%v", err)
	}
}

// A slow token endpoint uses up half of the time at most, and the refresh is not sent.
func TestRefreshWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := newFake(t)
		fake.Inject(maiatest.Fault{Call: maiatest.Token, Kind: maiatest.Slow, Delay: time.Hour})
		began := time.Now()
		_, err := fake.Client(t).RefreshCredentials(t.Context(), agentID)
		wantError(t, err, maia.ErrUnavailable, "fetch token", "no answer in time")
		if time.Since(began) != maia.RefreshTimeout/2 || count(fake, maiatest.RefreshCredentials) != 0 {
			t.Errorf("after %v: %v", time.Since(began), fake.Calls())
		}
	})
}

// Authenticate leaves the refresh as the only request.
func TestAuthenticateBeforeRefresh(t *testing.T) {
	fake := newFake(t)
	client := fake.Client(t)
	if err := client.Authenticate(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := len(fake.Calls())
	if _, err := client.RefreshCredentials(t.Context(), agentID); err != nil {
		t.Fatal(err)
	}
	if after := fake.Calls()[before:]; len(after) != 1 || after[0].Name != maiatest.RefreshCredentials {
		t.Errorf("%v", after)
	}
}

// Whatever fails before a connection stands is a plain failure.
func TestRefreshWithoutConnection(t *testing.T) {
	const closed = "127.0.0.1:1" // nobody is given this port
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()

	dialing := func(dial func(ctx context.Context) (net.Conn, error)) *http.Transport {
		return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	}
	for _, tt := range []struct {
		name      string
		url       string
		transport *http.Transport
		want      string
	}{
		{"no such host", "https://api.test", dialing(func(context.Context) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true}
		}), "no such host"},
		{"connection refused", "http://" + closed, &http.Transport{}, "connection refused"},
		{"certificate not trusted", untrusted.URL, &http.Transport{}, "certificate"},
		{"no TLS there", "https://" + plain.Listener.Addr().String(), &http.Transport{}, "HTTP response to HTTPS client"},
		{"handshake cut", "https://api.test", dialing(func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			return here, there.Close()
		}), "the connection failed"},
		{"no connection in time", "https://api.test", dialing(func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}), "no answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer tt.transport.CloseIdleConnections()
			client, err := maia.New(maia.Config{APIURL: tt.url, ClientID: "api", ClientSecret: maia.NewSecret(apiSecret),
				HTTPClient: &http.Client{Transport: withToken(tt.transport.RoundTrip)}})
			if err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if tt.want == "no answer in time" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			_, err = client.RefreshCredentials(ctx, agentID)
			wantError(t, err, maia.ErrUnavailable, tt.want)
			if errors.Is(err, maia.ErrOutcomeUnknown) {
				t.Errorf("is ErrOutcomeUnknown: %v", err)
			}
		})
	}
}

// rawServer speaks just enough HTTP to misbehave: on each connection it answers the first request and does what it is given with the
// second.
type rawServer struct {
	net.Listener
	refreshes   atomic.Int32
	connections atomic.Int32
	handlers    sync.WaitGroup
}

func newRawServer(t *testing.T, second func(*rawServer, net.Conn, *http.Request)) *rawServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{Listener: listener}
	s.handlers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Add(1)
			s.handlers.Go(func() { s.serve(conn, second) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.handlers.Wait()
	})
	return s
}

func (s *rawServer) serve(conn net.Conn, second func(*rawServer, net.Conn, *http.Request)) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for n := 1; ; n++ {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodPost && len(body) > 0 {
			s.refreshes.Add(1)
		}
		if n == 2 {
			second(s, conn, r)
			return
		}
		answer := `{"agentId":"` + agentID + `"}`
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
	}
}

// net/http sends requests again by itself when a connection that it kept dies under them. It must not do so with a refresh: the server
// may have carried it out before it died.
func TestRefreshIsNotReplayedByTheTransport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		second func(*rawServer, net.Conn, *http.Request)
	}{
		{"closed without an answer", func(*rawServer, net.Conn, *http.Request) {}},
		{"reset without an answer", func(_ *rawServer, conn net.Conn, _ *http.Request) {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}},
		{"half a header", func(_ *rawServer, conn net.Conn, _ *http.Request) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-")
		}},
		{"an answer that quotes the secret where the status should be", func(_ *rawServer, conn net.Conn, _ *http.Request) {
			_, _ = io.WriteString(conn, secret+"\r\n\r\n")
		}},
		{"half a body", func(_ *rawServer, conn net.Conn, _ *http.Request) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"clientId\":\""+secret)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := newRawServer(t, tt.second)
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client, err := maia.New(maia.Config{APIURL: "http://" + server.Addr().String(), ClientID: "api",
				ClientSecret: maia.NewSecret(apiSecret), HTTPClient: &http.Client{Transport: withToken(transport.RoundTrip)}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.Agent(t.Context(), agentID); err != nil {
				t.Fatal(err)
			}
			_, err = client.RefreshCredentials(t.Context(), agentID)
			wantNoLeak(t, wantError(t, err, maia.ErrOutcomeUnknown).Error(), secret)
			if n, m := server.refreshes.Load(), server.connections.Load(); n != 1 || m != 1 {
				t.Errorf("%d refreshes on %d connections, want 1 on the one that was kept", n, m)
			}
		})
	}
}

// Over HTTP/2 a stream that ends in an error is no reason to send again either.
func TestRefreshIsNotReplayedOverHTTP2(t *testing.T) {
	fake := newFake(t)
	fake.Inject(maiatest.Fault{Call: maiatest.RefreshCredentials, Kind: maiatest.DropAfter})
	server := httptest.NewUnstartedServer(fake)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	client, err := maia.New(maia.Config{APIURL: maiatest.APIURL(server.URL), TokenURL: maiatest.TokenURL(server.URL), ClientID: "api",
		ClientSecret: maia.NewSecret(apiSecret), HTTPClient: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.RefreshCredentials(t.Context(), agentID)
	wantError(t, err, maia.ErrOutcomeUnknown)
	if n := count(fake, maiatest.RefreshCredentials); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// The two things that make the Transport think a POST may be sent again are not there.
func TestRefreshIsNotReplayable(t *testing.T) {
	client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
		if r.GetBody != nil || r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil || r.ContentLength != 27 {
			t.Errorf("%+v", r)
		}
		body, err := io.ReadAll(r.Body)
		if string(body) != `{"action":"SECRET_REFRESH"}` || err != nil {
			t.Errorf("%s, %v", body, err)
		}
		return answer(200, `{"clientId":"client","clientSecret":"`+secret+`"}`), nil
	}))
	if _, err := client.RefreshCredentials(t.Context(), agentID); err != nil {
		t.Error(err)
	}
}

// A Transport that is still at work after it gave up gets nothing to send any more.
func TestRefreshCannotBeSentAfterGivingUp(t *testing.T) {
	var kept io.Reader
	client := newClient(t, withToken(func(r *http.Request) (*http.Response, error) {
		kept = r.Body
		return nil, tls.AlertError(40)
	}))
	_, err := client.RefreshCredentials(t.Context(), agentID)
	wantError(t, err, maia.ErrUnavailable, "handshake failure")
	if content, err := io.ReadAll(kept); len(content) > 0 || err == nil {
		t.Errorf("%q, %v", content, err)
	}
}
