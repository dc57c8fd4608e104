package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

// operator gives the environment an operator's AWS configuration, which is that of the installation only.
func operator(t *testing.T, endpoints map[string]string) {
	t.Helper()
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "operator", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_REGION":      "us-west-2",
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
	} {
		t.Setenv(name, value)
	}
	for name, url := range endpoints {
		t.Setenv(name, url)
	}
}

// installed starts a setup and the environment of its operator.
func installed(t *testing.T, setup sandboxaws.Setup) *sandboxaws.Installation {
	t.Helper()
	installation, err := setup.Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(installation.Close)
	operator(t, installation.Endpoints())
	return installation
}

// inspect runs a command on an installation, and checks what holds for all of them: nothing is changed, no secret printed.
func inspect(t *testing.T, installation *sandboxaws.Installation, command string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	before := len(installation.Changes())
	code, stdout, stderr = runFor(t, append([]string{command, "aws", "--secret", installation.SecretARN}, flags...)...)
	for _, change := range installation.Changes()[before:] {
		t.Errorf("%s called %s", command, change)
	}
	for _, leak := range installation.Leaks(bytes.NewBufferString(stdout), bytes.NewBufferString(stderr)) {
		t.Error(leak)
	}
	if len(flags) == 0 {
		checkNarrow(t, stdout)
	}
	return code, stdout, stderr
}

// checkNarrow is checkPlain for texts with words that are too long to be broken, such as ARNs: each has a line of its own.
func checkNarrow(t *testing.T, text string) {
	t.Helper()
	var rest strings.Builder
	for line := range strings.Lines(text) {
		if words := strings.Fields(strings.TrimSuffix(line, " \\\n")); len(words) > 2 || len(words) == 2 && !strings.HasPrefix(words[0], "--") {
			rest.WriteString(line)
		}
	}
	checkPlain(t, rest.String())
}

// TestDoctorAndPlan runs both commands on every setup.
func TestDoctorAndPlan(t *testing.T) {
	for _, setup := range sandboxaws.Setups() {
		t.Run(setup.Name, func(t *testing.T) {
			installation := installed(t, setup)
			want := exitOK
			for _, finding := range setup.Wants {
				if finding.Level == doctor.Problem {
					want = exitFailed
				}
			}
			code, stdout, stderr := inspect(t, installation, "doctor")
			if code != want || stderr != "" {
				t.Errorf("doctor: exit code %d, want %d:\n%s\n%s", code, want, stdout, stderr)
			}
			for _, finding := range setup.Wants {
				if line := regexp.MustCompile(`(?m)^  ` + string(finding.Level) + ` +` + finding.Check + `$`); !line.MatchString(stdout) {
					t.Errorf("doctor does not show the %s %s:\n%s", finding.Level, finding.Check, stdout)
				}
			}
			if want = exitOK; setup.Plan == doctor.Problem {
				want = exitFailed
			}
			code, stdout, stderr = inspect(t, installation, "plan")
			if code != want || stderr != "" || strings.Contains(stdout, "Nothing is in the way.") != (want == exitOK) {
				t.Errorf("plan: exit code %d, want %d:\n%s\n%s", code, want, stdout, stderr)
			}
		})
	}
}

func healthy() sandboxaws.Setup { return sandboxaws.Setups()[0] }

func setupNamed(t *testing.T, name string) sandboxaws.Setup {
	t.Helper()
	for _, setup := range sandboxaws.Setups() {
		if setup.Name == name {
			return setup
		}
	}
	t.Fatalf("there is no setup %s", name)
	return sandboxaws.Setup{}
}

