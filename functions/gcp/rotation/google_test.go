package rotation

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"
	"google.golang.org/api/option"
	"k8s.io/client-go/rest"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// tokens are numbered: a new one for each request.
type tokens struct{ n atomic.Int64 }

func (s *tokens) Token() (*oauth2.Token, error) {
	return &oauth2.Token{AccessToken: fmt.Sprint("token-", s.n.Add(1))}, nil
}

// fakeGoogle is a Google API that answers one path with one document.
func fakeGoogle(t *testing.T, path string, status int, document string) *googleAPIs {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer token-") {
			t.Errorf("%s %s with %q", r.Method, r.URL.Path, r.Header.Get("Authorization"))
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != path {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"code":404,"message":"not found: `+r.URL.Path+`","status":"NOT_FOUND"}}`)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, document)
	}))
	t.Cleanup(server.Close)
	source := &tokens{}
	return &googleAPIs{tokens: source, options: []option.ClientOption{option.WithEndpoint(server.URL), option.WithTokenSource(source)}}
}

func problem(status int, message string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":"SOME"}}`, status, message)
}

// authority is the certificate of a server that stands for a cluster, as GKE shows it.
func authority(server *httptest.Server) string {
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func TestCluster(t *testing.T) {
	var authorizations []string
	api := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		authorizations = append(authorizations, r.Header.Get("Authorization"))
	}))
	defer api.Close()
	address := strings.TrimPrefix(api.URL, "https://")
	const dns = `"controlPlaneEndpointsConfig":{"dnsEndpointConfig":{"endpoint":"gke-abc.europe-west1.gke.goog","allowExternalTraffic":%t}}`
	for name, test := range map[string]struct {
		document string
		host     string
		withCA   bool
	}{
		"DNS endpoint": {fmt.Sprintf(`{`+dns+`,"endpoint":"10.0.0.1","masterAuth":{"clusterCaCertificate":%q}}`, true,
			authority(api)), "https://gke-abc.europe-west1.gke.goog", false},
		"DNS endpoint for insiders": {fmt.Sprintf(`{`+dns+`,"endpoint":%q,"masterAuth":{"clusterCaCertificate":%q}}`, false, address,
			authority(api)), api.URL, true},
		"IP address": {fmt.Sprintf(`{"endpoint":%q,"masterAuth":{"clusterCaCertificate":%q}}`, address, authority(api)),
			api.URL, true},
		"IP address, other fields too": {fmt.Sprintf(`{"name":"c","unknown":[1],"endpoint":%q,"masterAuth":{"clusterCaCertificate":%q}}`, address,
			authority(api)), api.URL, true},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := fakeGoogle(t, "/v1/"+cluster, http.StatusOK, test.document).cluster(t.Context(), cluster)
			if err != nil {
				t.Fatal(err)
			}
			if config.Host != test.host || (len(config.CAData) > 0) != test.withCA || config.BearerToken != "" {
				t.Errorf("host %s, certificate of %d bytes, copied token %t", config.Host, len(config.CAData), config.BearerToken != "")
			}
			if !test.withCA {
				return
			}
			authorizations = nil
			client, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				response, err := client.Get(config.Host)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
			}
			if len(authorizations) != 2 || !strings.HasPrefix(authorizations[0], "Bearer token-") || authorizations[0] == authorizations[1] {
				t.Errorf("authorized with %q, expected a token of its own for each", authorizations)
			}
		})
	}
}

func TestClusterFails(t *testing.T) {
	for name, test := range map[string]struct {
		status   int
		document string
		kind     rotate.Kind
		words    string
	}{
		"no right":         {403, problem(403, "Required container.clusters.get permission"), rotate.Permission, "container.clusters.get"},
		"no login":         {401, problem(401, "no"), rotate.Permission, "service account"},
		"not found":        {404, problem(404, "no"), rotate.Configuration, "check its name"},
		"too many":         {429, problem(429, "quota"), rotate.NotReady, "the next call tries again"},
		"broken":           {503, problem(503, "try later"), rotate.NotReady, "try later (HTTP 503)"},
		"no endpoint yet":  {200, `{"status":"PROVISIONING"}`, rotate.NotReady, "status PROVISIONING"},
		"no certificate":   {200, `{"endpoint":"10.0.0.1","status":"RUNNING"}`, rotate.NotReady, "no endpoint yet, or no certificate"},
		"bad certificate":  {200, `{"endpoint":"10.0.0.1","masterAuth":{"clusterCaCertificate":"%%%"}}`, rotate.NotReady, "no certificate"},
		"not JSON":         {200, `<html>`, rotate.Internal, "read cluster"},
		"an empty failure": {500, ``, rotate.NotReady, "HTTP 500"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fakeGoogle(t, "/v1/"+cluster, test.status, test.document).cluster(t.Context(), cluster)
			if rotate.AsError(err, rotate.NotObserved).Kind != test.kind || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v (%s), expected %s with %q", err, rotate.AsError(err, rotate.NotObserved).Kind, test.kind, test.words)
			}
		})
	}
}

