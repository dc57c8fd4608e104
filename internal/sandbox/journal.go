package sandbox

import (
	"fmt"
	"sync"
	"time"
)

// Source says where an event happened.
type Source string

// The sources of events.
const (
	FromSecretsManager Source = "Secrets Manager"
	FromMaia           Source = "Maia"
	FromECS            Source = "ECS"
	FromSchedule       Source = "schedule"
	FromHelm           Source = "Helm"
	FromKubernetes     Source = "Kubernetes"
	FromHost           Source = "Functions host"
	FromContainerApps  Source = "Container Apps"
	FromBlobs          Source = "Blob storage"
	FromIdentity       Source = "managed identity"
	FromFault          Source = "fault" // what goes wrong, and what people do
)

// Event is something that happened in a World. It holds no secret.
type Event struct {
	Elapsed time.Duration // since the world was ready
	Source  Source
	Name    string // for machines, for example "step-failed"
	Text    string // for people
	Failed  bool
}

// Journal passes events on, one at a time and in their order. It begins with Start.
type Journal struct {
	mu      sync.Mutex
	onEvent func(Event)
	begin   time.Time
	open    bool
}

// Listen says who gets the events; nil is nobody.
func (j *Journal) Listen(onEvent func(Event)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.onEvent = onEvent
}

// Start opens the journal: what happens while a world is set up is no event.
func (j *Journal) Start() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begin, j.open = time.Now(), true
}

// Stop closes the journal: from then on nobody gets any more.
func (j *Journal) Stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open = false
}

// Add passes on something that happened.
func (j *Journal) Add(source Source, name, format string, args ...any) {
	j.put(Event{Source: source, Name: name, Text: fmt.Sprintf(format, args...)})
}

// Fail passes on something that went wrong.
func (j *Journal) Fail(source Source, name, format string, args ...any) {
	j.put(Event{Source: source, Name: name, Text: fmt.Sprintf(format, args...), Failed: true})
}

func (j *Journal) put(event Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open && j.onEvent != nil {
		event.Elapsed = time.Since(j.begin)
		j.onEvent(event)
	}
}
