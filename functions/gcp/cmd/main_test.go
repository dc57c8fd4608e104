package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/pack"
	"github.com/maia-rotate/maia-rotate/internal/process"
)

// function is the compiled function, which serves on a port of loopback.
type function struct {
	*process.Process
	url    string
	output process.Output
}

func (f *function) printed() string { return string(f.output.Bytes()) }

func start(t *testing.T, binary string, env ...string) *function {
	t.Helper()
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	f := &function{url: "http://127.0.0.1:" + port}
	command := exec.CommandContext(t.Context(), binary)
	command.Env = append([]string{"PORT=" + port}, env...)
	command.Stdout, command.Stderr = &f.output, &f.output
	if f.Process, err = process.Start(command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Kill()
		<-f.Exited()
	})
	if err := f.AwaitReady(t.Context(), process.Listens(port)); err != nil {
		t.Fatalf("the function does not listen: %v: %s", err, f.printed())
	}
	return f
}

func (f *function) call(t *testing.T, method string, body io.Reader) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestTheCompiledFunctionAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	binary := filepath.Join(t.TempDir(), "function")
	if err := pack.BuildGCP(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	const secret = "the-secret-of-the-api-credential"
	for name, test := range map[string]struct {
		env   []string
		words string
	}{
		"no environment": {nil, "MAIA_CREDENTIALS_SECRET is not set"},
		"a typing error": {[]string{"MAIA_HELM_RELEASE=x", "MAIA_CLIENT_SECRET=" + secret}, "did you mean MAIA_HELM_RELEASES?"},
		"no cluster": {
			[]string{"MAIA_HELM_RELEASES=namespaces/a/releases/b", "KUBECONFIG=/nonexistent", "MAIA_CLIENT_ID=a",
				"MAIA_CLIENT_SECRET=" + secret}, `KUBECONFIG is \"/nonexistent\"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, binary, test.env...)
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				// A server reads no more than this of a body that the handler ignores; the handler's own test has larger ones.
				status, body := f.call(t, method, strings.NewReader(strings.Repeat("x", 200<<10)))
				if status != http.StatusInternalServerError || !strings.Contains(body, test.words) || !json.Valid([]byte(body)) {
					t.Errorf("%s: got %d, %s, expected %s", method, status, body, test.words)
				}
			}
			for line := range strings.Lines(f.printed()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("the line %q is not JSON", line)
				}
			}
			if strings.Contains(f.printed(), secret) {
				t.Error("the secret is printed")
			}
		})
	}
}

// A process that is asked to end and has nothing to do ends at once, with 0.
func TestTheCompiledFunctionEndsInOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	binary := filepath.Join(t.TempDir(), "function")
	if err := pack.BuildGCP(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	f := start(t, binary)
	if status, body := f.call(t, http.MethodPost, nil); status != http.StatusInternalServerError {
		t.Fatalf("got %d, %s", status, body)
	}
	f.Terminate(time.Minute)
	if state := f.State(); !state.Success() {
		t.Errorf("it ended with %s", state)
	}
}

// The function links Google's libraries and nothing of another cloud.
func TestTheFunctionLinksOneCloud(t *testing.T) {
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(out)) {
		for _, other := range []string{"aws/aws-sdk-go", "aws/aws-lambda-go", "aws/smithy-go", "Azure/azure-sdk-for-go", "pkg/rotate/ecs",
			"functions/aws-lambda"} {
			if strings.Contains(name, other) {
				t.Errorf("%s is linked", strings.TrimSpace(name))
			}
		}
	}
}
