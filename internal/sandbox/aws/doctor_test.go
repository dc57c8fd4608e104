package aws

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// TestSetups has doctor and plan check every setup: each defect must be named, nothing else, and nothing be changed.
func TestSetups(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	for _, setup := range Setups() {
		t.Run(setup.Name, func(t *testing.T) {
			t.Parallel()
			diagnosis, err := setup.Diagnose(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range diagnosis.Wrong {
				t.Error(wrong)
			}
			for _, finding := range diagnosis.Findings() {
				if finding.Hint == "" {
					t.Errorf("%s %s says no way to repair it", finding.Level, finding.Check)
				}
			}
			if t.Failed() {
				t.Logf("%+v", diagnosis)
			}
		})
	}
}

// TestEveryPermissionMatters takes each action away from the role: doctor must name it.
func TestEveryPermissionMatters(t *testing.T) {
	if testing.Short() {
		t.Skip("the compiled function takes minutes")
	}
	t.Parallel()
	config := rotation.Config{CredentialsSecretARN: "credential", Clusters: []string{Cluster}, Secrets: []string{"secret"}}
	seen := map[string]bool{}
	for _, permission := range rotation.Permissions(config, []string{"secret"}, rotation.Found{}) {
		action := permission.Action
		if seen[action] {
			continue
		}
		seen[action] = true
		t.Run(strings.ReplaceAll(action, ":", " "), func(t *testing.T) {
			t.Parallel()
			i, err := install(t.Context(), without(action))
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			report, err := doctoraws.New(i.AWS()).Check(t.Context(), i.SecretARN)
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range report.Findings {
				if finding.Level != doctor.OK && (finding.Check != "role" || finding.Level != doctor.Problem ||
					!strings.Contains(finding.Text, "may not "+action+" on ")) {
					t.Errorf("found is %+v", finding)
				}
			}
			if !report.Found(doctor.Problem, "role") {
				t.Error("it is not found")
			}
		})
	}
	if len(seen) < 8 {
		t.Errorf("only %d actions", len(seen))
	}
}

// TestJudge makes sure that a diagnosis that is not as expected is reported.
func TestJudge(t *testing.T) {
	report := doctor.Report{Findings: []doctor.Finding{
		{Level: doctor.OK, Check: "secret"}, {Level: doctor.Warning, Check: "healing"}, {Level: doctor.Problem, Check: "role"},
		{Level: doctor.Problem, Check: "role"},
	}}
	for name, test := range map[string]struct {
		setup   Setup
		blocked *rotate.Error
		wrong   []string
	}{
		"all": {Setup{Wants: append(problem("role"), append(problem("role"), warning("healing")...)...), Plan: doctor.OK}, nil, nil},
		"one": {Setup{Wants: append(problem("role"), warning("healing")...), Plan: doctor.OK}, nil,
			[]string{"doctor found the problem role, which is not there"}},
		"another": {Setup{Wants: append(problem("role"), append(problem("role"), problem("healing")...)...), Plan: doctor.OK}, nil,
			[]string{"doctor did not find the problem healing", "doctor found the warning healing, which is not there"}},
		"plan": {Setup{Wants: append(problem("role"), append(problem("role"), warning("healing")...)...), Plan: doctor.Problem}, nil,
			[]string{"plan found nothing in the way"}},
		"no plan": {Setup{Wants: append(problem("role"), append(problem("role"), warning("healing")...)...), Plan: doctor.OK},
			rotate.Errorf(rotate.NotReady, "later"), []string{"plan found something in the way: not ready: later"}},
	} {
		t.Run(name, func(t *testing.T) {
			diagnosis := Diagnosis{Setup: test.setup, Report: report}
			diagnosis.Plan.Error = test.blocked
			diagnosis.judge()
			if !slices.Equal(diagnosis.Wrong, test.wrong) {
				t.Errorf("wrong are %q, want %q", diagnosis.Wrong, test.wrong)
			}
		})
	}
}

// TestChangesAndLeaks makes sure that both are seen where there are any.
func TestChangesAndLeaks(t *testing.T) {
	t.Parallel()
	i, err := Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if before := i.Changes(); len(before) > 0 {
		t.Fatalf("there are changes already: %v", before)
	}
	if _, err := i.client.CancelRotateSecret(t.Context(), &awssecrets.CancelRotateSecretInput{SecretId: &i.SecretARN}); err != nil {
		t.Fatal(err)
	}
	if err := i.Maia.Client.Command(t.Context(), sandbox.AgentID, "PAUSE"); err != nil {
		t.Fatal(err)
	}
	if got := i.Changes(); !slices.Equal(got, []string{"secretsmanager CancelRotateSecret", "Maia Pause"}) {
		t.Errorf("the changes are %v", got)
	}
	if leaks := i.Leaks(bytes.NewBufferString("nothing")); len(leaks) > 0 {
		t.Errorf("the leaks are %v", leaks)
	}
	for what, secret := range map[string]string{"the document": i.Document, "the runner's": i.Maia.LiveSecret(sandbox.AgentID)} {
		if leaks := i.Leaks(bytes.NewBufferString("it is " + secret)); len(leaks) != 1 {
			t.Errorf("%s: the leaks are %v", what, leaks)
		}
	}
}
