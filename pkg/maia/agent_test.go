package maia_test

import (
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

func TestCheckAgentID(t *testing.T) {
	for _, id := range []string{agentID, strings.ToUpper(agentID), "0", "a-1"} {
		if err := maia.CheckAgentID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{
		"", "-", "-abc", ".", "..", "a/b", "a/../b", "/", "%2e%2e", "a b", "a\n", "agent", "ä", "a?b", "a#b", "a;b", strings.Repeat("a", 65),
	} {
		err := maia.CheckAgentID(id)
		if err == nil || !strings.Contains(err.Error(), "expected a UUID") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A bad agent ID never gets as far as a call.
func TestAgentIDIsCheckedFirst(t *testing.T) {
	fake := newFake(t)
	client := fake.Client(t)
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Agent":              func() error { _, err := client.Agent(ctx, "../x"); return err },
		"Credentials":        func() error { _, err := client.Credentials(ctx, "../x"); return err },
		"RefreshCredentials": func() error { _, err := client.RefreshCredentials(ctx, "../x"); return err },
		"Command":            func() error { return client.Command(ctx, "../x", maia.CommandPause) },
		"unknown command":    func() error { return client.Command(ctx, agentID, "pause") },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := fake.Calls(); len(calls) != 0 {
		t.Errorf("calls were made: %v", calls)
	}
}

func TestAgentStatusKnown(t *testing.T) {
	for status, want := range map[maia.AgentStatus]bool{
		maia.StatusRunning: true, maia.StatusPending: true, maia.StatusUnknown: true, maia.StatusStopping: true,
		maia.StatusStopped: true, maia.StatusPausing: true, maia.StatusPaused: true, "": false, "hibernating": false, "Running": false,
	} {
		if status.Known() != want {
			t.Errorf("%q: %v", status, !want)
		}
	}
}

func TestUnknownStatusIsKept(t *testing.T) {
	fake := newFake(t)
	fake.AddAgent(maiatest.AgentSpec{ID: otherID, Status: "HIBERNATING"})
	agent, err := fake.Client(t).Agent(t.Context(), otherID)
	if err != nil || agent.Status != "hibernating" || agent.Status.Known() {
		t.Errorf("%+v, %v", agent, err)
	}
}
