package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/emulator/blobs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
	"github.com/maia-rotate/maia-rotate/internal/emulator/identity"
	"github.com/maia-rotate/maia-rotate/internal/pack"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// unpacked is the unpacked zip file of the app, with the program for this machine.
var unpacked string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("skipped: compiles and runs the function")
		return
	}
	var err error
	if unpacked, err = os.MkdirTemp("", "maia-rotate-"); err == nil {
		err = pack.UnpackedAzure(context.Background(), unpacked)
	}
	if err != nil {
		panic(err)
	}
	// The tests mostly wait, for example until a refresh can no longer be under way.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(unpacked)
	os.Exit(code)
}

const (
	agentID        = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	group          = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners"
	app            = group + "/providers/Microsoft.App/containerApps/runner"
	clientSecret   = "matillion-client-secret"
	managerToken   = "the-token-for-azure-resource-manager"
	blobToken      = "the-token-for-blobs"
	identityHeader = "the-header-of-the-identity-endpoint"
)

// world is Azure and Maia on loopback.
type world struct {
	maia  *maiatest.Server
	apps  *containerapps.Server
	state *blobs.Server
	env   []string
}

func newWorld(t *testing.T) *world {
	w := &world{maia: maiatest.New(), state: blobs.New(blobToken)}
	t.Cleanup(w.maia.Close)
	w.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: "runner"})
	w.apps = containerapps.New(containerapps.Options{
		Token: managerToken, Provision: 10 * time.Millisecond, Start: 10 * time.Millisecond, Roll: 10 * time.Millisecond,
		StartReplica: func(_ string, env map[string]string) (func(), error) {
			instance, err := w.maia.Connect(env["AGENT_ID"], env["OAUTH_CLIENT_ID"], env["OAUTH_CLIENT_SECRET"])
			if err != nil {
				return nil, err
			}
			return instance.Close, nil
		},
	})
	t.Cleanup(w.apps.Close)
	w.apps.Add(containerapps.Spec{
		ID: app, Location: "westeurope", Tags: map[string]string{"maia-rotate": "enabled"}, Replicas: 2,
		Secrets: []containerapps.Secret{{Name: "matillion-client-id", Value: "runner"}, {Name: clientSecret, Value: w.maia.LiveSecret(agentID)}},
		Containers: []any{map[string]any{"name": "runner", "image": "runner", "env": []any{
			map[string]any{"name": "AGENT_ID", "value": agentID}, map[string]any{"name": "MATILLION_REGION", "value": "eu1"},
			map[string]any{"name": "OAUTH_CLIENT_ID", "secretRef": "matillion-client-id"},
			map[string]any{"name": "OAUTH_CLIENT_SECRET", "secretRef": clientSecret},
		}}},
	})
	endpoint := identity.New(identity.Options{Header: identityHeader,
		Tokens: map[string]string{"https://management.core.windows.net": managerToken, "https://storage.azure.com": blobToken}})
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return server.URL
	}
	api := serve(w.maia)
	id, secret := w.maia.APICredential()
	w.env = []string{
		"ROTATION_SCHEDULE=0 */30 * * * *", "MAIA_CLIENT_ID=" + id, "MAIA_CLIENT_SECRET=" + secret,
		"MAIA_API_URL=" + maiatest.APIURL(api), "MAIA_TOKEN_URL=" + maiatest.TokenURL(api),
		"AZURE_RESOURCE_MANAGER_URL=" + serve(w.apps), "MAIA_STATE_CONTAINER_URL=" + serve(w.state) + "/maia-rotate",
		"IDENTITY_ENDPOINT=" + serve(endpoint) + identity.Path, "IDENTITY_HEADER=" + identityHeader,
	}
	return w
}

// start starts the function, with settings in addition to those of the world. At the end of the test, nothing that it has said
// may hold a secret.
func (w *world) start(t *testing.T, options functionshost.Options, settings ...string) *functionshost.Host {
	t.Helper()
	options.Folder, options.Settings = unpacked, slices.Concat(w.env, settings)
	host, err := functionshost.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		host.Close()
		w.checkSilence(t, host.Output())
		if len(host.Errors()) > 0 {
			t.Errorf("on standard error: %s", host.Errors())
		}
	})
	return host
}

