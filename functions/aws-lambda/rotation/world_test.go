package rotation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	agentID     = "0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	clientID    = "client-of-the-runner"
	firstSecret = "the-first-secret-of-the-runner"
	functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:maia-rotate"

	// document has an unusual order of keys, unusual blanks, and a number that a float cannot hold.
	document = `{ "note":"kept",  "client_secret" : "` + firstSecret + `","big":12345678901234567890.10,
  "client_id":"` + clientID + `"}`
)

// world is AWS and Maia in memory, with the handler in this process as the Lambda. It is used in a bubble of testing/synctest,
// where hours pass at once.
type world struct {
	t       *testing.T
	maia    *maiatest.Server
	secrets *smemulator.Server
	ecs     *ecsemulator.Server
	arn     string
	environ []string
	timeout time.Duration // of an invocation

	mu        sync.Mutex
	output    bytes.Buffer // what the function logged and measured
	instances map[string]*maiatest.Instance
	errors    []string // of the steps that failed
	steps     []string
	hook      func(step string) error // before a step; its error is the step's
	deadly    deadlyCall
}

// deadlyCall is the nth call of an operation of AWS at which the process is killed, before or after the call.
type deadlyCall struct {
	operation string
	n         int
	after     bool
}

// deadlyTransport ends the function's goroutine at the deadly call, as a SIGKILL ends a process.
type deadlyTransport struct {
	http.RoundTripper
	w *world
}

func (d deadlyTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	deadly := &d.w.deadly
	_, operation, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
	if operation != deadly.operation {
		return d.RoundTripper.RoundTrip(request)
	}
	deadly.n--
	if deadly.n == 0 && !deadly.after {
		runtime.Goexit()
	}
	response, err := d.RoundTripper.RoundTrip(request)
	if deadly.n == 0 {
		runtime.Goexit()
	}
	return response, err
}

type lockedWriter struct{ w *world }

func (l lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.w.output.Write(p)
}

// apiCredential is the credential in newWorld's environment.
var apiCredential = maiatest.WithAPICredential("api", "the-secret-of-the-api-credential")

func newWorld(t *testing.T, configure ...func(*world, *smemulator.Options, *ecsemulator.Options)) *world {
	w := &world{t: t, maia: maiatest.New(apiCredential), instances: map[string]*maiatest.Instance{}, timeout: 15 * time.Minute}
	sm := smemulator.Options{Invoke: w.invoke, Attempts: 5, RetryDelay: 10 * time.Minute}
	ecs := ecsemulator.Options{StartDelay: 20500 * time.Millisecond, RollDelay: 7300 * time.Millisecond, StartTask: w.start, StopTask: w.stop}
	ecs.SecretValue = func(arn, stage, id string) (string, error) { return w.secrets.Value(arn, stage, id) }
	for _, configure := range configure {
		configure(w, &sm, &ecs)
	}
	w.secrets, w.ecs = smemulator.New(sm), ecsemulator.New(ecs)
	w.maia.AddAgent(maiatest.AgentSpec{ID: agentID, ClientID: clientID, Secret: firstSecret, RunningTasks: 1,
		TaskDuration: 31500 * time.Millisecond})
	w.arn = w.secrets.AddSecret("matillion-oauth-credentials", document)
	w.ecs.AddCluster("matillion")
	w.ecs.RegisterTaskDefinition("runner", runnerContainer(w.arn))
	w.createService("runner")
	w.environ = []string{
		"MAIA_CLIENT_ID=api", "MAIA_CLIENT_SECRET=the-secret-of-the-api-credential", "MAIA_ECS_CLUSTERS=matillion", "MAIA_AGENT_IDS=" + agentID,
	}
	t.Cleanup(func() {
		w.secrets.Close()
		w.ecs.Close()
		w.maia.Close()
	})
	return w
}

// createService creates a service as the vendor's template does, from the task definition of the same name.
func (w *world) createService(name string) {
	w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: name, TaskDefinition: name, DesiredCount: 1, CircuitBreaker: true,
		Rollback: true})
}

func runnerContainer(arn string) ecsemulator.Container {
	return ecsemulator.Container{
		Name:        "runner",
		Environment: map[string]string{"AGENT_ID": agentID, "MATILLION_REGION": "eu1", "ACCOUNT_ID": "account", "CLOUD_PROVIDER": "AWS"},
		Secrets:     map[string]string{"OAUTH_CLIENT_ID": arn + ":client_id::", "OAUTH_CLIENT_SECRET": arn + ":client_secret::"},
	}
}

func (w *world) start(task ecsemulator.Task) error {
	instance, err := w.maia.Connect(task.Env["AGENT_ID"], task.Env["OAUTH_CLIENT_ID"], task.Env["OAUTH_CLIENT_SECRET"])
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances[task.ARN] = instance
	return nil
}

func (w *world) stop(task ecsemulator.Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if instance := w.instances[task.ARN]; instance != nil {
		instance.Close()
	}
}

