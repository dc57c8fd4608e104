package maia

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// AgentStatus is what Maia says an agent is doing, in lower case. Values that are not known here are kept as they come.
type AgentStatus string

// The statuses seen so far (Maia API reference, schema Agent; compared case-insensitively).
const (
	StatusRunning  AgentStatus = "running"
	StatusPending  AgentStatus = "pending"
	StatusUnknown  AgentStatus = "unknown" // Maia has no connection to the runner
	StatusStopping AgentStatus = "stopping"
	StatusStopped  AgentStatus = "stopped"
	StatusPausing  AgentStatus = "pausing" // tasks in progress finish, new ones are queued
	StatusPaused   AgentStatus = "paused"  // no task in progress
)

// Known reports whether s is one of the constants.
func (s AgentStatus) Known() bool {
	switch s {
	case StatusRunning, StatusPending, StatusUnknown, StatusStopping, StatusStopped, StatusPausing, StatusPaused:
		return true
	}
	return false
}

// Command is an order for an agent (Maia API reference, POST /v1/agents/{agentId}/commands).
type Command string

// The commands that Maia takes.
const (
	CommandPause   Command = "PAUSE"   // finish tasks in progress, queue new ones
	CommandResume  Command = "RESUME"  // end a pause
	CommandRestart Command = "RESTART" // reaches the runner only over its connection to Maia
)

// Agent is a runner as Maia describes it (Maia API reference, GET /v1/agents/{agentId}). What the reply leaves out is the zero value.
type Agent struct {
	ID            string // a UUID
	Name          string
	Description   string
	Status        AgentStatus
	Type          string    // data_productivity_cloud or streaming
	CloudProvider string    // aws, azure, snowflake or gcp
	Deployment    string    // for example fargate
	Version       string    // of the runner's software
	Track         string    // the release track that the version comes from
	Connected     bool      // at least one instance has a connection to Maia; may lag
	PausedUntil   time.Time // when a pause ends by itself; zero while there is none, and where Maia's value cannot be understood
}

// agentJSON is Agent on the wire. Fields that are not named here are ignored. What a rotation rests on must be of its type; everything else
// may be whatever it is, as a reply that could not be read would leave the runner as it is, paused or cut off.
type agentJSON struct {
	AgentID        string           `json:"agentId"`
	AgentStatus    string           `json:"agentStatus"`
	Connected      bool             `json:"connected"`
	Name           optional[string] `json:"name"`
	Description    optional[string] `json:"description"`
	AgentType      optional[string] `json:"agentType"`
	CloudProvider  optional[string] `json:"cloudProvider"`
	Deployment     optional[string] `json:"deployment"`
	PausedUntil    instant          `json:"pausedUntil"`
	VersionDetails optional[struct {
		AgentVersion optional[string] `json:"agentVersion"`
		TrackName    optional[string] `json:"trackName"`
	}] `json:"versionDetails"`
}

// agent converts and checks; the error names a field and no value.
func (a agentJSON) agent() (Agent, error) {
	if CheckAgentID(a.AgentID) != nil {
		return Agent{}, errors.New("agentId is missing or is no agent ID")
	}
	version := a.VersionDetails.value
	return Agent{
		ID: a.AgentID, Name: a.Name.value, Description: a.Description.value,
		Status: AgentStatus(strings.ToLower(a.AgentStatus)), Type: a.AgentType.value,
		CloudProvider: a.CloudProvider.value, Deployment: a.Deployment.value,
		Version: version.AgentVersion.value, Track: version.TrackName.value,
		Connected: a.Connected, PausedUntil: a.PausedUntil.Time,
	}, nil
}

// maxAgentID is generous: a UUID has 36 characters.
const maxAgentID = 64

// CheckAgentID checks that id can be an agent's ID: hexadecimal digits and hyphens, as in a UUID, starting with a digit. It keeps
// everything else out of URLs. The error does not repeat id, which could be anything that was put in the wrong place.
func CheckAgentID(id string) error {
	switch {
	case id == "":
		return errors.New("maia: agent ID is empty: expected a UUID such as 0f8fad5b-d9cb-469f-a165-70867728950e")
	case len(id) > maxAgentID:
		return fmt.Errorf("maia: agent ID has %d characters: expected a UUID", len(id))
	case id[0] == '-':
		return errors.New("maia: agent ID begins with a hyphen: expected a UUID")
	}
	if i := strings.IndexFunc(id, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF-", r) }); i >= 0 {
		return fmt.Errorf("maia: agent ID has a bad character at position %d: expected a UUID, hexadecimal digits and hyphens only", i+1)
	}
	return nil
}
