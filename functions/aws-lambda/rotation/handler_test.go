package rotation

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const someToken = "11111111-2222-3333-4444-555555555555"

func TestHandleRefusesBadEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		event := func(step, secret, token string) string {
			return fmt.Sprintf(`{"Step":%q,"SecretId":%q,"ClientRequestToken":%q}`, step, secret, token)
		}
		tests := map[string]struct{ payload, says string }{
			"empty":                {``, "the event is empty"},
			"blank":                {"  \n", "the event is empty"},
			"not JSON":             {`createSecret`, "the event is not JSON"},
			"an array":             {`[]`, "wrong type"},
			"a number as step":     {`{"Step":1}`, "wrong type"},
			"no step":              {`{}`, "the event has no Step"},
			"an unknown step":      {event("deleteSecret", w.arn, someToken), `unknown Step \"deleteSecret\"`},
			"a step in snake case": {event("create_secret", w.arn, someToken), `unknown Step \"create_secret\"`},
			"a very long step":     {event(strings.Repeat("x", 5000), w.arn, someToken), "…"},
			"no token":             {event(stepCreate, w.arn, ""), "ClientRequestToken of 0 characters, expected 32 to 64"},
			"a name for an ARN":    {event(stepCreate, "matillion-oauth-credentials", someToken), "SecretId is"},
			"an ARN of a function": {event(stepCreate, functionARN, someToken), "expected the ARN of a Secrets Manager secret"},
			"a token of nobody's":  {event(stepCreate, w.arn, someToken), "is not a version of secret"},
			"a secret of nobody's": {event(stepCreate, w.arn[:len(w.arn)-6]+"abcdef", someToken), "ResourceNotFoundException"},
			"a test of nobody's":   {event(stepTest, w.arn, someToken), "is not a version of secret"},
			"rotation not enabled": {event(stepCreate, w.arn, w.token("AWSCURRENT")), "rotation is not enabled"},
			"finish, not enabled":  {event(stepFinish, w.arn, w.token("AWSCURRENT")), "rotation is not enabled"},
		}
		for name, test := range tests {
			_, err := w.handler().Invoke(t.Context(), []byte(test.payload))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: error %v, want one that says %s", name, err, test.says)
			}
			if got := errorType(err); got != "ConfigurationError" {
				t.Errorf("%s: error type %q", name, got)
			}
		}
		if len(w.maia.Calls()) > 0 || w.current() != document {
			t.Errorf("Maia was called, or the secret changed")
		}
	})
}

// token is the version with a staging label.
func (w *world) token(stage string) string {
	for _, version := range w.secrets.Versions(w.arn) {
		for _, has := range version.Stages {
			if has == stage {
				return version.ID
			}
		}
	}
	return ""
}

func TestHandleRefusesBadEnvironment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.environ = append(w.environ, "MAIA_ECS_CLUSTER=x")
		_, err := w.handler().Invoke(t.Context(), []byte(`{}`))
		if errorType(err) != "ConfigurationError" || !strings.Contains(err.Error(), "did you mean MAIA_ECS_CLUSTERS?") {
			t.Errorf("error %v", err)
		}
	})
}

func TestBadSecretsAreRefusedBeforeAnythingHappens(t *testing.T) {
	long := strings.Replace(document, "kept", strings.Repeat("k", 65536-len(document)+len("kept")), 1)
	tests := map[string]struct{ value, says string }{
		"plain text":       {"hunter2hunter2", "is not JSON"},
		"blank":            {" ", "is empty"},
		"an array":         {"[]", "is JSON but not an object"},
		"a string":         {`"text"`, "is JSON but not an object"},
		"no client_secret": {`{"client_id":"a"}`, "has no key client_secret"},
		"no client_id":     {`{"client_secret":"hunter2hunter2"}`, "has no key client_id"},
		"a number":         {`{"client_id":"a","client_secret":1234567890}`, "has a client_secret that is not a string"},
		"null":             {`{"client_id":"a","client_secret":null}`, "has a client_secret that is not a string"},
		"an empty one":     {`{"client_id":"a","client_secret":""}`, "has an empty client_secret"},
		"twice": {`{"client_id":"a","client_secret":"hunter2hunter2","client_secret":"b"}`,
			"has the key client_secret more than once"},
		"64 KiB": {long, "might not fit"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.secrets.Put(w.arn, test.value)
				if got := w.rotate(); got != smemulator.RotationFailed {
					t.Errorf("%s", got)
				}
				text := strings.Join(w.errors, "\n")
				if !strings.Contains(text, test.says) || strings.Contains(text, "hunter2hunter2") {
					t.Errorf("errors %s, want one that says %s", text, test.says)
				}
				if w.maia.Refreshes(agentID) != 0 || w.current() != test.value {
					t.Errorf("something was changed")
				}
			})
		})
	}
	t.Run("binary", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.useSecret(w.secrets.AddBinarySecret("binary", []byte("hunter2hunter2")))
			if w.rotate(); !strings.Contains(strings.Join(w.errors, ""), "is binary") || w.maia.Refreshes(agentID) != 0 {
				t.Errorf("errors %v, %d refreshes", w.errors, w.maia.Refreshes(agentID))
			}
		})
	})
	t.Run("none yet", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.useSecret(w.secrets.AddEmptySecret("empty"))
			_, err := w.handler().Invoke(t.Context(), []byte(fmt.Sprintf(`{"Step":"createSecret","SecretId":%q,"ClientRequestToken":%q}`, w.arn,
				someToken)))
			if errorType(err) != "ConfigurationError" || !strings.Contains(err.Error(), "has no value yet") {
				t.Errorf("error %v", err)
			}
		})
	})
}

