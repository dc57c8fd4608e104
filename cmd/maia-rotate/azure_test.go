package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/doctor/azure/azuretest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/identity"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// azureInstalled starts an installation and the environment of its operator, who is logged in to the Azure CLI. It returns the
// installation, and what the CLI was asked for.
func azureInstalled(t *testing.T) (*azuretest.Installation, func() string) {
	t.Helper()
	i := azuretest.New(t)
	folder := t.TempDir()
	log := filepath.Join(folder, "log")
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >> %s
case "$*" in
*--resource*management.core.windows.net*) token=%s ;;
*--resource*storage.azure.com*) token=%s ;;
*--resource*vault.azure.net*) token=%s ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
echo "{\"accessToken\": \"$token\", \"expires_on\": 4102444800, \"tokenType\": \"Bearer\"}"
`, log, azuretest.ManagerToken, azuretest.BlobToken, azuretest.VaultToken)
	if err := os.WriteFile(filepath.Join(folder, "az"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"PATH": folder + string(os.PathListSeparator) + os.Getenv("PATH"), "IDENTITY_ENDPOINT": "", "AZURE_CLIENT_ID": "",
		"AZURE_RESOURCE_MANAGER_URL": i.ManagerURL,
	} {
		t.Setenv(name, value)
	}
	return i, func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

// inspectAzure runs a command on an installation, and checks what holds for all of them: nothing is changed, no secret printed.
func inspectAzure(t *testing.T, i *azuretest.Installation, command string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	code, stdout, stderr = runFor(t, append([]string{command, "azure", "--function-app", azuretest.FunctionApp}, flags...)...)
	for _, leak := range i.Leaks(stdout + stderr) {
		t.Errorf("%s is printed", leak)
	}
	for _, changed := range i.Changed() {
		t.Errorf("%s asked for %s", command, changed)
	}
	if len(flags) == 0 {
		checkNarrow(t, stdout)
	}
	return code, stdout, stderr
}

// TestDoctorAzureGolden compares what people read of an installation that is in order, and of one that is not.
func TestDoctorAzureGolden(t *testing.T) {
	broken := func(i *azuretest.Installation) {
		i.Site.Settings["AzureWebJobs.RotateRunnerSecrets.Disabled"] = "true"
		i.Site.Settings["ROTATION_SCHEDULE"] = "0 0 3 * * *"
		i.Site.Settings["MAIA_AGENT_IDS"] = "00000000-0000-4000-8000-000000000000"
		i.Manager.Assignments = i.Manager.Assignments[2:]
	}
	for name, test := range map[string]struct {
		change func(i *azuretest.Installation)
		code   int
	}{
		"doctor-azure": {func(*azuretest.Installation) {}, exitOK}, "doctor-azure-problem": {broken, exitFailed},
		"plan-azure": {func(*azuretest.Installation) {}, exitOK}, "plan-azure-problem": {broken, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			i, asked := azureInstalled(t)
			test.change(i)
			command, _, _ := strings.Cut(name, "-")
			code, got, stderr := inspectAzure(t, i, command)
			if code != test.code || stderr != "" {
				t.Errorf("exit code %d, want %d: %s", code, test.code, stderr)
			}
			if log := asked(); !strings.Contains(log, "--subscription 00000000-0000-0000-0000-000000000001") {
				t.Errorf("the CLI was asked for %s", log)
			}
			path := filepath.Join("testdata", name+".golden")
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

func TestAzureJSON(t *testing.T) {
	i, _ := azureInstalled(t)
	i.Site.Properties["state"] = "Stopped"
	code, stdout, stderr := inspectAzure(t, i, "doctor", "--json")
	var report struct {
		OK                 *bool
		Function           string
		Problems, Warnings int
		Findings           []struct{ Level, Check, Text, Hint string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != exitFailed || stderr != "" || report.OK == nil || *report.OK ||
		report.Problems != 1 ||
		report.Warnings != 0 || report.Function != azuretest.FunctionApp || report.Findings[0].Level != "problem" ||
		report.Findings[0].Check != "function-app" || report.Findings[0].Hint == "" {
		t.Errorf("exit code %d, %v:\n%s\n%s", code, err, stdout, stderr)
	}
	code, stdout, stderr = inspectAzure(t, i, "plan", "--json")
	var plan struct {
		OK       bool
		Function string
		Targets  []struct {
			Target   string
			Rotation struct{ Steps []any }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil || code != exitOK || stderr != "" || !plan.OK ||
		plan.Function != azuretest.FunctionApp || len(plan.Targets) != 1 ||
		plan.Targets[0].Target != azuretest.App || len(plan.Targets[0].Rotation.Steps) < 5 {
		t.Errorf("exit code %d, %v:\n%s\n%s", code, err, stdout, stderr)
	}
}

// TestAzureByManagedIdentity runs where Azure gives an identity.
func TestAzureByManagedIdentity(t *testing.T) {
	i, _ := azureInstalled(t)
	endpoint := identity.New(identity.Options{Header: "header", Tokens: map[string]string{
		"https://management.core.windows.net": azuretest.ManagerToken, "https://storage.azure.com": azuretest.BlobToken,
		"https://vault.azure.net": azuretest.VaultToken,
	}})
	server := httptest.NewServer(endpoint)
	defer server.Close()
	t.Setenv("IDENTITY_ENDPOINT", server.URL+identity.Path)
	t.Setenv("IDENTITY_HEADER", "header")
	t.Setenv("PATH", t.TempDir())
	for _, command := range []string{"doctor", "plan"} {
		if code, stdout, stderr := inspectAzure(t, i, command); code != exitOK {
			t.Errorf("%s: exit code %d:\n%s\n%s", command, code, stdout, stderr)
		}
	}
	t.Setenv("AZURE_CLIENT_ID", "00000000-0000-0000-0000-0000000000ff")
	if code, _, stderr := inspectAzure(t, i, "doctor"); code != exitNotRun {
		t.Errorf("with another's client ID: exit code %d: %s", code, stderr)
	}
}

func TestAzureNotCarriedOut(t *testing.T) {
	for title, test := range map[string]struct {
		change func(t *testing.T, i *azuretest.Installation)
		words  string
	}{
		"nobody is logged in": {func(t *testing.T, _ *azuretest.Installation) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "az"),
				[]byte("#!/bin/sh\necho \"ERROR: Please run 'az login' to setup account.\" >&2\nexit 1\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", folder)
		}, "az login"},
		"no CLI": {func(t *testing.T, _ *azuretest.Installation) { t.Setenv("PATH", t.TempDir()) },
			"the Azure CLI is to give them, after az login"},
		"no rights": {func(_ *testing.T, i *azuretest.Installation) { i.Manager.Inject(wire.Fault{Kind: wire.AccessDenied}) },
			"your credentials do not allow Microsoft.Web/sites/"},
		"another cloud that is none": {func(t *testing.T, _ *azuretest.Installation) {
			t.Setenv("AZURE_RESOURCE_MANAGER_URL", "http://management.example")
		}, "AZURE_RESOURCE_MANAGER_URL is plain http"},
	} {
		t.Run(title, func(t *testing.T) {
			i, _ := azureInstalled(t)
			test.change(t, i)
			for _, command := range []string{"doctor", "plan"} {
				code, stdout, stderr := inspectAzure(t, i, command)
				if code != exitNotRun || stdout != "" || !strings.Contains(stderr, test.words) ||
					!regexp.MustCompile(`^maia-rotate (doctor|plan) azure: `).MatchString(stderr) {
					t.Errorf("%s: exit code %d:\n%s\n%s", command, code, stdout, stderr)
				}
			}
		})
	}
}

func TestCommandLineAzure(t *testing.T) {
	for _, command := range []string{"doctor", "plan"} {
		for _, test := range []struct {
			args  []string
			words string
		}{
			{nil, "--function-app is not set"},
			{[]string{"--function-app", "maia-rotate"}, "expected /subscriptions/SUBSCRIPTION"},
			{[]string{"--function-app", azuretest.App}, "expected /subscriptions/SUBSCRIPTION"},
			{[]string{"--function-app", azuretest.FunctionApp + "/../other"}, "expected /subscriptions/SUBSCRIPTION"},
			{[]string{"--function-app", azuretest.FunctionApp, "more"}, `unexpected argument "more"`},
		} {
			code, _, stderr := runFor(t, append([]string{command, "azure"}, test.args...)...)
			if code != exitUsage || !strings.Contains(stderr, test.words) {
				t.Errorf("%s %v: exit code %d, %q", command, test.args, code, stderr)
			}
		}
	}
}
