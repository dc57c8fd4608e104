//go:build !nogcp

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/functions/apiv2/functionspb"
	"golang.org/x/oauth2"
	"google.golang.org/api/cloudscheduler/v1"
	"google.golang.org/api/container/v1"
	"google.golang.org/api/option"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/maia-rotate/maia-rotate/internal/controlplane/controlplanetest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/googleapis"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxgcp "github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
)

const (
	gcpPlace    = "projects/ops-1234/locations/europe-west1"
	gcpFunction = gcpPlace + "/functions/maia-rotate"
	gcpCluster  = gcpPlace + "/clusters/runner"
	gcpVersion  = "projects/ops-1234/secrets/maia-api/versions/latest"
	gcpURL      = "https://maia-rotate-abc-ew.a.run.app"
	gcpToken    = "token-of-the-operator"
)

// googleCloud is a Google Cloud with the function of a sandbox, whose API server is a cluster of GKE with an IP address.
func googleCloud(t *testing.T, world *sandboxgcp.World) *googleapis.Server {
	t.Helper()
	variables := map[string]string{
		"MAIA_HELM_RELEASES":      gcpCluster + "/namespaces/" + sandboxgcp.Namespace + "/releases/" + sandboxgcp.Release,
		"MAIA_CREDENTIALS_SECRET": gcpVersion,
	}
	var kubeconfig string
	for _, variable := range world.Function.Env() {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "KUBECONFIG":
			kubeconfig = value
		case "MAIA_API_URL", "MAIA_TOKEN_URL", "MAIA_AGENT_IDS":
			variables[name] = value
		}
	}
	plane, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	backend, err := url.Parse(plane.Clusters["sandbox"].Server)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(backend)
	endpoint := httptest.NewTLSServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if request.Header.Get("Authorization") != "Bearer "+gcpToken {
			writer.WriteHeader(http.StatusUnauthorized)
			return
		}
		request.Header.Del("Authorization")
		proxy.ServeHTTP(writer, request)
	}))
	t.Cleanup(endpoint.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: endpoint.Certificate().Raw})
	google := &googleapis.Server{
		Token: gcpToken,
		Functions: map[string]*functionspb.Function{gcpFunction: {
			Name: gcpFunction, State: functionspb.Function_ACTIVE, Environment: functionspb.Environment_GEN_2,
			BuildConfig: &functionspb.BuildConfig{Runtime: "go126", EntryPoint: "RotateRunnerSecrets"},
			ServiceConfig: &functionspb.ServiceConfig{
				TimeoutSeconds: 1800, AvailableMemory: "512Mi", MaxInstanceCount: 1, MaxInstanceRequestConcurrency: 1, Uri: gcpURL,
				IngressSettings: functionspb.ServiceConfig_ALLOW_INTERNAL_ONLY, ServiceAccountEmail: sandboxgcp.FunctionUser,
				EnvironmentVariables: variables,
			},
		}},
		Jobs: map[string][]*cloudscheduler.Job{gcpPlace: {{
			Name: gcpPlace + "/jobs/maia-rotate", State: "ENABLED", Schedule: "*/30 * * * *", TimeZone: "Etc/UTC", AttemptDeadline: "1800s",
			HttpTarget: &cloudscheduler.HttpTarget{Uri: gcpURL, OidcToken: &cloudscheduler.OidcToken{Audience: gcpURL}},
		}}},
		Clusters: map[string]*container.Cluster{gcpCluster: {
			Endpoint:   strings.TrimPrefix(endpoint.URL, "https://"),
			MasterAuth: &container.MasterAuth{ClusterCaCertificate: base64.StdEncoding.EncodeToString(authority)},
		}},
		Secrets: map[string]string{gcpVersion: fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, world.Maia.APIClient, world.Maia.APISecret)},
	}
	server := httptest.NewServer(google)
	t.Cleanup(server.Close)
	before := googleAccess
	googleAccess = func(context.Context) (oauth2.TokenSource, []option.ClientOption, error) {
		tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: gcpToken})
		return tokens, []option.ClientOption{option.WithEndpoint(server.URL)}, nil
	}
	t.Cleanup(func() { googleAccess = before })
	return google
}

