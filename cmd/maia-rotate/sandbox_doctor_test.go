package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestSandboxDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--doctor")
	if code != exitOK || stderr != "" {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	for _, setup := range sandboxaws.Setups() {
		if !strings.Contains(got, "✓ "+setup.Name+"\n") {
			t.Errorf("%s is missing", setup.Name)
		}
	}
	if !strings.Contains(got, "Each finding says what is wrong, and nothing was changed.") || strings.Contains(got, "✗") {
		t.Error(got)
	}
	checkNarrow(t, got)
}

func TestSandboxDoctorJSON(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles and runs the function")
	}
	t.Parallel()
	code, got, stderr := runFor(t, "sandbox", "--doctor", "--json")
	lines := jsonLines(t, got)
	setups := sandboxaws.Setups()
	if code != exitOK || stderr != "" || len(lines) != len(setups)+1 {
		t.Fatalf("exit code %d:\n%s\n%s", code, got, stderr)
	}
	for i, setup := range setups {
		findings, _ := lines[i]["findings"].([]any)
		expected, _ := lines[i]["expected"].([]any)
		if lines[i]["type"] != "setup" || lines[i]["name"] != setup.Name || lines[i]["ok"] != true ||
			len(findings) != len(setup.Wants) || len(expected) != len(setup.Wants) {
			t.Errorf("%s: %v", setup.Name, lines[i])
		}
	}
	if last := lines[len(setups)]; last["type"] != "result" || last["ok"] != true || last["setups"] != float64(len(setups)) ||
		last["broken"] != 0.0 {
		t.Errorf("the result is %v", last)
	}
}

func TestPrintersOfWrongDiagnosis(t *testing.T) {
	wrong := sandboxaws.Diagnosis{
		Setup: sandboxaws.Setup{Name: "one", What: "One thing is wrong.", Wants: []sandboxaws.Want{{Level: doctor.Problem, Check: "role"}}},
		Report: doctor.Report{Findings: []doctor.Finding{{Level: doctor.Warning, Check: "healing", Text: "it is seldom",
			Hint: "correct it:\naws events"}}},
		Plan:  doctoraws.Plan{},
		Wrong: []string{"doctor did not find the problem role"},
	}
	wrong.Plan.Error = rotate.Errorf(rotate.NotReady, "later")
	var text, lines bytes.Buffer
	show := &textPrinter{out: &text}
	show.setup(wrong)
	show.diagnosed(setupsResult{setups: 2, broken: 1, took: time.Second})
	want := "✗ one\n    One thing is wrong.\n    warning healing\n      it is seldom\n      → correct it:\n          aws events\n" +
		"    plan: in the way: not ready: later\n    ! doctor did not find the problem role\n\n2 installations in 1.0 s. Of 1 something else " +
		"was said than is true.\n"
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	machine := &jsonPrinter{out: &lines}
	machine.setup(wrong)
	machine.diagnosed(setupsResult{setups: 2, broken: 1})
	objects := jsonLines(t, lines.String())
	if objects[0]["ok"] != false || objects[0]["wrong"] == nil || objects[1]["ok"] != false {
		t.Errorf("printed are %v", objects)
	}
}