// checkSilence searches for every secret in what the function has said or kept.
func (w *world) checkSilence(t *testing.T, said []byte) {
	t.Helper()
	_, secret := w.maia.APICredential()
	kept := fmt.Sprint(w.state.Blobs("maia-rotate"))
	for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID), secret, managerToken, blobToken, identityHeader) {
		if bytes.Contains(said, []byte(secret)) || strings.Contains(kept, secret) {
			t.Errorf("a secret is in what the function says or keeps:\n%s\n%s", said, kept)
		}
	}
	for line := range bytes.Lines(said) {
		if !json.Valid(line) {
			t.Errorf("the line %q is not JSON", line)
		}
	}
}

// fire has the timer fire once.
func (w *world) fire(t *testing.T, host *functionshost.Host, timer functionshost.Timer) functionshost.Result {
	t.Helper()
	result, err := host.Invoke(t.Context(), rotation.FunctionName, timer)
	if err != nil || result.Hung || result.TimedOut {
		t.Fatalf("%+v (%s), %v\n%s", result, result.Body, err, host.Output())
	}
	w.checkSilence(t, bytes.ReplaceAll(result.Body, []byte("\n"), nil))
	return result
}

// checkBack checks that the runner is connected with the valid credentials, after a number of refreshes.
func (w *world) checkBack(t *testing.T, refreshes int) {
	t.Helper()
	agent, err := w.maia.Client(t).Agent(t.Context(), agentID)
	if err != nil || !agent.Connected || w.maia.Refreshes(agentID) != refreshes ||
		w.apps.Secret(app, clientSecret).Value != w.maia.LiveSecret(agentID) {
		t.Errorf("connected %t, %d refreshes, expected %d, stored what is valid %t (%v)", agent.Connected, w.maia.Refreshes(agentID), refreshes,
			w.apps.Secret(app, clientSecret).Value == w.maia.LiveSecret(agentID), err)
	}
}

func TestTheCompiledFunctionRotates(t *testing.T) {
	for name, settings := range map[string][]string{
		"an app":           {"MAIA_CONTAINER_APPS=" + app},
		"a resource group": {"MAIA_RESOURCE_GROUPS=" + group, "MAIA_AGENT_IDS=" + agentID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			host := w.start(t, functionshost.Options{}, settings...)
			result := w.fire(t, host, functionshost.Timer{})
			if result.Failure != "" || !slices.Equal(result.Logs, []string{app + ": rotated"}) {
				t.Fatalf("%+v\n%s", result, host.Output())
			}
			w.checkBack(t, 1)
			var document map[string]any
			if err := json.Unmarshal(result.Body, &document); err != nil || fmt.Sprint(document["Outputs"]) != "map[]" ||
				document["ReturnValue"] != nil || len(document) != 3 {
				t.Errorf("the answer is %s", result.Body)
			}
			// Past due, replayed, or sent as a string: nothing is due.
			status := &functionshost.Status{Last: "2026-11-28T06:00:00.0089+00:00", Next: "garbled", LastUpdated: "0001-01-01T00:00:00"}
			for _, timer := range []functionshost.Timer{{}, {PastDue: true, Status: status}, {Encoded: true}} {
				if result := w.fire(t, host, timer); result.Failure != "" || !slices.Equal(result.Logs, []string{app + ": nothing due"}) {
					t.Errorf("%+v: %+v", timer, result)
				}
			}
			w.checkBack(t, 1)
			if host.Starts() != 1 {
				t.Errorf("%d starts", host.Starts())
			}
		})
	}
}

// TestReplayedMeanwhile: the host replays an invocation that is still at work, because the host lost the timer's lease.
func TestReplayedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.start(t, functionshost.Options{}, "MAIA_CONTAINER_APPS="+app)
	var replayed []functionshost.Result
	w.maia.OnCall(func(call maiatest.Call) {
		if call.Name == maiatest.RefreshCredentials {
			result, err := host.Invoke(t.Context(), rotation.FunctionName, functionshost.Timer{PastDue: true})
			if err != nil {
				t.Error(err)
			}
			replayed = append(replayed, result)
		}
	})
	if result := w.fire(t, host, functionshost.Timer{}); result.Failure != "" {
		t.Errorf("%+v", result)
	}
	if len(replayed) != 1 || replayed[0].Failure != "" ||
		!slices.Equal(replayed[0].Logs, []string{"another invocation of this function is at work: nothing was done"}) {
		t.Errorf("%+v", replayed)
	}
	w.checkBack(t, 1)
}