func TestHoldGCP(t *testing.T) {
	plane := controlplanetest.Binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	world, err := sandboxgcp.New(ctx, sandboxgcp.Options{ControlPlane: plane})
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	googleCloud(t, world)
	holdAndRelease(t, "gcp", "--function", gcpFunction)
}

// TestDoctorAndPlanGCP checks a function and its runner, by way of the endpoint of the cluster, with a token.
func TestDoctorAndPlanGCP(t *testing.T) {
	plane := controlplanetest.Binary(t)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	world, err := sandboxgcp.New(ctx, sandboxgcp.Options{ControlPlane: plane})
	if err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	google := googleCloud(t, world)
	const release = gcpCluster + "/namespaces/" + sandboxgcp.Namespace + "/releases/" + sandboxgcp.Release
	secrets := []string{world.Maia.APISecret, world.Maia.LiveSecret(sandbox.AgentID), gcpToken}

	inspect := func(code int, words []string, args ...string) string {
		t.Helper()
		got, stdout, stderr := runFor(t, append(args, "--function", gcpFunction)...)
		if got != code {
			t.Errorf("%v: exit code %d, expected %d", args, got, code)
		}
		for _, word := range words {
			if !strings.Contains(stdout+stderr, word) {
				t.Errorf("%v: %q is missing", args, word)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(stdout+stderr, secret) {
				t.Errorf("%v: a secret is printed", args)
			}
		}
		return stdout
	}
	steps := "check, pause, await drained, refresh, store,"
	text := inspect(exitOK, []string{"a call would: ", steps, "No problem, 1 warning."}, "doctor", "gcp")
	checkNarrow(t, strings.ReplaceAll(text, release, "RELEASE"))
	text = inspect(exitOK, []string{"due", "never rotated", "refresh", "Nothing is in the way."}, "plan", "gcp")
	checkNarrow(t, strings.ReplaceAll(text, release, "RELEASE"))

	var report struct {
		OK       bool
		Function string
		Warnings int
	}
	if err := json.Unmarshal([]byte(inspect(exitOK, nil, "doctor", "gcp", "--json")), &report); err != nil || !report.OK ||
		report.Function != gcpFunction || report.Warnings != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
	var plan struct {
		OK      bool
		Targets []struct{ Rotation struct{ Steps []any } }
	}
	if err := json.Unmarshal([]byte(inspect(exitOK, nil, "plan", "gcp", "--json")), &plan); err != nil || !plan.OK || len(plan.Targets) != 1 ||
		len(plan.Targets[0].Rotation.Steps) < 5 {
		t.Errorf("got %+v, %v", plan, err)
	}

	for _, request := range world.Requests() {
		if request.Changes() {
			t.Errorf("%s %s of %s was called", request.Verb, request.Resource, request.Name)
		}
	}
	if world.Maia.Refreshes(sandbox.AgentID) != 0 || len(google.Unknown()) > 0 {
		t.Errorf("refreshed, or asked for %v", google.Unknown())
	}

	google.Functions[gcpFunction].ServiceConfig.EnvironmentVariables["MAIA_AGENT_IDS"] = "00000000-0000-4000-8000-000000000000"
	inspect(exitFailed, []string{"problem  release", "1 problem"}, "doctor", "gcp")
	inspect(exitFailed, []string{"Something is in the way:"}, "plan", "gcp")
}

func TestCommandLineGCP(t *testing.T) {
	for _, command := range []string{"doctor", "plan"} {
		for _, test := range []struct {
			args  []string
			words string
		}{
			{nil, "--function is not set"},
			{[]string{"--function", "maia-rotate"}, "expected projects/PROJECT"},
		} {
			code, _, stderr := runFor(t, append([]string{command, "gcp"}, test.args...)...)
			if code != exitUsage || !strings.Contains(stderr, test.words) {
				t.Errorf("%s %v: exit code %d, %q", command, test.args, code, stderr)
			}
		}
	}
}