// TestDoctorGolden compares what people read of a healthy installation, and of one with a problem.
func TestDoctorGolden(t *testing.T) {
	for command, setup := range map[string]string{"doctor": "healthy", "doctor-problem": "function-policy-missing", "plan": "healthy",
		"plan-problem": "service-scaled-to-zero"} {
		t.Run(command, func(t *testing.T) {
			installation := installed(t, setupNamed(t, setup))
			name, _, _ := strings.Cut(command, "-")
			_, got, _ := inspect(t, installation, name)
			got = regexp.MustCompile(`matillion-oauth-credentials-[A-Z0-9]{6}`).ReplaceAllString(got, "matillion-oauth-credentials-ABCDEF")
			got = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`).ReplaceAllString(got, "YYYY-MM-DD hh:mm UTC")
			path := filepath.Join("testdata", command+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestDoctorJSON(t *testing.T) {
	installation := installed(t, setupNamed(t, "agent-not-allowed"))
	code, stdout, stderr := inspect(t, installation, "doctor", "--json")
	var report struct {
		Secret             string
		OK                 *bool
		Problems, Warnings *int
		Findings           []doctor.Finding
		NotChecked         []doctor.Skipped `json:"not_checked"`
	}
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&report); err != nil || decoder.More() {
		t.Fatalf("not one document of this shape (%v): %s", err, stdout)
	}
	if code != exitFailed || stderr != "" || *report.OK || *report.Problems != 1 || *report.Warnings != 0 ||
		report.Secret != installation.SecretARN {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if len(report.Findings) < 10 || len(report.NotChecked) == 0 {
		t.Errorf("%d findings, %d not checked", len(report.Findings), len(report.NotChecked))
	}
	for _, finding := range report.Findings {
		if finding.Level == "" || finding.Check == "" || finding.Text == "" || finding.Level == doctor.Problem && finding.Hint == "" {
			t.Errorf("not complete: %+v", finding)
		}
	}
}

func TestPlanJSON(t *testing.T) {
	for setup, code := range map[string]int{"healthy": exitOK, "service-scaled-to-zero": exitFailed} {
		t.Run(setup, func(t *testing.T) {
			installation := installed(t, setupNamed(t, setup))
			got, stdout, stderr := inspect(t, installation, "plan", "--json")
			lines := jsonLines(t, stdout)
			if got != code || stderr != "" || len(lines) != 1 {
				t.Fatalf("exit code %d, want %d: %s%s", got, code, stdout, stderr)
			}
			plan := lines[0]
			report, _ := plan["report"].(map[string]any)
			if steps, _ := report["steps"].([]any); len(steps) == 0 || report["outcome"] != "planned" {
				t.Errorf("the report is %v", report)
			}
			if _, blocked := plan["error"]; plan["ok"] != (code == exitOK) || blocked == (code == exitOK) ||
				plan["secret"] != installation.SecretARN {
				t.Errorf("the plan is %v", plan)
			}
		})
	}
}

// TestNotCarriedOut has the commands fail in ways that say nothing of the installation.
func TestNotCarriedOut(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*testing.T, *sandboxaws.Installation)
		args    []string
		says    string
	}{
		"no credentials": {
			func(t *testing.T, _ *sandboxaws.Installation) { t.Setenv("AWS_ACCESS_KEY_ID", "") }, nil, "credentials",
		},
		"no network": {
			func(t *testing.T, _ *sandboxaws.Installation) {
				t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")
			}, nil, "secretsmanager:DescribeSecret",
		},
		"no network to Lambda": {
			func(t *testing.T, _ *sandboxaws.Installation) {
				t.Setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
			}, nil,
			"lambda:GetFunctionConfiguration",
		},
		"no right to the secret": {
			func(_ *testing.T, i *sandboxaws.Installation) {
				i.Secrets.Inject(awsjson.Fault{Operation: "DescribeSecret", Kind: awsjson.AccessDenied})
			}, nil, "your credentials do not allow secretsmanager:DescribeSecret",
		},
		"no right to the function": {
			func(_ *testing.T, i *sandboxaws.Installation) { i.Lambda.Deny("GetFunctionConfiguration") }, nil,
			"your credentials do not allow lambda:GetFunctionConfiguration",
		},
		"no such profile": {func(*testing.T, *sandboxaws.Installation) {}, []string{"--profile", "nobody"}, "nobody"},
	} {
		for _, command := range []string{"doctor", "plan"} {
			t.Run(command+" "+name, func(t *testing.T) {
				installation := installed(t, healthy())
				test.prepare(t, installation)
				code, stdout, stderr := inspect(t, installation, command, append(test.args, "--json")...)
				if code != exitNotRun || stdout != "" || !strings.Contains(stderr, test.says) {
					t.Errorf("exit code %d, want %d:\n%s\n%s", code, exitNotRun, stdout, stderr)
				}
			})
		}
	}
}

// TestDoctorShowsWhatItCould stops in the middle: people see what was found until then.
func TestDoctorShowsWhatItCould(t *testing.T) {
	installation := installed(t, healthy())
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
	code, stdout, stderr := inspect(t, installation, "doctor")
	if code != exitNotRun || !strings.Contains(stdout, "ok       rotation") || strings.Contains(stdout, "No problem") ||
		!strings.Contains(stderr, "not all could be checked") {
		t.Errorf("exit code %d:\n%s\n%s", code, stdout, stderr)
	}
}

// TestRegion gives the region of the ARN and another one: the emulators refuse what is signed for another.
func TestRegion(t *testing.T) {
	installation := installed(t, healthy())
	if code, stdout, stderr := inspect(t, installation, "plan", "--region", "eu-west-1", "--json"); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, stderr := inspect(t, installation, "plan", "--region", "us-east-1", "--json"); code != exitNotRun {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestDoctorUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"doctor", exitOK, "aws"},
		{"plan", exitOK, "aws"},
		{"doctor aws --help", exitOK, "Exit codes"},
		{"plan aws --help", exitOK, "Exit codes"},
		{"doctor azur", exitUsage, `unknown command "azur"`},
		{"doctor aws", exitUsage, "--secret is not set"},
		{"plan aws", exitUsage, "--secret is not set"},
		{"plan aws extra", exitUsage, `unexpected argument "extra"`},
		{"doctor aws --secret runner", exitUsage, `--secret is "runner", expected the ARN`},
		{"doctor aws --secret arn:aws:s3:::bucket", exitUsage, "expected the ARN of a secret"},
		{"plan aws --secret arn:aws:secretsmanager:eu-west-1:123456789012:key:a", exitUsage, "expected the ARN of a secret"},
		{"sandbox --doctor --fault put-fails", exitUsage, "--doctor and --fault are both set"},
	} {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := runFor(t, strings.Fields(test.args)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("exit code %d, want %d:\n%s\n%s", code, test.code, stdout, stderr)
			}
			checkNarrow(t, stdout)
		})
	}
}
