package ecs_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

const token = "11111111-2222-3333-4444-555555555555"

var second = maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("the-second-secret")}

// stage and finish make the runner that belongs to a step of the rotation with the token.
func stage(config *ecs.Config)  { config.Stage, config.Token = true, token }
func finish(config *ecs.Config) { config.Token = token }

// put writes a version as an operator's command line would.
func (c *cloud) put(value, token string, stages ...string) {
	c.t.Helper()
	_, err := c.secretsAPI.PutSecretValue(c.t.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: &c.arn, SecretString: &value, ClientRequestToken: &token, VersionStages: stages,
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// pending has Secrets Manager register the token as AWSPENDING, without a value. No function is there to be called.
func (c *cloud) pending() {
	c.t.Helper()
	c.secrets.EnableRotation(c.arn, "arn:aws:lambda:eu-west-1:123456789012:function:none")
	_, err := c.secretsAPI.RotateSecret(c.t.Context(),
		&secretsmanager.RotateSecretInput{SecretId: &c.arn, ClientRequestToken: aws.String(token)})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) current() string {
	value, err := c.secrets.Value(c.arn, "AWSCURRENT", "")
	if err != nil {
		c.t.Fatal(err)
	}
	return value
}

func TestStageThenFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.pending()
		staging, platform := c.runner(stage)
		if platform.Staged || platform.Stored.ClientSecret.Reveal() != "the-first-secret" {
			t.Errorf("before: %+v", platform)
		}
		for range 2 { // as after an answer that was lost
			if err := staging.Store(t.Context(), second); err != nil {
				t.Fatal(err)
			}
		}
		if platform := c.observe(staging); !platform.Staged || !platform.Stored.Equal(second) || platform.Instances.Read != rotate.ReadOlder {
			t.Errorf("staged: %+v", platform)
		}
		if c.current() != value {
			t.Errorf("staging changed AWSCURRENT")
		}
		finishing, platform := c.runner(finish)
		if !platform.Pending.Equal(second) || platform.Stored.Equal(second) || finishing.Promoted() {
			t.Errorf("before finishing: %+v", platform)
		}
		if err := finishing.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		platform = c.observe(finishing)
		if !platform.Stored.Equal(second) || !platform.Pending.ClientSecret.IsZero() || !finishing.Promoted() {
			t.Errorf("finished: %+v", platform)
		}
		if got, want := c.current(), strings.ReplaceAll(value, "first", "second"); got != want {
			t.Errorf("AWSCURRENT is %s, want %s", got, want)
		}
	})
}

// A rotation's process was killed after its refresh, and a healing run stores the outcome. It must be stored as that rotation's
// value: otherwise its createSecret would refresh once more.
func TestPromise2WhatARotationMadeIsStoredAsItsValue(t *testing.T) {
	for name, test := range map[string]struct {
		over     maia.Fingerprint
		promoted bool
	}{
		"the refresh was the rotation's": {over: maia.NewSecret("the-first-secret").Fingerprint(), promoted: true},
		"another writer's":               {over: second.ClientSecret.Fingerprint()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("runner")
				c.pending()
				staging, _ := c.runner(stage)
				note := rotate.Note{Intent: &rotate.Intent{At: time.Now().UTC(), Over: test.over, By: "0123abcd"}}
				if err := staging.SaveNote(t.Context(), note); err != nil {
					t.Fatal(err)
				}
				healing, _ := c.runner()
				for range 2 { // as after an answer that was lost
					if err := healing.Store(t.Context(), second); err != nil {
						t.Fatal(err)
					}
				}
				if got, want := c.current(), strings.ReplaceAll(value, "first", "second"); got != want {
					t.Errorf("AWSCURRENT is %s, want %s", got, want)
				}
				if finishing, _ := c.runner(finish); finishing.Promoted() != test.promoted {
					t.Errorf("the rotation's version is AWSCURRENT: %t, want %t", finishing.Promoted(), test.promoted)
				}
			})
		})
	}
}

func TestStageCannotReplaceAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.pending()
		staging, _ := c.runner(stage)
		c.put(strings.ReplaceAll(value, "first", "third"), token, "AWSPENDING")
		err := staging.Store(t.Context(), second)
		if rotate.KindOf(err) != rotate.Vendor || !strings.Contains(err.Error(), "holds another value already") ||
			strings.Contains(err.Error(), "third") {
			t.Errorf("error %v", err)
		}
	})
}

func TestPutWhoseAnswerIsLostIsASuccessOfTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.pending()
		staging, _ := c.runner(stage)
		c.secrets.Inject(awsjson.Fault{Operation: "PutSecretValue", Nth: 1, Times: 3, Kind: awsjson.DropAfter})
		if err := staging.Store(t.Context(), second); err == nil {
			t.Fatal("no error")
		}
		if platform := c.observe(staging); !platform.Staged || !platform.Stored.Equal(second) {
			t.Errorf("%+v", platform)
		}
	})
}

// A value that was staged for an older document would undo an edit of another key: it is not moved.
func TestPromise8FinishKeepsAnEditOfAnotherKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.pending()
		staging, _ := c.runner(stage)
		if err := staging.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(value, "{", `{"note":"edited",`, 1)
		c.put(edited, "99999999-2222-3333-4444-555555555555", "AWSCURRENT")
		finishing, _ := c.runner(finish)
		if err := finishing.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		if got, want := c.current(), strings.ReplaceAll(edited, "first", "second"); got != want || finishing.Promoted() {
			t.Errorf("AWSCURRENT is %s, want %s; promoted %t", got, want, finishing.Promoted())
		}
	})
}

func TestAbandonTakesThePendingLabelOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.pending()
		staging, _ := c.runner(stage)
		if err := staging.Store(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		finishing, _ := c.runner(finish)
		for range 2 {
			if err := finishing.Abandon(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, platform := c.runner(finish); !platform.Pending.ClientSecret.IsZero() || c.current() != value {
			t.Errorf("%+v", platform)
		}
	})
}

func TestFinishWaitsForAPendingValueThatLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, smemulator.Options{ReadLag: 3 * time.Second})
		c.service("runner")
		c.put(strings.ReplaceAll(value, "first", "second"), token, "AWSPENDING")
		if _, platform := c.runner(finish); !platform.Pending.Equal(second) {
			t.Errorf("%+v", platform)
		}
	})
}

func TestObserveRefuses(t *testing.T) {
	tests := map[string]struct {
		value, says string
	}{
		"empty":        {" ", "is empty"},
		"plain text":   {"hunter2hunter2", "is not JSON"},
		"an array":     {`["hunter2hunter2"]`, "is JSON but not an object"},
		"no secret":    {`{"client_id":"a"}`, "has no key client_secret"},
		"a number":     {`{"client_id":"a","client_secret":12345678}`, "that is not a string"},
		"an empty one": {`{"client_id":"a","client_secret":""}`, "has an empty client_secret"},
		"an empty ID":  {`{"client_id":"","client_secret":"hunter2hunter2"}`, "has an empty client_id"},
		"two":          {`{"client_id":"a","client_secret":"hunter2hunter2","client_secret":"b"}`, "more than once"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("runner")
				c.secrets.Put(c.arn, test.value)
				runner, err := c.discover()
				if err != nil {
					t.Fatal(err)
				}
				_, err = runner.Observe(t.Context())
				if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("error %v, want one that says %s", err, test.says)
				}
			})
		})
	}
}

func TestObserveOfASecretWithoutAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		for arn, says := range map[string]string{
			c.secrets.AddEmptySecret("empty"):                     "has no value yet",
			c.secrets.AddBinarySecret("binary", []byte("binary")): "is binary",
			c.arn[:len(c.arn)-6] + "abcdef":                       "there is no secret",
		} {
			runner, err := c.discoverFor(arn)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := runner.Observe(t.Context()); rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), says) {
				t.Errorf("error %v, want one that says %s", err, says)
			}
		}
	})
}

// discoverFor discovers with a service of that secret only.
func (c *cloud) discoverFor(arn string) (*ecs.Runner, error) {
	was := c.arn
	c.arn = arn
	defer func() { c.arn = was }()
	name := fmt.Sprintf("service-%d", time.Now().UnixNano())
	c.service(name)
	time.Sleep(time.Nanosecond)
	return c.discover(func(config *ecs.Config) {
		config.Clusters, config.Services = nil, []ecs.ServiceRef{{Cluster: "matillion", Service: name}}
	})
}

func TestErrorsSayWhatToAllow(t *testing.T) {
	tests := map[string]struct {
		service func(c *cloud) *awsjson.Handler
		call    func(runner *ecs.Runner, c *cloud) error
		says    string
	}{
		"DescribeSecret":   {secretsOf, observe, "allow the function's role secretsmanager:DescribeSecret on arn:"},
		"GetSecretValue":   {secretsOf, observe, "secretsmanager:GetSecretValue"},
		"DescribeServices": {servicesOf, observe, "ecs:DescribeServices"},
		"UpdateService": {servicesOf, func(runner *ecs.Runner, c *cloud) error { _, err := runner.Restart(c.t.Context()); return err },
			"ecs:UpdateService on matillion/runner"},
		"PutSecretValue": {secretsOf, func(runner *ecs.Runner, c *cloud) error { return runner.Store(c.t.Context(), second) },
			"secretsmanager:PutSecretValue"},
		"UpdateSecretVersionStage": {secretsOf, func(runner *ecs.Runner, c *cloud) error {
			return runner.SaveNote(c.t.Context(), rotate.Note{Applied: "a"})
		}, "secretsmanager:UpdateSecretVersionStage"},
	}
	for operation, test := range tests {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("runner")
				runner, _ := c.runner()
				if operation == "GetSecretValue" {
					runner, _ = c.discover()
				}
				test.service(c).Inject(awsjson.Fault{Operation: operation, Kind: awsjson.AccessDenied})
				err := test.call(runner, c)
				if rotate.KindOf(err) != rotate.Permission || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want one that says %s", err, test.says)
				}
			})
		})
	}
}

func secretsOf(c *cloud) *awsjson.Handler  { return c.secrets.Handler }
func servicesOf(c *cloud) *awsjson.Handler { return c.services.Handler }

func observe(runner *ecs.Runner, c *cloud) error {
	_, err := runner.Observe(c.t.Context())
	return err
}

func TestCheckWantsRoomForTheValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		if err := runner.Check(t.Context()); err != nil {
			t.Errorf("error %v", err)
		}
		c.secrets.Put(c.arn, strings.Replace(value, "{", `{"pad":"`+strings.Repeat("x", 65000)+`",`, 1))
		runner, _ = c.runner()
		if err := runner.Check(t.Context()); rotate.KindOf(err) != rotate.Configuration ||
			!strings.Contains(err.Error(), "might not fit into 65536") {
			t.Errorf("error %v", err)
		}
	})
}

func TestThrottlingPassesByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		c.services.Inject(awsjson.Fault{Operation: "DescribeServices", Kind: awsjson.Throttle})
		if err := observe(runner, c); rotate.KindOf(err) != rotate.NotReady {
			t.Errorf("error %v", err)
		}
	})
}
