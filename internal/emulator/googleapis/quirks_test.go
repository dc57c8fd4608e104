package googleapis

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/api/container/v1"
)

const runners = "projects/acme/locations/europe-west1/clusters/runners"

// ask has a server asked for a cluster by a client that waits for a minute.
func ask(t *testing.T, s *Server) (answer *http.Response, body string, took time.Duration) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/"+runners, nil)
	request.Header.Set("Authorization", "Bearer token")
	s.ServeHTTP(recorder, request)
	text, err := io.ReadAll(recorder.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Result(), string(text), time.Since(began)
}

// TestQuirks: the wire shows each.
func TestQuirks(t *testing.T) {
	shows := map[string]struct {
		status int // of the first answer; 0: there is none
		words  string
		took   time.Duration
		then   int // of the second
	}{
		"google-slow-answers":     {200, runners, 25 * time.Second, 200},
		"google-slow-once":        {200, runners, 25 * time.Second, 200},
		"google-hangs-once":       {0, "", time.Minute, 200},
		"google-throttled":        {429, "RESOURCE_EXHAUSTED", 0, 429},
		"google-quota-403":        {403, `"reason":"rateLimitExceeded"`, 0, 403},
		"google-api-disabled":     {403, `"reason":"SERVICE_DISABLED"`, 0, 403},
		"google-billing-disabled": {403, `"reason":"BILLING_DISABLED"`, 0, 403},
		"google-perimeter":        {403, `"reason":"SECURITY_POLICY_VIOLATED"`, 0, 403},
	}
	for _, q := range Quirks() {
		t.Run(q.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{Token: "token", Clusters: map[string]*container.Cluster{runners: {Name: runners}}}
				if err := s.Play(q.Name); err != nil || q.Behaviour == "" || q.Source == "" {
					t.Fatalf("%v, %+v", err, q)
				}
				want, known := shows[q.Name]
				answer, body, took := ask(t, s)
				answered := answer.StatusCode == want.status && strings.Contains(body, want.words)
				if !known || took != want.took || want.status != 0 && !answered || want.status == 0 && body != "" {
					t.Errorf("got %d, %q after %s, expected %+v", answer.StatusCode, body, took, want)
				}
				if again, _, took := ask(t, s); again.StatusCode != want.then || q.Name == "google-slow-once" && took > 0 {
					t.Errorf("then got %d after %s", again.StatusCode, took)
				}
			})
		})
	}
	if new(Server).Play("unknown") == nil {
		t.Error("a quirk that there is not is played")
	}
}
