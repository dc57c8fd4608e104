package rotation

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// FuzzCallHeaders: whatever the headers are, each line of the log is JSON and short, and a trace is one name below the project.
func FuzzCallHeaders(f *testing.F) {
	f.Add("105445aa7843bc8bf206b12000100000/1;o=1", "", "maia-rotate", "2026-03-01T10:00:00Z")
	f.Add("", "00-105445aa7843bc8bf206b12000100000-00f067aa0ba902b7-01", "", "")
	f.Add("\n\"}{", "a-b/c-d-e", strings.Repeat("é", 300), "\xff\x00")
	f.Add(strings.Repeat("x", 65), "--- ", "", "")
	f.Add(" ", "0-../../x-0-0", "", "")
	f.Fuzz(func(t *testing.T, cloudTrace, parent, job, scheduled string) {
		request := &http.Request{Header: http.Header{
			"X-Cloud-Trace-Context": {cloudTrace}, "Traceparent": {parent},
			"X-Cloudscheduler-Jobname": {job}, "X-Cloudscheduler-Scheduletime": {scheduled},
		}}
		var log bytes.Buffer
		logCall(t.Context(), withTrace(NewLog(&log), request, "acme"), request)
		all := functiontest.Lines(t, log.Bytes())
		if len(all) != 1 || all[0]["message"] != "called" || all[0]["severity"] != "INFO" {
			t.Fatalf("the log is %q", log.String())
		}
		if trace, ok := all[0]["logging.googleapis.com/trace"].(string); ok {
			id, found := strings.CutPrefix(trace, "projects/acme/traces/")
			if !found || id == "" || strings.Trim(id, "0123456789abcdefABCDEF") != "" || len(id) > 64 {
				t.Errorf("the trace is %q", trace)
			}
		}
		if text, _ := all[0]["job"].(string); len([]rune(text)) > 200 {
			t.Errorf("the job has %d characters", len([]rune(text)))
		}
	})
}

// FuzzRequest: the function answers every request with JSON, and does not read the body.
func FuzzRequest(f *testing.F) {
	f.Add(http.MethodPost, "/", "{}")
	f.Add("É", "//x\u2028", apiSecret)
	f.Fuzz(func(t *testing.T, method, path, host string) {
		h := New([]string{"MAIA_HELM_RELEASES=x"}, io.Discard)
		request := httptest.NewRequest(http.MethodPost, "/", unread{t})
		request.Method, request.URL.Path, request.Host = method, path, host
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, request)
		var answer Answer
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Code != http.StatusInternalServerError ||
			kindOf(answer) != rotate.Configuration {
			t.Errorf("%d: %q, %v", recorder.Code, recorder.Body, err)
		}
	})
}

// FuzzReleases: a configuration has the releases that the variable names, each once, and none of them reaches beyond its place in
// a path; or else there is a Configuration error that names the variable.
func FuzzReleases(f *testing.F) {
	for _, sample := range []string{
		cluster, cluster + ", " + cluster + "/namespaces/second/releases/runner", cluster + "/namespaces/matillion-agent," + cluster,
		"projects/example.com:acme/locations/l/clusters/c",
		"projects/../locations/l/clusters/c", "projects/a/locations/b", "projects/a/locations/b/clusters/c/releases/r",
		"projects/a/locations/b/clusters/C", "projects/a/locations/b/clusters/c\n", "namespaces/a/releases/b", "",
	} {
		f.Add(sample, "")
		f.Add(sample, "/kubeconfig")
	}
	f.Fuzz(func(t *testing.T, text, kubeconfig string) {
		config := Config{Kubeconfig: kubeconfig}
		err := config.parseReleases(map[string]string{envReleases: text})
		if err != nil {
			if !strings.Contains(text+kubeconfig, apiSecret) {
				functiontest.WantConfiguration(t, err, envReleases, apiSecret)
			}
			return
		}
		seen := map[Release]bool{}
		for _, release := range config.Releases {
			if seen[release] {
				t.Errorf("%s comes twice", release)
			}
			seen[release] = true
			again := Config{Kubeconfig: kubeconfig}
			if same, ok := again.parseRelease(release.String()); !ok || same != release {
				t.Errorf("%s became %s", release, same)
			}
			for part := range strings.SplitSeq(release.String(), "/") {
				if !namePattern.MatchString(strings.ToLower(part)) || part == ".." {
					t.Errorf("%s has the part %q", release, part)
				}
			}
			if (release.Cluster == "") != (kubeconfig != "") || release.Cluster != "" && release.Project() == "" {
				t.Errorf("%+v with the kubeconfig %q", release, kubeconfig)
			}
		}
	})
}

// FuzzConfig: an environment is a configuration (with a list of agents if there are several releases), or else a Configuration
// error that names the variable and does not repeat the secret.
func FuzzConfig(f *testing.F) {
	sample := strings.Join(functiontest.Environ(valid()), "\n")
	f.Add(sample)
	f.Add(strings.Replace(sample, "MAIA_AGENT_IDS", "OTHER", 1))
	f.Add("MAIA_HELM_RELEASES=" + cluster + "\nMAIA_CLIENT_ID=a\nMAIA_CLIENT_SECRET=" + apiSecret + "\nMAIA_HELM_SECRET_PATH=a..b")
	f.Add("MAIA_HELM_RELEASES=" + cluster + "\nMAIA_CREDENTIALS_SECRET=projects/p/secrets/s")
	f.Add("KUBECONFIG=/x\nMAIA_HELM_RELEASES=namespaces/a\nMAIA_CLIENT_ID=a\nMAIA_CLIENT_SECRET=" + apiSecret + "\nMAIA_API_URL=https://x:" +
		apiSecret + "@y")
	f.Fuzz(func(t *testing.T, text string) {
		config, err := ParseConfig(strings.Split(text, "\n"))
		if err != nil {
			if strings.Count(text, apiSecret) <= 1 && (strings.Contains(text, "MAIA_CLIENT_SECRET="+apiSecret) ||
				!strings.Contains(text, apiSecret)) {
				functiontest.WantConfiguration(t, err, "MAIA_", apiSecret)
			}
			return
		}
		if len(config.Releases) == 0 || len(config.Releases) > 1 && len(config.AgentIDs) == 0 {
			t.Errorf("releases %v, agents %q", config.Releases, config.AgentIDs)
		}
		if (config.CredentialsSecret == "") == config.Credentials.ClientSecret.IsZero() {
			t.Errorf("the credential is in two places, or in none")
		}
	})
}
