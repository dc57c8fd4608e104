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

// journal passes events on, one at a time and in their order.
type journal struct {
	mu      sync.Mutex
	onEvent func(Event)
	begin   time.Time
	open    bool
}

// start opens the journal: what happens while a world is set up is no event.
func (j *journal) start() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.begin, j.open = time.Now(), true
}

// stop closes the journal: from then on onEvent is not called any more.
func (j *journal) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open = false
}

func (j *journal) add(source Source, name, format string, args ...any) {
	j.put(Event{Source: source, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (j *journal) fail(source Source, name, format string, args ...any) {
	j.put(Event{Source: source, Name: name, Text: fmt.Sprintf(format, args...), Failed: true})
}

func (j *journal) put(event Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.open && j.onEvent != nil {
		event.Elapsed = time.Since(j.begin)
		j.onEvent(event)
	}
}
