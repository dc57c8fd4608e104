package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/emulator/lambda"
	"github.com/maia-rotate/maia-rotate/internal/pack"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
)

// binary is the function, compiled for this machine.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		panic(err)
	}
	if binary, err = sandboxaws.Build(context.Background(), dir); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func invoke(t *testing.T, env []string, payload string) (lambda.Result, []byte) {
	t.Helper()
	function := lambda.New(lambda.Options{Binary: binary, Env: env, FunctionARN: "arn:aws:lambda:eu-west-1:123456789012:function:maia-rotate"})
	result, err := function.Invoke(t.Context(), []byte(payload))
	function.Close()
	if err != nil {
		t.Fatal(err)
	}
	return result, function.Output()
}

const secret = "the-secret-of-the-api-credential"

var good = []string{"MAIA_CLIENT_ID=api", "MAIA_CLIENT_SECRET=" + secret, "MAIA_ECS_SERVICES=matillion/runner"}

func TestTheCompiledFunctionAnswersBadInput(t *testing.T) {
	tests := map[string]struct {
		env           []string
		payload, says string
	}{
		"an empty event":  {good, ``, "the event is empty"},
		"not JSON":        {good, `createSecret`, "the event is not JSON"},
		"an unknown step": {good, `{"Step":"create_secret"}`, "unknown Step"},
		"an ARN of another kind": {good, `{"Step":"createSecret","SecretId":"arn:aws:s3:::bucket"}`,
			"expected the ARN of a Secrets Manager secret"},
		"no environment": {nil, `{}`, "MAIA_CREDENTIALS_SECRET_ARN is not set"},
		"a typing error": {append([]string{"MAIA_ROTATE_DRIAN=none"}, good...), `{}`, "did you mean MAIA_ROTATE_DRAIN?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, output := invoke(t, test.env, test.payload)
			if result.FunctionError == "" || !strings.Contains(string(result.Payload), test.says) ||
				!strings.Contains(string(result.Payload), `"errorType":"ConfigurationError"`) {
				t.Errorf("error %q, payload %s; want a ConfigurationError that says %s", result.FunctionError, result.Payload, test.says)
			}
			if bytes.Contains(output, []byte(secret)) || bytes.Contains(result.Payload, []byte(secret)) {
				t.Errorf("the secret left the function: %s", output)
			}
			if result.Exited || result.TimedOut {
				t.Errorf("the process ended: %+v", result)
			}
		})
	}
}

// The Lambda links the AWS SDK and nothing of another cloud.
func TestTheFunctionLinksOneCloud(t *testing.T) {
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dependency := range strings.Fields(string(out)) {
		for _, foreign := range []string{"azure", "google", "helm", "k8s.io", "emulator", "maiatest", "cobra"} {
			if strings.Contains(strings.ToLower(dependency), foreign) {
				t.Errorf("the function links %s", dependency)
			}
		}
	}
}

// The tests, the sandbox and package pack build the function as sam build does.
func TestTheMakefileBuildsAsPackDoes(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, flags, _ := strings.Cut(string(makefile), "LAMBDA_FLAGS := ")
	flags, _, _ = strings.Cut(flags, "\n")
	if want := strings.Join(pack.BuildFlags, " "); strings.ReplaceAll(flags, `"`, "") != want {
		t.Errorf("the Makefile has the flags %s, package pack %s", flags, want)
	}
}
