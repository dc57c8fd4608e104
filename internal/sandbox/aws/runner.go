package aws

import (
	"fmt"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// The runner of every World, named as the vendor's templates name things.
const (
	SecretName = "matillion-oauth-credentials"
	Cluster    = "matillion"
	Service    = "matillion-runner"
)

// document is the value of the runner's secret. Whoever decodes it and encodes it again changes more than its
// client_secret: the number, the order, the spacing.
func document(clientSecret string) string {
	return fmt.Sprintf(`{ "owner":"data platform" ,
  "client_secret" :  %q,"account_number":12345678901234567890,
	"client_id": %q }
`, clientSecret, sandbox.ClientID)
}

// container is the runner's, with the variables of the vendor's templates.
func container(secretARN string) ecs.Container {
	return ecs.Container{
		Name: "runner",
		Environment: map[string]string{
			"ACCOUNT_ID":       "sandbox",
			"AGENT_ID":         sandbox.AgentID,
			"MATILLION_REGION": "eu1",
			"CLOUD_PROVIDER":   "AWS",
		},
		Secrets: map[string]string{
			"OAUTH_CLIENT_ID":     secretARN + ":client_id::",
			"OAUTH_CLIENT_SECRET": secretARN + ":client_secret::",
		},
	}
}

// fleet is the runner's tasks, each with its connection to Maia.
type fleet struct {
	maia    *sandbox.Maia
	journal *sandbox.Journal

	mu      sync.Mutex
	started int
	tasks   map[string]*task // by ARN
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
	f.journal.Add(sandbox.FromECS, "task-started", "task %d started", t.number)
	var err error
	t.instance, err = f.maia.LogIn(fmt.Sprintf("task %d", t.number),
		started.Env["AGENT_ID"], started.Env["OAUTH_CLIENT_ID"], started.Env["OAUTH_CLIENT_SECRET"])
	return err
}

func (f *fleet) stop(stopped ecs.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tasks[stopped.ARN]
	delete(f.tasks, stopped.ARN)
	if t.instance != nil {
		t.instance.Close()
	}
	f.journal.Add(sandbox.FromECS, "task-stopped", "task %d stopped", t.number)
}

// connected reports how many tasks have their connection.
func (f *fleet) connected() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.tasks {
		if t.instance != nil && t.instance.Connected() {
			n++
		}
	}
	return n
}

// count is how many tasks have ever started.
func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.started
}
