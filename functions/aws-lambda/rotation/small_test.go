package rotation

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// throttledClient is the function's own client, and a Secrets Manager that throttles every call.
func throttledClient(t *testing.T) (*secretsmanager.Client, *smemulator.Server) {
	server := smemulator.New(smemulator.Options{})
	t.Cleanup(server.Close)
	server.Inject(wire.Fault{Kind: wire.Throttle})
	setAWS(t, map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_RETRY_MODE": "adaptive", "AWS_ENDPOINT_URL": "http://127.0.0.1",
	})
	config, err := LoadAWS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config.HTTPClient = &http.Client{Transport: wire.Transport(server)}
	return secretsmanager.NewFromConfig(config), server
}

// With the SDK's quota no call would be tried again after a hundred tries, and in the mode "adaptive" never again.
func TestRetriesHaveNoQuota(t *testing.T) {
	client, server := throttledClient(t)
	synctest.Test(t, func(t *testing.T) {
		const calls = 60
		for range calls {
			if _, err := client.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("x")}); err == nil {
				t.Fatal("no error")
			}
		}
		if got := len(server.Calls()); got != calls*maxAttempts {
			t.Errorf("%d tries of %d calls, want %d each", got, calls, maxAttempts)
		}
	})
}

func TestAnErrorAfterTheLastTryNamesWhatAWSAnswered(t *testing.T) {
	client, _ := throttledClient(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for {
			_, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String("x")})
			if ctx.Err() == nil {
				continue // the waits between the tries were none
			}
			failed := ecs.Failure("DescribeSecret", "x", err)
			if !strings.Contains(failed.Error(), "ThrottlingException") || rotate.KindOf(failed) != rotate.NotReady {
				t.Errorf("the error is %v", failed)
			}
			return
		}
	})
}

func TestTheAPICredentialIsReadFromAWSCURRENT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		arn := w.secrets.AddSecret("maia-api", `{"client_id":"api","client_secret":"the-secret-of-the-api-credential"}`)
		w.environ = slices.DeleteFunc(w.environ, func(v string) bool { return strings.HasPrefix(v, "MAIA_CLIENT_") })
		w.environ = append(w.environ, "MAIA_CREDENTIALS_SECRET_ARN="+arn)
		asked := false
		w.secrets.Inject(wire.Fault{Operation: "GetSecretValue", Match: func(raw []byte) bool {
			if strings.Contains(string(raw), arn) {
				asked = true
				if !strings.Contains(string(raw), `"VersionStage":"AWSCURRENT"`) {
					t.Errorf("the request is %s", raw)
				}
			}
			return false
		}})
		if err := w.healOnce(); err != nil || !asked {
			t.Errorf("asked %t, error %v", asked, err)
		}
	})
}

// serve configures the function with these services in place of the cluster.
func (w *world) serve(services string) {
	w.environ = slices.DeleteFunc(w.environ, func(v string) bool { return strings.HasPrefix(v, "MAIA_ECS_CLUSTERS") })
	w.environ = append(w.environ, "MAIA_ECS_SERVICES="+services)
}

// The vendor's examples have a region of AWS where Maia's belongs.
func TestARegionThatIsNotMaiasIsReportedWithWhereItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		container := runnerContainer(w.arn)
		container.Environment["MATILLION_REGION"] = "eu-west-1"
		w.ecs.RegisterTaskDefinition("elsewhere", container)
		w.createService("elsewhere")
		w.serve("matillion/elsewhere")
		err := w.healOnce()
		for _, says := range []string{
			`MATILLION_REGION in the runner's task definition is "eu-west-1", which is no region of Maia's (eu1, us1, au1)`, "MAIA_API_URL",
		} {
			if errorType(err) != "ConfigurationError" || !strings.Contains(errorText(err), says) {
				t.Errorf("error %v, want one that says %s", err, says)
			}
		}
	})
}

// The store of a runner without a note lacks what Maia holds. It is not repaired while the agent of another secret is unknown, which could
// be this one.
func TestNothingIsAdoptedWhileTheAgentOfAnotherSecretIsUnknown(t *testing.T) {
	for name, duplicate := range map[string]bool{"all are known": false, "one cannot be opened": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				secrets := w.arn
				if duplicate {
					secrets += "," + w.secrets.AddSecret("duplicate", document)
				}
				w.environ = append(w.environ, "MAIA_SECRET_ARNS="+secrets)
				if _, err := w.maia.Client(t).RefreshCredentials(t.Context(), agentID); err != nil { // as in the console
					t.Fatal(err)
				}
				_, err := w.heal()
				adopted := strings.Contains(w.current(), w.maia.LiveSecret(agentID))
				if adopted == duplicate || (err != nil) != duplicate {
					t.Errorf("adopted %t, error %v", adopted, err)
				}
			})
		})
	}
}

func TestARunnerLeftPausedIsMeasured(t *testing.T) {
	for want, paused := range map[string]bool{`"LeftPaused":1`: true, `"LeftPaused":0`: false} {
		var out strings.Builder
		metrics{out: &out, function: "maia-rotate"}.run("heal", rotate.Report{AgentID: agentID, State: rotate.StillPaused, LeftPaused: paused})
		if !strings.Contains(out.String(), want) || !strings.Contains(out.String(), `{"Name":"LeftPaused","Unit":"Count"}`) {
			t.Errorf("measured %s", out.String())
		}
	}
}

// If Secrets Manager has left AWSPENDING on AWSCURRENT, that keeps neither the next rotation nor healing from working.
func TestAWSPENDINGLeftOnAWSCURRENTIsAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if err := w.secrets.Play("pending-stays"); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			if end := w.rotate(); end != smemulator.RotationSucceeded {
				t.Errorf("rotation %d: %s", n, end)
			}
			time.Sleep(time.Hour)
			if err := w.healOnce(); err != nil {
				t.Error(err)
			}
		}
		w.mustBeBack(3)
	})
}

// A service that is being deleted is named in the log.
func TestAServiceThatIsLeftOutIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "old", TaskDefinition: "runner", Status: "DRAINING"})
		w.serve("matillion/old,matillion/runner")
		if end := w.rotate(); end != smemulator.RotationSucceeded {
			t.Error(end)
		}
		w.mustBeBack(1)
		if !strings.Contains(w.output.String(), "service matillion/old is DRAINING") {
			t.Error("the log does not name the service")
		}
		if agent := w.agent(); agent.Status != maia.StatusRunning {
			t.Error(agent.Status)
		}
	})
}
