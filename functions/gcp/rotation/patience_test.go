package rotation

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/container/v1"
	"google.golang.org/api/option"

	"github.com/maia-rotate/maia-rotate/internal/emulator/googleapis"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// inMemory is a transport to a handler without sockets, on which a bubble of synctest would not advance the time.
type inMemory struct {
	handler http.Handler
	tokens  oauth2.TokenSource
}

func (m inMemory) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := m.tokens.Token()
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	token.SetAuthHeader(request)
	recorder := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.handler.ServeHTTP(recorder, request)
	}()
	select {
	case <-done:
		return recorder.Result(), request.Context().Err()
	case <-request.Context().Done():
		<-done
		return nil, request.Context().Err()
	}
}

// hanging is a source of tokens that does not answer until it is released.
type hanging chan struct{}

func (h hanging) Token() (*oauth2.Token, error) {
	<-h
	return &oauth2.Token{AccessToken: "token"}, nil
}

func emulated() *googleapis.Server {
	return &googleapis.Server{Token: "token",
		Clusters: map[string]*container.Cluster{cluster: {Endpoint: "10.0.0.1",
			MasterAuth: &container.MasterAuth{ClusterCaCertificate: "AAAA"}}},
		Secrets: map[string]string{version: `{"client_id":"an-id","client_secret":"` + apiSecret + `"}`},
	}
}

// TestQuirksOfGooglesAPIs: each read ends in time, with the cause named, and one that hangs only once succeeds.
func TestQuirksOfGooglesAPIs(t *testing.T) {
	for _, q := range googleapis.Quirks() {
		t.Run(q.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := emulated()
				if err := server.Play(q.Name); err != nil {
					t.Fatal(err)
				}
				source := timedTokens{oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})}
				client := &http.Client{Transport: inMemory{server, source}}
				apis := &googleAPIs{tokens: source, options: []option.ClientOption{option.WithHTTPClient(client)}}
				began := time.Now()
				_, ofCluster := apis.cluster(t.Context(), cluster)
				_, ofSecret := apis.apiCredential(t.Context(), version)
				for what, err := range map[string]error{"the cluster": ofCluster, "the credential": ofSecret} {
					if q.Refused == "" && err != nil || q.Refused != "" && (err == nil || !strings.Contains(err.Error(), q.Refused)) {
						t.Errorf("%s: %v", what, err)
					}
					if err != nil && strings.Contains(err.Error(), "context") {
						t.Errorf("%s: the error is of the time, not of what was answered: %v", what, err)
					}
				}
				if took := time.Since(began); took > 2*readTries*readTimeout {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// TestATokenIsNotWaitedForWithoutEnd: neither by a read nor by a request to a cluster, whose clients have no time-out for it.
func TestATokenIsNotWaitedForWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(hanging)
		source := timedTokens{stuck}
		client := &http.Client{Transport: inMemory{emulated(), source}}
		apis := &googleAPIs{tokens: source, options: []option.ClientOption{option.WithHTTPClient(client)}}
		began := time.Now()
		_, err := apis.cluster(t.Context(), cluster)
		if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "an access token of Google Cloud: no answer within 5s") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > readTimeout {
			t.Errorf("it took %s", took)
		}
		close(stuck)
	})
}

// TestAReadEndsWithTheCall, and does not say that it is Google's fault.
func TestAReadEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := read(ctx, "read", GetCluster, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if rotate.KindOf(err) != rotate.NotReady || err.Error() != "read: context deadline exceeded" {
			t.Errorf("got %v", err)
		}
	})
}
