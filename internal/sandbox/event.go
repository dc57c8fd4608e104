package sandbox

import "github.com/maia-rotate/maia-rotate/internal/sandbox/journal"

// Source says where an event happened.
type Source = journal.Source

// Event is something that happened in a World. It holds no secret.
type Event = journal.Event

// The sources of events in a World.
const (
	FromSecretsManager = journal.FromSecretsManager
	FromMaia           = journal.FromMaia
	FromECS            = journal.FromECS
	FromSchedule       = journal.FromSchedule
	FromFault          = journal.FromFault
)
