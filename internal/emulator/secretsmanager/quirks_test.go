package secretsmanager_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
)

// quirkTests say for each quirk how the wire shows it.
func quirkTests() map[string]func(t *testing.T, server *secretsmanager.Server, c *sm.Client, arn string) {
	return map[string]func(t *testing.T, server *secretsmanager.Server, c *sm.Client, arn string){
		"pending-stays": func(t *testing.T, server *secretsmanager.Server, c *sm.Client, arn string) {
			for range 2 { // it does not keep the next one from beginning
				server.Rotate(arn)
				event, err := server.WaitRotation(t.Context(), arn)
				if err != nil || event.Name != secretsmanager.RotationSucceeded {
					t.Fatalf("%+v, %v", event, err)
				}
				if stages := strings.Join(describe(t, c, arn).VersionIdsToStages[event.Token], " "); stages != "AWSCURRENT AWSPENDING" {
					t.Errorf("the labels of the new version are %s", stages)
				}
			}
		},
		"changed-by-tags": func(t *testing.T, _ *secretsmanager.Server, c *sm.Client, arn string) {
			time.Sleep(time.Hour)
			if changed := aws.ToTime(describe(t, c, arn).LastChangedDate); time.Since(changed) > time.Second {
				t.Errorf("changed at %s, %s ago", changed, time.Since(changed))
			}
		},
		"labels-lag": func(t *testing.T, server *secretsmanager.Server, c *sm.Client, arn string) {
			mustPut(t, c, arn, "two", "value", "ours")
			time.Sleep(2 * time.Second)
			if stages := describe(t, c, arn).VersionIdsToStages; stages[token("two")] != nil {
				t.Errorf("it does not lag: %v", stages)
			}
			time.Sleep(500 * time.Millisecond)
			if stages := describe(t, c, arn).VersionIdsToStages; strings.Join(stages[token("two")], " ") != "ours" {
				t.Errorf("it still lags: %v", stages)
			}
		},
		"replicas-stuck": func(t *testing.T, _ *secretsmanager.Server, c *sm.Client, arn string) {
			if d := describe(t, c, arn); aws.ToString(d.PrimaryRegion) != "eu-west-1" || len(d.ReplicationStatus) != 1 ||
				d.ReplicationStatus[0].Status != "Failed" {
				t.Errorf("described as %+v", d)
			}
		},
		"throttled": func(t *testing.T, _ *secretsmanager.Server, c *sm.Client, arn string) {
			for n := range 20 {
				_, err := c.DescribeSecret(t.Context(), &sm.DescribeSecretInput{SecretId: &arn})
				if n%5 < 2 {
					awstest.WantError(t, err, "ThrottlingException", "")
				} else {
					awstest.WantError(t, err, "", "")
				}
			}
		},
		"slow-answers": func(t *testing.T, _ *secretsmanager.Server, c *sm.Client, arn string) {
			for n := range 14 {
				began := time.Now()
				describe(t, c, arn)
				if took := time.Since(began); (took == 25*time.Second) != (n%7 == 6) {
					t.Errorf("call %d took %s", n, took)
				}
			}
		},
	}
}

func TestEachQuirkShowsOnTheWire(t *testing.T) {
	tests := quirkTests()
	for _, quirk := range secretsmanager.Quirks() {
		t.Run(quirk.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &function{}
				server, c := newServer(t, secretsmanager.Options{Invoke: f.invoke, Attempts: 1})
				f.client = c
				arn := server.AddSecret("runner", "old")
				server.EnableRotation(arn, functionARN)
				if err := server.Play(quirk.Name); err != nil {
					t.Fatal(err)
				}
				if test := tests[quirk.Name]; test == nil {
					t.Error("the quirk has no test")
				} else {
					test(t, server, c, arn)
				}
				if quirk.Behaviour == "" || quirk.Source == "" {
					t.Errorf("%+v does not say what it is, or where it comes from", quirk)
				}
			})
		})
	}
}

func TestAQuirkThatNobodyKnows(t *testing.T) {
	server, _ := newServer(t, secretsmanager.Options{})
	if err := server.Play("pending-goes"); err == nil || !strings.Contains(err.Error(), `"pending-goes"`) {
		t.Errorf("err = %v", err)
	}
}

func TestASecretThatIsMarkedForDeletion(t *testing.T) {
	server, c := newServer(t, secretsmanager.Options{})
	arn := server.AddSecret("runner", "value")
	server.MarkForDeletion(arn)
	if d := describe(t, c, arn); d.DeletedDate == nil {
		t.Error("it is described without the date")
	}
	_, err := c.GetSecretValue(t.Context(), &sm.GetSecretValueInput{SecretId: &arn})
	awstest.WantError(t, err, "InvalidRequestException", "marked for deletion")
	awstest.WantError(t, put(t, c, arn, "two", "value"), "InvalidRequestException", "marked for deletion")
	_, err = c.UpdateSecretVersionStage(t.Context(), &sm.UpdateSecretVersionStageInput{
		SecretId: &arn, VersionStage: aws.String("ours"), MoveToVersionId: aws.String(server.Versions(arn)[0].ID),
	})
	awstest.WantError(t, err, "InvalidRequestException", "marked for deletion")
}