// handler is a new process of the function.
func (w *world) handler() *Handler {
	handler := New(w.environ, LoadAWS, slog.New(slog.NewJSONHandler(lockedWriter{w}, nil)), lockedWriter{w})
	options := func(server http.Handler) aws.Config {
		return aws.Config{
			Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
			HTTPClient:   &http.Client{Transport: deadlyTransport{wire.Transport(server), w}},
			BaseEndpoint: aws.String("http://127.0.0.1"), RetryMaxAttempts: 3,
		}
	}
	handler.secrets = secretsmanager.NewFromConfig(options(w.secrets))
	handler.ecs = awsecs.NewFromConfig(options(w.ecs))
	handler.rotators.HTTPClient = &http.Client{Transport: w.maia.Transport()}
	return handler
}

// invoke is how Secrets Manager calls the function: a new process every time, as if each had been killed.
func (w *world) invoke(ctx context.Context, _ string, payload []byte) error {
	var event struct{ Step string }
	if err := json.Unmarshal(payload, &event); err != nil {
		return err
	}
	w.mu.Lock()
	w.steps = append(w.steps, event.Step)
	w.mu.Unlock()
	if w.hook != nil {
		if err := w.hook(event.Step); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	// A process that is killed ends its goroutine.
	result := make(chan error, 1)
	go func() {
		err := errors.New("the process was killed")
		defer func() { result <- err }()
		_, err = w.handler().Invoke(ctx, payload)
	}()
	err := <-result
	if err != nil {
		w.mu.Lock()
		w.errors = append(w.errors, event.Step+": "+err.Error())
		w.mu.Unlock()
	}
	return err
}

// rotate starts a rotation and waits for its end, which it returns.
func (w *world) rotate() string {
	w.t.Helper()
	w.secrets.EnableRotation(w.arn, functionARN)
	w.secrets.Rotate(w.arn)
	event, err := w.secrets.WaitRotation(w.t.Context(), w.arn)
	if err != nil {
		w.t.Fatal(err)
	}
	return event.Name
}

// current is the value that tasks read.
func (w *world) current() string {
	value, err := w.secrets.Value(w.arn, "AWSCURRENT", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return value
}

func (w *world) agent() maia.Agent {
	client := w.maia.Client(w.t)
	agent, err := client.Agent(w.t.Context(), agentID)
	if err != nil { // a fault that the function did not meet
		if agent, err = client.Agent(w.t.Context(), agentID); err != nil {
			w.t.Fatal(err)
		}
	}
	return agent
}

// deployments is how many deployments were ordered by the function.
func (w *world) deployments() (n int) {
	for _, call := range w.ecs.Calls() {
		if call.Operation == "UpdateService" && call.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// mustBeBack checks what is true after every rotation that ended well.
func (w *world) mustBeBack(refreshes int) {
	w.t.Helper()
	live := w.maia.LiveSecret(agentID)
	if got, want := w.current(), strings.ReplaceAll(document, firstSecret, live); got != want {
		w.t.Errorf("AWSCURRENT is\n%s, want\n%s", got, want)
	}
	if agent := w.agent(); !agent.Connected || agent.Status != maia.StatusRunning {
		w.t.Errorf("the agent is %q, connected %t", agent.Status, agent.Connected)
	}
	if got := w.maia.Refreshes(agentID); got != refreshes {
		w.t.Errorf("%d refreshes were carried out, want %d", got, refreshes)
	}
	if w.maia.Lost(agentID) > 0 {
		w.t.Errorf("%d pipelines were lost", w.maia.Lost(agentID))
	}
	w.mustNotLeak()
	for _, label := range w.labels() {
		if strings.Contains(label, "/intent/") || strings.Contains(label, "/paus") {
			w.t.Errorf("the label %s is left", label)
		}
	}
	if w.t.Failed() {
		w.t.Logf("steps %v\nerrors %s\nlabels %v", w.steps, strings.Join(w.errors, "\n"), w.labels())
	}
}

func (w *world) labels() (labels []string) {
	for _, version := range w.secrets.Versions(w.arn) {
		for _, stage := range version.Stages {
			if strings.HasPrefix(stage, "maia-rotate/") {
				labels = append(labels, stage)
			}
		}
	}
	slices.Sort(labels)
	return labels
}

// mustNotLeak searches all that left the function for every secret so far.
func (w *world) mustNotLeak() {
	w.t.Helper()
	w.mu.Lock()
	text := w.output.String() + strings.Join(w.errors, "\n") + strings.Join(w.labels(), "\n")
	w.mu.Unlock()
	_, api := w.maia.APICredential()
	for _, secret := range append(w.maia.Revoked(agentID), w.maia.LiveSecret(agentID), api, "the-secret-of-the-api-credential") {
		if strings.Contains(text, secret) {
			w.t.Errorf("a secret left the function")
		}
	}
}

// errorText is the message that Lambda reports for an error of the handler.
func errorText(err error) string {
	var response messages.InvokeResponse_Error
	if errors.As(err, &response) {
		return response.Message
	}
	return ""
}

// errorType is the type that Lambda reports for an error of the handler.
func errorType(err error) string {
	var response messages.InvokeResponse_Error
	if errors.As(err, &response) {
		return response.Type
	}
	return ""
}