// TestDownRunner: the invocation fails while the runner is down, and the next one, by the retry policy, brings it back.
func TestDownRunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.start(t, functionshost.Options{RetryDelay: time.Millisecond}, "MAIA_CONTAINER_APPS="+app, "MAIA_ROTATE_CONNECT_TIMEOUT=3s")
	w.apps.BreakRestarts(app, 1000)
	result := w.fire(t, host, functionshost.Timer{})
	if result.Status != http.StatusInternalServerError || result.Failure == "" || w.maia.Refreshes(agentID) != 1 {
		t.Fatalf("%+v (%s)", result, result.Body)
	}
	w.apps.BreakRestarts(app, 0)
	results, err := host.Fire(t.Context(), rotation.FunctionName, functionshost.Timer{})
	if err != nil || results[len(results)-1].Failure != "" {
		t.Fatalf("%+v, %v\n%s", results, err, host.Output())
	}
	w.checkBack(t, 1)
	checkLogged(t, host, `"msg":"the runner failed"`, `"downtime_seconds":`, `"state":"restarted"`, `"invocation":"`+result.InvocationID+`"`)
}

// TestAskedToEnd: a request to end does not stop the function between refresh and restart, and its exit code is not 0.
func TestAskedToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.start(t, functionshost.Options{}, "MAIA_CONTAINER_APPS="+app)
	w.maia.OnCall(func(call maiatest.Call) {
		if call.Name == maiatest.RefreshCredentials {
			if err := syscall.Kill(host.PID(), syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
	})
	result := w.fire(t, host, functionshost.Timer{})
	if w.maia.Refreshes(agentID) != 1 || w.apps.Secret(app, clientSecret).Value != w.maia.LiveSecret(agentID) ||
		len(w.apps.Restarts(app)) == 0 {
		t.Errorf("%+v (%s): %v", result, result.Body, w.apps.Restarts(app))
	}
	for host.Starts() == 1 { // it has left with another code than 0, and is started again
		if err := host.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if result := w.fire(t, host, functionshost.Timer{}); result.Failure != "" {
		t.Errorf("%+v (%s)", result, result.Body)
	}
	w.checkBack(t, 1)
	checkLogged(t, host, `"msg":"the function is ending"`)
}

// TestKilledInTheMiddle: the invocation after one that was killed brings the refreshed secret to the runner.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.start(t, functionshost.Options{}, "MAIA_CONTAINER_APPS="+app)
	w.maia.OnCall(func(call maiatest.Call) {
		if call.Name == maiatest.RefreshCredentials {
			host.Kill()
		}
	})
	result, err := host.Invoke(t.Context(), rotation.FunctionName, functionshost.Timer{})
	if err != nil || !result.Exited {
		t.Fatalf("%+v, %v", result, err)
	}
	if result := w.fire(t, host, functionshost.Timer{}); result.Failure != "" {
		t.Errorf("%+v (%s)\n%s", result, result.Body, host.Output())
	}
	w.checkBack(t, 1)
}

func TestBadInvocations(t *testing.T) {
	w := newWorld(t)
	host := w.start(t, functionshost.Options{}, "MAIA_CONTAINER_APPS="+app)
	if err := host.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	var words []string
	for name, test := range map[string]struct {
		method, path string
		body         string
		status       int
		words        string
	}{
		"empty":           {"POST", "RotateRunnerSecrets", "", 400, "the invocation is empty"},
		"null":            {"POST", "RotateRunnerSecrets", "null", 400, "no Data that is an object"},
		"not JSON":        {"POST", "RotateRunnerSecrets", "timer=1", 400, "no JSON object"},
		"an array":        {"POST", "RotateRunnerSecrets", "[]", 400, "no JSON object"},
		"cut off":         {"POST", "RotateRunnerSecrets", `{"Data":{"timer":{`, 400, "no JSON object"},
		"Data is a text":  {"POST", "RotateRunnerSecrets", `{"Data":"timer"}`, 400, "no Data that is an object"},
		"Data is null":    {"POST", "RotateRunnerSecrets", `{"Data":null}`, 400, "no Data that is an object"},
		"no timer":        {"POST", "RotateRunnerSecrets", `{"Data":{"request":{}}}`, 400, "no Data.timer"},
		"a timer of null": {"POST", "RotateRunnerSecrets", `{"Data":{"timer":null}}`, 400, "no Data.timer"},
		"a timer of text": {"POST", "RotateRunnerSecrets", `{"Data":{"timer":"now"}}`, 400, "Data.timer is not what a host says"},
		"10 MB": {"POST", "RotateRunnerSecrets", `{"Data":{"timer":"` + strings.Repeat("x", 10<<20) + `"}}`, 413,
			"more than 1048576 bytes"},
		"an unknown function": {"POST", "Other", "{}", 404, "there is no function"},
		"a path":              {"POST", "RotateRunnerSecrets/x", "{}", 404, "there is no function"},
		"GET":                 {"GET", "RotateRunnerSecrets", "", 405, "was called by GET"},
		"PUT":                 {"PUT", "RotateRunnerSecrets", "{}", 405, "was called by PUT"},
		"ready":               {"GET", "", "", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, host.URL()+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			var answer struct {
				Outputs     map[string]any
				Logs        []string
				ReturnValue any
			}
			if err != nil || json.Unmarshal(body, &answer) != nil || answer.Outputs == nil || answer.Logs == nil ||
				response.Header.Get("Content-Type") != "application/json" {
				t.Errorf("the answer is %q, %v", body, err)
			}
			if response.StatusCode != test.status || !strings.Contains(strings.Join(answer.Logs, "\n"), test.words) {
				t.Errorf("got %d, %s, expected %d, %s", response.StatusCode, body, test.status, test.words)
			}
			words = append(words, test.words)
		})
	}
	checkLogged(t, host, words...)
	if w.maia.Refreshes(agentID) != 0 || len(w.maia.Calls()) != 0 || len(w.apps.Calls()) != 0 {
		t.Errorf("something was asked for: %v, %v", w.maia.Calls(), w.apps.Calls())
	}
}

