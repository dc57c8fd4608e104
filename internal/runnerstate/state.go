// Package runnerstate puts the state of a runner in the emulated services into words, for tests that compare how they were
// reached.
package runnerstate

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Places are the services in which the state of one runner is, and its names there.
type Places struct {
	Maia             *maiatest.Server
	Secrets          *secretsmanager.Server
	ECS              *ecs.Server
	AgentID          string
	SecretARN        string
	Cluster, Service string
}

// State says in one line where a rotation of a runner stands, without times and IDs: two runners of which it is the same
// have the same way to go. agent is the runner as Maia shows it.
func (p Places) State(agent maia.Agent) string {
	live := p.Maia.LiveSecret(p.AgentID)
	current, pending := "", "none"
	var notes []string
	for _, version := range p.Secrets.Versions(p.SecretARN) {
		for _, stage := range version.Stages {
			switch kind, ours := strings.CutPrefix(stage, "maia-rotate/"); {
			case ours:
				notes = append(notes, noteWords(kind, maia.NewSecret(live).Fingerprint()))
			case stage == "AWSCURRENT":
				current = p.holds(version.ID, live)
			case stage != "AWSPENDING":
			case slices.Contains(version.Stages, "AWSCURRENT"):
				pending = "current"
			case version.Empty:
				pending = "empty"
			default:
				pending = p.holds(version.ID, live)
			}
		}
	}
	slices.Sort(notes)
	connection := "down"
	if agent.Connected {
		connection = "connected"
	}
	service := p.ECS.Service(p.Cluster, p.Service)
	return fmt.Sprintf("store %s, pending %s, note [%s], runner %s %s, %d refreshed, %s",
		current, pending, strings.Join(notes, " "), agent.Status, connection, p.Maia.Refreshes(p.AgentID),
		strings.ToLower(service.Deployments[0].RolloutState))
}

// noteWords is a label of ours without its times.
func noteWords(label string, live maia.Fingerprint) string {
	fields := strings.Split(label, "/")
	words := fields[0]
	for _, field := range fields[1:] {
		switch field {
		case string(live):
			words += "-live"
		case "none":
			words += "-none"
		}
	}
	return words
}

func (p Places) holds(version, live string) string {
	text, err := p.Secrets.Value(p.SecretARN, "", version)
	var stored struct {
		Secret string `json:"client_secret"`
	}
	if err != nil || json.Unmarshal([]byte(text), &stored) != nil {
		return "unreadable"
	}
	if stored.Secret == live {
		return "live"
	}
	return "dead"
}
