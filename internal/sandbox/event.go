package sandbox

import "github.com/maia-rotate/maia-rotate/internal/sandbox/stage"

// Source says where an event happened.
type Source = stage.Source

// Event is something that happened in a World. It holds no secret.
type Event = stage.Event

// Proof is one thing that must be true at the end.
type Proof = stage.Proof

// The sources of events in a World.
const (
	FromSecretsManager = stage.FromSecretsManager
	FromMaia           = stage.FromMaia
	FromECS            = stage.FromECS
	FromSchedule       = stage.FromSchedule
	FromFault          = stage.FromFault
)

// The runner of every World.
const (
	AgentID  = stage.AgentID
	ClientID = stage.ClientID
)