// useSecret has the runner read another secret.
func (w *world) useSecret(arn string) {
	w.arn = arn
	w.ecs.RegisterTaskDefinition("other", runnerContainer(arn))
	w.createService("other")
	w.environ[2], w.environ[3] = "MAIA_ECS_SERVICES=matillion/other", "MAIA_AGENT_IDS="+agentID
}

func TestBadRepliesOfMaia(t *testing.T) {
	tests := map[string]struct {
		fault     maiatest.Fault
		errorType string
		says      string
	}{
		"truncated": {maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.Truncated}, "NotReadyError",
			"maia: get credentials"},
		"HTML": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.HTML}, "VendorError", "invalid reply"},
		"wrong types": {maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.CustomBody,
			Body: []byte(`{"clientId":1,"clientSecret":["x"]}`)}, "VendorError", "invalid reply"},
		"10 MB": {maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.CustomBody,
			Body: []byte(`{"clientId":"` + strings.Repeat("x", 10<<20) + `"}`)}, "VendorError", "larger than"},
		"a redirect": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Redirect, Location: "https://elsewhere.example/"},
			"VendorError", "redirect"},
		"401": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: 401}, "PermissionError",
			"credential not accepted"},
		"403": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: 403}, "PermissionError",
			"needs the role Admin"},
		"404": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.Status5xx, Status: 404}, "ConfigurationError", agentID},
		"429 for ever": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.RateLimited, RetryAfter: "30"}, "NotReadyError",
			"rate limited"},
		"another agent": {maiatest.Fault{Call: maiatest.GetAgent, Kind: maiatest.WrongAgent}, "VendorError", "invalid reply"},
		"masked":        {maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.Masked}, "VendorError", "masked"},
		"no bodies":     {maiatest.Fault{Call: maiatest.GetCredentials, Kind: maiatest.Empty}, "VendorError", "invalid reply"},
		"token refused": {maiatest.Fault{Call: maiatest.Token, Kind: maiatest.Status5xx, Status: 401}, "PermissionError",
			"credential not accepted"},
		"a command is refused": {maiatest.Fault{Call: maiatest.Pause, Kind: maiatest.Status5xx, Status: 400}, "VendorError", "pause"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.maia.Inject(test.fault)
				if got := w.rotate(); got != smemulator.RotationFailed {
					t.Errorf("%s", got)
				}
				text := strings.Join(w.errors, "\n")
				if !strings.Contains(text, test.says) || !strings.Contains(text, test.errorType) {
					t.Errorf("errors %s\nwant %s that says %s", text, test.errorType, test.says)
				}
				if w.maia.Refreshes(agentID) != 0 || w.current() != document || w.deployments() != 0 {
					t.Errorf("something was changed")
				}
				w.mustNotLeak()
			})
		})
	}
}

func TestErrorsOfAWSHaveTheirKind(t *testing.T) {
	for kind, want := range map[awsjson.Kind]string{awsjson.AccessDenied: "PermissionError", awsjson.Throttle: "NotReadyError",
		awsjson.Status5xx: "InternalError"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.secrets.Inject(awsjson.Fault{Operation: "GetSecretValue", Kind: kind})
			w.rotate()
			if text := strings.Join(w.errors, "\n"); !strings.Contains(text, want) || !strings.Contains(text, "GetSecretValue "+w.arn) {
				t.Errorf("%s: errors %s, want %s", kind, text, want)
			}
		})
	}
}

func TestCredentialsFromASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.secrets.AddSecret("maia-api", `{"client_id":"api","client_secret":"the-secret-of-the-api-credential"}`)
		w.environ[0], w.environ[1] = "MAIA_CREDENTIALS_SECRET_ARN="+arn, ""
		if got := w.rotate(); got != smemulator.RotationSucceeded {
			t.Fatalf("%s: %v", got, w.errors)
		}
		w.mustBeBack(1)
	})
}

func TestPromise7PanicOfTheHandlerShowsOnlyItsType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		handler := w.handler()
		handler.metrics.out = nil // dereferenced when the step is measured
		w.secrets.EnableRotation(w.arn, functionARN)
		token := w.register()
		_, err := handler.Invoke(t.Context(), []byte(fmt.Sprintf(`{"Step":"createSecret","SecretId":%q,"ClientRequestToken":%q}`, w.arn, token)))
		if errorType(err) != "InternalError" || !strings.Contains(err.Error(), "panic of type runtime.errorString") {
			t.Errorf("error %v", err)
		}
	})
}

func (w *world) register() string {
	w.hook = func(string) error { return fmt.Errorf("not now") }
	token := w.secrets.Rotate(w.arn)
	_, _ = w.secrets.WaitRotation(w.t.Context(), w.arn)
	return token
}

func TestMarginIsKeptForTheLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.timeout = 4 * time.Minute
		w.maia.SetRunningTasks(agentID, 0)
		w.ecs.HangNextDeployment("matillion", "runner")
		w.rotate()
		text := strings.Join(w.errors, "\n")
		if strings.Contains(text, "deadline exceeded") ||
			!strings.Contains(text, "the instances are still starting when the time of this run was up") ||
			!strings.Contains(text, "restarted, not connected") {
			t.Errorf("errors %s", text)
		}
	})
}