// checkLogged ends the host, so that its log is complete, and searches it for words.
func checkLogged(t *testing.T, host *functionshost.Host, words ...string) {
	t.Helper()
	host.Close()
	for _, words := range words {
		if !strings.Contains(string(host.Information()), words) {
			t.Errorf("%s is not in the log:\n%s", words, host.Information())
		}
	}
}

func TestBadSettings(t *testing.T) {
	for name, test := range map[string]struct {
		settings []string
		words    string
	}{
		"none": {nil, "MAIA_CONTAINER_APPS is not set"},
		"both ways of naming apps": {[]string{"MAIA_CONTAINER_APPS=" + app, "MAIA_RESOURCE_GROUPS=" + group},
			"MAIA_CONTAINER_APPS and MAIA_RESOURCE_GROUPS are both set"},
		"a malformed ID": {[]string{"MAIA_CONTAINER_APPS=runner"}, `item 1 of MAIA_CONTAINER_APPS is \"runner\"`},
		"an unresolved reference": {
			[]string{"MAIA_CONTAINER_APPS=" + app, "MAIA_CLIENT_SECRET=@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/maia)"},
			"MAIA_CLIENT_SECRET is a Key Vault reference that Azure has not resolved",
		},
		"no identity": {[]string{"MAIA_CONTAINER_APPS=" + app, "IDENTITY_ENDPOINT="}, "no managed identity"},
		"another identity": {
			[]string{"MAIA_CONTAINER_APPS=" + app, "AZURE_CLIENT_ID=00000000-0000-0000-0000-00000000000d"},
			"no token was issued to the function's identity (HTTP 400)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			host := w.start(t, functionshost.Options{}, test.settings...)
			if result := w.fire(t, host, functionshost.Timer{}); result.Status != http.StatusInternalServerError || len(w.maia.Calls()) > 0 {
				t.Errorf("%+v", result)
			}
			checkLogged(t, host, test.words)
		})
	}
}

