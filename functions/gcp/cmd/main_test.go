package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/freeport"
	"github.com/maia-rotate/maia-rotate/internal/pack"
)

// function is the compiled function, which serves on a port of loopback.
type function struct {
	url     string
	process *os.Process
	ended   chan struct{}
	state   *os.ProcessState // when it has ended

	mu     sync.Mutex
	output bytes.Buffer
}

// Write implements io.Writer, for the process.
func (f *function) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.output.Write(p)
}

func (f *function) printed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.output.String()
}

func start(t *testing.T, binary string, env ...string) *function {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	f := &function{url: "http://127.0.0.1:" + port}
	command := exec.CommandContext(t.Context(), binary)
	command.Env = append([]string{"PORT=" + port}, env...)
	command.Stdout, command.Stderr = f, f
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	f.process, f.ended = command.Process, make(chan struct{})
	go func() {
		_ = command.Wait()
		f.state = command.ProcessState
		close(f.ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill()
		<-f.ended
	})
	for {
		connection, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = connection.Close()
			return f
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-f.ended:
			t.Fatalf("the function ended at its start: %s", f.printed())
		}
	}
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
	if err := f.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-f.ended
	if !f.state.Success() {
		t.Errorf("it ended with %s", f.state)
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
