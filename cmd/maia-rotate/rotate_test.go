package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/doctor/azure/azuretest"
)

func TestRotateAWS(t *testing.T) {
	installation := installed(t, healthy())
	where := []string{"aws", "--secret", installation.SecretARN}
	before := len(installation.Changes())
	if code, _, stderr := runFor(t, append([]string{"hold"}, append(where, "--until", "1h", "--reason",
		"month-end run")...)...); code != exitOK {
		t.Fatal(stderr)
	}
	code, _, stderr := runFor(t, append([]string{"rotate"}, append(where, "--reason", "it leaked")...)...)
	if code != exitNotRun || !strings.Contains(stderr, "month-end run") {
		t.Errorf("of a runner that is held: exit code %d: %s", code, stderr)
	}
	if code, _, stderr := runFor(t, append([]string{"unhold"}, where...)...); code != exitOK {
		t.Fatal(stderr)
	}
	code, text, stderr := runFor(t, append([]string{"rotate"}, append(where, "--reason", "it leaked")...)...)
	if code != exitOK || !strings.Contains(text, "Secrets Manager begins it") || stderr != "" {
		t.Errorf("exit code %d: %s%s", code, text, stderr)
	}
	changes := installation.Changes()[before:]
	if asked := strings.Count(strings.Join(changes, "\n"), "RotateSecret"); asked != 1 {
		t.Errorf("RotateSecret was called %d times: %v", asked, changes)
	}
}

func TestRotateAzure(t *testing.T) {
	i, _ := azureInstalled(t)
	where := []string{"azure", "--function-app", azuretest.FunctionApp}
	code, text, stderr := runFor(t, append([]string{"rotate"}, append(where, "--reason", "it leaked", "--by", "jo", "--json")...)...)
	var document struct {
		OK        bool
		Requested struct{ ID, By, Why string }
		Targets   []struct{ Outcome string }
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil || code != exitOK || stderr != "" || !document.OK ||
		document.Requested.ID == "" || document.Requested.By != "jo" || len(document.Targets) != 1 || document.Targets[0].Outcome != "noted" {
		t.Errorf("exit code %d, %v: %s%s", code, err, text, stderr)
	}
	code, text, _ = runFor(t, append([]string{"plan"}, append(where, "--json")...)...)
	if !strings.Contains(text, `"requested":{"id":"`+document.Requested.ID) || code != exitOK {
		t.Errorf("the plan does not have it: exit code %d: %s", code, text)
	}
	if code, _, stderr := runFor(t, append([]string{"rotate"}, where...)...); code != exitUsage ||
		!strings.Contains(stderr, "--reason is not set") {
		t.Errorf("without a reason: exit code %d: %s", code, stderr)
	}
	for _, leak := range i.Leaks("") {
		t.Errorf("%s leaks", leak)
	}
}