// payload is Secret Manager's answer.
func payload(data string, sum *uint32) string {
	document := map[string]any{"data": base64.StdEncoding.EncodeToString([]byte(data))}
	if sum != nil {
		document["dataCrc32c"] = fmt.Sprint(*sum)
	}
	text, err := json.Marshal(map[string]any{"name": version, "payload": document})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestAPICredential(t *testing.T) {
	const good = `{"client_id":"an-id","client_secret":"` + apiSecret + `"}`
	sum := crc32.Checksum([]byte(good), crc32.MakeTable(crc32.Castagnoli))
	for name, document := range map[string]string{"with a checksum": payload(good, &sum), "without one": payload(good, nil)} {
		credential, err := fakeGoogle(t, "/v1/"+version+":access", http.StatusOK, document).apiCredential(t.Context(), version)
		if err != nil || credential.ClientID != "an-id" || credential.ClientSecret.Reveal() != apiSecret {
			t.Errorf("%s: %v, %v", name, credential, err)
		}
	}
	wrong := sum + 1
	for name, test := range map[string]struct {
		status   int
		document string
		kind     rotate.Kind
		words    string
	}{
		"no right":  {403, problem(403, "denied on resource"), rotate.Permission, "secretmanager.versions.access"},
		"not found": {404, problem(404, "no"), rotate.Configuration, version},
		"disabled":  {400, problem(400, "is in DISABLED state"), rotate.Configuration, "DISABLED"},
		"too many":  {429, problem(429, "quota"), rotate.NotReady, "tries again"},
		"broken":    {500, problem(500, "x"), rotate.NotReady, "tries again"},
		"damaged":   {200, payload(good, &wrong), rotate.NotReady, "damaged on its way"},
		"not JSON":  {200, payload(apiSecret, nil), rotate.Configuration, "is not JSON"},
		"a list":    {200, payload(`["`+apiSecret+`"]`, nil), rotate.Configuration, "is JSON but not an object"},
		"no ID":     {200, payload(`{"client_secret":"`+apiSecret+`"}`, nil), rotate.Configuration, "has no key client_id"},
		"a number": {200, payload(`{"client_id":"a","client_secret":7}`, nil), rotate.Configuration,
			"has a client_secret that is not a string"},
		"empty":         {200, payload(`{"client_id":"a","client_secret":""}`, nil), rotate.Configuration, "has an empty client_secret"},
		"broken JSON":   {200, payload(good[:len(good)-1], nil), rotate.Configuration, "is not JSON"},
		"no payload":    {200, `{"name":"x"}`, rotate.Configuration, "is empty"},
		"not base64":    {200, `{"payload":{"data":"%%%"}}`, rotate.NotReady, "damaged"},
		"not an answer": {200, `<html>` + apiSecret, rotate.Internal, "read the Maia API credential"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fakeGoogle(t, "/v1/"+version+":access", test.status, test.document).apiCredential(t.Context(), version)
			if rotate.AsError(err, rotate.NotObserved).Kind != test.kind || !strings.Contains(err.Error(), test.words) {
				t.Fatalf("got %v (%s), expected %s with %q", err, rotate.AsError(err, rotate.NotObserved).Kind, test.kind, test.words)
			}
			if strings.Contains(err.Error(), apiSecret) {
				t.Errorf("a secret is in: %v", err)
			}
		})
	}
}

// TestNoToken: the answer that refuses a token may hold anything, and is not repeated.
func TestNoToken(t *testing.T) {
	err := failure("read cluster c", "x", &oauth2.RetrieveError{ErrorCode: "invalid_grant", Body: []byte(apiSecret),
		Response: &http.Response{Status: "400"}})
	var typed *rotate.Error
	if !errors.As(err, &typed) || typed.Kind != rotate.Permission || strings.Contains(err.Error(), apiSecret) ||
		!strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("got %v", err)
	}
}

func TestKubeconfigThatCannotBeUsed(t *testing.T) {
	_, err := kubeconfig("/nonexistent/kubeconfig")
	if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), `KUBECONFIG is "/nonexistent/kubeconfig"`) {
		t.Errorf("got %v", err)
	}
}
