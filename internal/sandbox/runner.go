package sandbox

import (
	"fmt"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/sandbox/journal"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The runner of every World, named as the vendor's templates name things.
const (
	AgentID    = "7d3a1c52-94be-4f0a-8a6d-2b5c90e1f374"
	ClientID   = "matillion-runner-client"
	SecretName = "matillion-oauth-credentials"
	Cluster    = "matillion"
	Service    = "matillion-runner"
)

// pipelineTime is how long the pipeline takes that runs when the world is ready.
const pipelineTime = 1800 * time.Millisecond

// document is the value of the runner's secret. Whoever decodes it and encodes it again changes more than its
// client_secret: the number, the order, the spacing.
func document(clientSecret string) string {
	return fmt.Sprintf(`{ "owner":"data platform" ,
  "client_secret" :  %q,"account_number":12345678901234567890,
	"client_id": %q }
`, clientSecret, ClientID)
}

// container is the runner's, with the variables of the vendor's templates.
func container(secretARN string) ecs.Container {
	return ecs.Container{
		Name: "runner",
		Environment: map[string]string{
			"ACCOUNT_ID":       "sandbox",
			"AGENT_ID":         AgentID,
			"MATILLION_REGION": "eu1",
			"CLOUD_PROVIDER":   "AWS",
		},
		Secrets: map[string]string{
			"OAUTH_CLIENT_ID":     secretARN + ":client_id::",
			"OAUTH_CLIENT_SECRET": secretARN + ":client_secret::",
		},
	}
}

// fleet is the runner's tasks, each with its connection to Maia, and the time that passed without any.
type fleet struct {
	maia    *maiatest.Server
	journal *journal.Journal

	mu        sync.Mutex
	started   int
	tasks     map[string]*task // by ARN
	darkSince time.Time        // zero while nothing is dark
	dark      []time.Duration
}

type task struct {
	number   int
	instance *maiatest.Instance // nil if it could not log in
}

// start is what a task does when it starts: it logs in with what it read.
func (f *fleet) start(started ecs.Task) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started++
	t := &task{number: f.started}
	f.tasks[started.ARN] = t
	f.journal.Add(FromECS, "task-started", "task %d started", t.number)
	instance, err := f.maia.Connect(started.Env["AGENT_ID"], started.Env["OAUTH_CLIENT_ID"], started.Env["OAUTH_CLIENT_SECRET"])
	if err != nil {
		f.journal.Fail(FromMaia, "login-refused", "task %d is refused: the secret that it read is not valid", t.number)
		return err
	}
	t.instance = instance
	if f.darkSince.IsZero() {
		f.journal.Add(FromMaia, "connected", "task %d connected", t.number)
		return nil
	}
	dark := time.Since(f.darkSince)
	f.dark, f.darkSince = append(f.dark, dark), time.Time{}
	f.journal.Add(FromMaia, "connected", "task %d connected: the runner is back, it was dark for %.1f s", t.number, dark.Seconds())
	return nil
}

func (f *fleet) stop(stopped ecs.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tasks[stopped.ARN]
	delete(f.tasks, stopped.ARN)
	if t.instance != nil {
		t.instance.Close()
	}
	f.journal.Add(FromECS, "task-stopped", "task %d stopped", t.number)
}

// cut says that a refresh has just cut the runner off.
func (f *fleet) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.darkSince.IsZero() {
		f.darkSince = time.Now()
	}
}

// connected says whether there are tasks, and all of them have their connection.
func (f *fleet) connected() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tasks {
		if t.instance == nil || !t.instance.Connected() {
			return false
		}
	}
	return len(f.tasks) > 0
}

// count is how many tasks have ever started.
func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}

func (f *fleet) darkTimes() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Duration(nil), f.dark...)
}