// TestWithoutAPort: outside of a host the function says so, and exits with an error.
func TestWithoutAPort(t *testing.T) {
	for _, port := range []string{"", "http", "70000"} {
		command := exec.CommandContext(t.Context(), filepath.Join(unpacked, "rotator"))
		command.Env = []string{"FUNCTIONS_CUSTOMHANDLER_PORT=" + port}
		out, err := command.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "FUNCTIONS_CUSTOMHANDLER_PORT is") {
			t.Errorf("%q: %v, %s", port, err, out)
		}
	}
}

// TestHostIsGone: the function does not end because its log is not read any more.
func TestHostIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host := w.start(t, functionshost.Options{}, "MAIA_CONTAINER_APPS="+app) // for a port that is free after it
	if err := host.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	url := host.URL()
	host.Close()
	port := strings.Trim(url[strings.LastIndex(url, ":"):], ":/")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(unpacked, "rotator"))
	command.Env = append(w.env, "FUNCTIONS_CUSTOMHANDLER_PORT="+port, "MAIA_CONTAINER_APPS="+app)
	command.Stdout = writer
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	_ = writer.Close()
	_ = reader.Close()
	for {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+rotation.FunctionName,
			strings.NewReader(`{"Data":{"timer":{}}}`))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if errors.Is(err, syscall.ECONNREFUSED) { // not yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("got %d", response.StatusCode)
		}
		break
	}
	w.checkBack(t, 1)
}

// The function links Azure's SDK and nothing of another cloud.
func TestTheFunctionLinksOneCloud(t *testing.T) {
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dependency := range strings.Fields(string(out)) {
		for _, foreign := range []string{"aws", "cloud.google.com", "googleapi", "googlecloud", "google.golang.org", "gcp", "helm", "k8s.io",
			"emulator", "maiatest", "cobra"} {
			if strings.Contains(strings.ToLower(dependency), foreign) {
				t.Errorf("the function links %s", dependency)
			}
		}
	}
}

// TestTheHostsFiles compares host.json and function.json with the code.
func TestTheHostsFiles(t *testing.T) {
	read := func(name string, into any) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var host struct {
		Version, FunctionTimeout string
		Logging                  struct {
			ApplicationInsights struct{ SamplingSettings struct{ IsEnabled bool } }
		}
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
		}
	}
	read("host.json", &host)
	var h, m, s int
	if _, err := fmt.Sscanf(host.FunctionTimeout, "%d:%d:%d", &h, &m, &s); err != nil {
		t.Fatal(err)
	}
	if timeout := time.Duration(h*3600+m*60+s) * time.Second; timeout != rotation.FunctionTimeout {
		t.Errorf("functionTimeout is %s, in the code %s", timeout, rotation.FunctionTimeout)
	}
	var function struct {
		Bindings []struct {
			Type, Direction, Name, Schedule string
			UseMonitor, RunOnStartup        bool
		}
		Retry struct {
			Strategy, DelayInterval string
			MaxRetryCount           int
		}
	}
	read(filepath.Join(rotation.FunctionName, "function.json"), &function)
	const want = "{Bindings:[{Type:timerTrigger Direction:in Name:timer Schedule:%ROTATION_SCHEDULE% UseMonitor:true RunOnStartup:false}] " +
		"Retry:{Strategy:fixedDelay DelayInterval:00:05:00 MaxRetryCount:2}}"
	if got := fmt.Sprintf("%+v", function); got != want {
		t.Errorf("function.json has %s", got)
	}
}

func TestTimeZonesAreFoundNextToTheProgram(t *testing.T) {
	t.Setenv("ZONEINFO", "")
	findZones()
	program, err := os.Executable()
	if want := filepath.Join(filepath.Dir(program), zonesFile); err != nil || os.Getenv("ZONEINFO") != want {
		t.Errorf("ZONEINFO is %q, want %q", os.Getenv("ZONEINFO"), want)
	}
	t.Setenv("ZONEINFO", "/elsewhere")
	if findZones(); os.Getenv("ZONEINFO") != "/elsewhere" {
		t.Error("what was set is not kept")
	}
}
