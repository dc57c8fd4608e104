package ecs_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

const (
	agentID = "0b5a1a5e-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	other   = "ffffffff-5c1f-4b0a-9a55-0c6f3a1d2e3f"
	value   = `{"client_id":"client","client_secret":"the-first-secret"}`
)

// cloud is the emulated services and the SDK's clients of them.
type cloud struct {
	t          *testing.T
	secrets    *smemulator.Server
	services   *ecsemulator.Server
	secretsAPI *secretsmanager.Client
	ecsAPI     *awsecs.Client
	arn        string
}

// nobody is a rotation function that cannot be called.
func nobody(context.Context, string, []byte) error { return errors.New("nobody is there") }

func newCloud(t *testing.T, options ...smemulator.Options) *cloud {
	c := &cloud{t: t, secrets: smemulator.New(slices.Concat(options, []smemulator.Options{{Invoke: nobody, Attempts: 1}})[0])}
	c.services = ecsemulator.New(ecsemulator.Options{
		StartDelay: 20 * time.Second, RollDelay: 7 * time.Second,
		SecretValue: func(arn, stage, id string) (string, error) { return c.secrets.Value(arn, stage, id) },
	})
	t.Cleanup(func() {
		c.secrets.Close()
		c.services.Close()
	})
	config := func(server http.Handler) aws.Config {
		return aws.Config{
			Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
			HTTPClient: &http.Client{Transport: wire.Transport(server)}, BaseEndpoint: aws.String("http://127.0.0.1"),
		}
	}
	c.secretsAPI = secretsmanager.NewFromConfig(config(c.secrets))
	c.ecsAPI = awsecs.NewFromConfig(config(c.services))
	c.arn = c.secrets.AddSecret("matillion-oauth-credentials", value)
	c.services.AddCluster("matillion")
	return c
}

// service creates one; change is applied to its container.
func (c *cloud) service(name string, change ...func(*ecsemulator.Container)) {
	container := ecsemulator.Container{
		Name:        "runner",
		Environment: map[string]string{"AGENT_ID": agentID, "MATILLION_REGION": "EU1"},
		Secrets:     map[string]string{"OAUTH_CLIENT_ID": c.arn + ":client_id::", "OAUTH_CLIENT_SECRET": c.arn + ":client_secret::"},
	}
	for _, change := range change {
		change(&container)
	}
	c.services.RegisterTaskDefinition(name, container)
	c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: name, TaskDefinition: name, DesiredCount: 1})
}

func (c *cloud) discover(change ...func(*ecs.Config)) (*ecs.Runner, error) {
	config := ecs.Config{SecretARN: c.arn, Clusters: []string{"matillion"}}
	for _, change := range change {
		change(&config)
	}
	return ecs.Discover(c.t.Context(), c.secretsAPI, c.ecsAPI, config)
}

// runner is a discovered runner that has been observed.
func (c *cloud) runner(change ...func(*ecs.Config)) (*ecs.Runner, rotate.Platform) {
	c.t.Helper()
	runner, err := c.discover(change...)
	if err != nil {
		c.t.Fatal(err)
	}
	return runner, c.observe(runner)
}

func (c *cloud) observe(runner *ecs.Runner) rotate.Platform {
	c.t.Helper()
	platform, err := runner.Observe(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return platform
}

func (c *cloud) labels() (labels []string) {
	for _, version := range c.secrets.Versions(c.arn) {
		for _, stage := range version.Stages {
			if strings.HasPrefix(stage, "maia-rotate/") {
				labels = append(labels, stage)
			}
		}
	}
	slices.Sort(labels)
	return labels
}

func TestDiscover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.service("runner-b")
		c.service("web", func(container *ecsemulator.Container) { container.Environment, container.Secrets = nil, nil })
		for range 23 { // more than a page of DescribeServices
			c.service("another-"+strings.ToLower(time.Now().Format("150405.000000000")),
				func(container *ecsemulator.Container) { container.Environment, container.Secrets = nil, nil })
			time.Sleep(time.Millisecond)
		}
		runner, platform := c.runner()
		if runner.AgentID() != agentID || runner.Region() != "eu1" ||
			!slices.Equal(runner.Services(), []string{"matillion/runner", "matillion/runner-b"}) {
			t.Errorf("agent %s, region %s, services %v", runner.AgentID(), runner.Region(), runner.Services())
		}
		if platform.Stored.ClientID != "client" || platform.Stored.ClientSecret.Reveal() != "the-first-secret" || platform.Staged {
			t.Errorf("platform %+v", platform)
		}
		if platform.Instances.State != rotate.Steady || !strings.Contains(platform.Instances.Detail, "service matillion/runner: 1 of 1 running") {
			t.Errorf("instances %+v", platform.Instances)
		}
	})
}

func TestDiscoverNamedServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		c.service("runner-b")
		runner, _ := c.runner(func(config *ecs.Config) {
			config.Clusters = nil
			config.Services = []ecs.ServiceRef{{Cluster: "matillion", Service: "runner-b"}}
		})
		if !slices.Equal(runner.Services(), []string{"matillion/runner-b"}) {
			t.Errorf("services %v", runner.Services())
		}
	})
}

func TestDiscoverRefuses(t *testing.T) {
	variable := func(name, value string) func(*ecsemulator.Container) {
		return func(container *ecsemulator.Container) { container.Environment[name] = value }
	}
	from := func(suffix string) func(*ecsemulator.Container) {
		return func(container *ecsemulator.Container) {
			container.Secrets["OAUTH_CLIENT_SECRET"] = strings.TrimSuffix(container.Secrets["OAUTH_CLIENT_SECRET"], ":client_secret::") + suffix
		}
	}
	tests := map[string]struct {
		prepare func(c *cloud)
		change  func(*ecs.Config)
		says    string
	}{
		"no service": {prepare: func(*cloud) {}, says: "no service takes a variable from secret"},
		"services of other secrets": {prepare: func(c *cloud) {
			c.service("web", func(container *ecsemulator.Container) { container.Environment, container.Secrets = nil, nil })
		}, says: "1 services of matillion were read"},
		"two agents": {prepare: func(c *cloud) { c.service("a"); c.service("b", variable("AGENT_ID", other)) }, says: "name two agents"},
		"two regions": {prepare: func(c *cloud) { c.service("a"); c.service("b", variable("MATILLION_REGION", "us1")) },
			says: "name two regions"},
		"no agent": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) { delete(container.Environment, "AGENT_ID") })
		}, says: "has no plain variable AGENT_ID"},
		"pinned to a version": {prepare: func(c *cloud) { c.service("a", from(":client_secret::11111111-2222-3333-4444-555555555555")) },
			says: "pinned to version 11111111-2222-3333-4444-555555555555"},
		"pinned to a stage": {prepare: func(c *cloud) { c.service("a", from(":client_secret:AWSPREVIOUS:")) },
			says: "reads the staging label AWSPREVIOUS"},
		"another key": {prepare: func(c *cloud) { c.service("a", from(":secret::")) },
			says: `takes the JSON key "secret" of the secret, expected "client_secret"`},
		"the whole document": {prepare: func(c *cloud) { c.service("a", from("")) }, says: `takes the JSON key ""`},
		"CODE_DEPLOY": {prepare: func(c *cloud) {
			c.service("a")
			c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "b", TaskDefinition: "a", DesiredCount: 1,
				DeploymentController: "CODE_DEPLOY"})
		}, says: "has the deployment controller CODE_DEPLOY"},
		"the client secret is plain": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) {
				delete(container.Secrets, "OAUTH_CLIENT_SECRET")
				container.Environment["OAUTH_CLIENT_SECRET"] = "in-clear"
			})
		}, says: "OAUTH_CLIENT_SECRET from a plain variable"},
		"the client secret is another's": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) {
				container.Secrets["OAUTH_CLIENT_SECRET"] = c.secrets.AddSecret("another", value) + ":client_secret::"
			})
		}, says: "OAUTH_CLIENT_SECRET from another place"},
		"the client secret is a parameter": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) {
				container.Secrets["OAUTH_CLIENT_SECRET"] = "arn:aws:ssm:eu-west-1:123456789012:parameter/runner"
			})
		}, says: "OAUTH_CLIENT_SECRET from another place"},
		"no client secret": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) { delete(container.Secrets, "OAUTH_CLIENT_SECRET") })
		}, says: "no container takes OAUTH_CLIENT_SECRET from it"},
		"one of two services has the client secret elsewhere": {prepare: func(c *cloud) {
			c.service("a")
			c.service("b", func(container *ecsemulator.Container) {
				container.Secrets["OAUTH_CLIENT_SECRET"] = "arn:aws:ssm:eu-west-1:123456789012:parameter/runner"
			})
		}, says: "service matillion/b, container runner: the container takes a variable from the secret"},
		"a replica of the secret": {prepare: func(c *cloud) {
			c.service("a", func(container *ecsemulator.Container) {
				for name, from := range container.Secrets {
					container.Secrets[name] = strings.Replace(from, ":eu-west-1:", ":eu-central-1:", 1)
				}
			})
		}, says: "reads the replica of the secret in eu-central-1"},
		"only services that are being deleted": {prepare: func(c *cloud) {
			c.service("a")
			c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "old", TaskDefinition: "a", Status: "DRAINING"})
		}, change: func(config *ecs.Config) {
			config.Clusters, config.Services = nil, []ecs.ServiceRef{{Cluster: "matillion", Service: "old"}}
		}, says: "service matillion/old is DRAINING"},
		"only a service that was deleted": {prepare: func(c *cloud) {
			c.service("a")
			c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "old", TaskDefinition: "a", Status: "INACTIVE"})
		}, change: func(config *ecs.Config) {
			config.Clusters, config.Services = nil, []ecs.ServiceRef{{Cluster: "matillion", Service: "old"}}
		}, says: "service matillion/old is INACTIVE"},
		"a missing service": {prepare: func(c *cloud) { c.service("a") }, change: func(config *ecs.Config) {
			config.Clusters, config.Services = nil, []ecs.ServiceRef{{Cluster: "matillion", Service: "b"}}
		}, says: "service b of cluster matillion cannot be described: MISSING"},
		"a missing cluster": {prepare: func(*cloud) {}, change: func(config *ecs.Config) { config.Clusters = []string{"elsewhere"} },
			says: "ClusterNotFoundException"},
		"the agent's secret is elsewhere too": {prepare: func(c *cloud) {
			c.service("a")
			second := c.secrets.AddSecret("second", value)
			c.service("b", func(container *ecsemulator.Container) {
				container.Secrets = map[string]string{"OAUTH_CLIENT_SECRET": second + ":client_secret::"}
			})
		}, says: "is named by service matillion/b too"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				test.prepare(c)
				change := func(*ecs.Config) {}
				if test.change != nil {
					change = test.change
				}
				_, err := c.discover(change)
				var typed *rotate.Error
				if !errors.As(err, &typed) || typed.Kind != rotate.Configuration || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want a configuration error that says %s", err, test.says)
				}
			})
		})
	}
}

func TestNoteSurvivesInLabels(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	notes := []rotate.Note{
		{},
		{Applied: "aaaaaaaaaaaa"},
		{Applied: "aaaaaaaaaaaa", Paused: &rotate.OwnPause{At: at, By: "0123abcd"}},
		{Applied: "aaaaaaaaaaaa", Paused: &rotate.OwnPause{At: at, By: "0123abcd", Confirmed: true,
			Until: at.Add(time.Hour + 123*time.Millisecond)}},
		{Applied: "aaaaaaaaaaaa", Paused: &rotate.OwnPause{At: at, By: "0123abcd", Confirmed: true},
			Intent: &rotate.Intent{At: at, Over: "aaaaaaaaaaaa", By: "0123abcd"}},
		{Applied: rotate.AppliedNothing, LastRotation: &rotate.Rotation{At: at, Over: "aaaaaaaaaaaa", New: "bbbbbbbbbbbb"}},
		{Applied: "bbbbbbbbbbbb", LastRotation: &rotate.Rotation{At: at.Add(time.Hour), Over: "bbbbbbbbbbbb", New: "cccccccccccc"}},
		{},
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, platform := c.runner()
		if !platform.Note.Equal(rotate.Note{}) {
			t.Errorf("the note of an untouched secret is %+v", platform.Note)
		}
		for i, note := range notes {
			if err := runner.SaveNote(t.Context(), note); err != nil {
				t.Fatal(err)
			}
			_, fresh := c.runner()
			for _, platform := range []rotate.Platform{c.observe(runner), fresh} {
				if !platform.Note.Equal(note) {
					t.Errorf("note %d: read %+v, want %+v; labels %v", i, platform.Note, note, c.labels())
				}
			}
		}
		if labels := c.labels(); len(labels) != 0 {
			t.Errorf("labels %v are left of an empty note", labels)
		}
	})
}

func TestNoteAfterACrashBetweenLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, _ := c.runner()
		if err := runner.SaveNote(t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		// The new label is attached; taking the old one off fails.
		c.secrets.Inject(awsjson.Fault{Operation: "UpdateSecretVersionStage", Nth: 2, Kind: awsjson.AccessDenied})
		if err := runner.SaveNote(t.Context(), rotate.Note{Applied: "bbbbbbbbbbbb"}); rotate.KindOf(err) != rotate.Permission {
			t.Errorf("error %v", err)
		}
		next, platform := c.runner()
		if platform.Note.Applied != "bbbbbbbbbbbb" {
			t.Errorf("applied %s, want the newer one of %v", platform.Note.Applied, c.labels())
		}
		if err := next.SaveNote(t.Context(), platform.Note); err != nil {
			t.Fatal(err)
		}
		if labels := c.labels(); len(labels) != 1 {
			t.Errorf("labels %v, want one", labels)
		}
	})
}

func TestPromise2OfTwoIntentsAtMostOneStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		one, _ := c.runner()
		two, _ := c.runner()
		intent := func(by string) rotate.Note {
			return rotate.Note{Intent: &rotate.Intent{At: time.Now().UTC(), Over: "aaaaaaaaaaaa", By: by}}
		}
		if err := one.SaveNote(t.Context(), intent("one")); err != nil {
			t.Fatal(err)
		}
		err := two.SaveNote(t.Context(), intent("two"))
		if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "another run") {
			t.Errorf("error %v", err)
		}
		if platform := c.observe(two); platform.Note.Intent == nil || platform.Note.Intent.By != "one" {
			t.Errorf("the intent is %+v, want the first run's", platform.Note.Intent)
		}
		// An intent that was there before is no obstacle: the engine has judged it.
		three, _ := c.runner()
		if err := three.SaveNote(t.Context(), intent("three")); err != nil {
			t.Fatal(err)
		}
		if labels := c.labels(); len(labels) != 1 || !strings.HasSuffix(labels[0], "/three") {
			t.Errorf("labels %v", labels)
		}
	})
}

func TestPromise8OfTwoRunsAtMostOnePauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		one, _ := c.runner()
		two, _ := c.runner()
		pausing := func(by string) rotate.Note {
			return rotate.Note{Paused: &rotate.OwnPause{At: time.Now().UTC(), By: by}}
		}
		if err := one.SaveNote(t.Context(), pausing("one")); err != nil {
			t.Fatal(err)
		}
		err := two.SaveNote(t.Context(), pausing("two"))
		if rotate.KindOf(err) != rotate.NotReady || !strings.Contains(err.Error(), "another run") {
			t.Errorf("error %v", err)
		}
		if labels := c.labels(); len(labels) != 1 || !strings.HasSuffix(labels[0], "/one") {
			t.Errorf("labels %v, want the first run's", labels)
		}
	})
}

// Two runs have noted a pause, one of them without learning that it did. When that one removes a pause, it is its own.
func TestPromise8ThePauseOfAnotherRunStaysInTheNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		one, _ := c.runner()
		paused := &rotate.OwnPause{At: time.Now().UTC(), By: "one", Confirmed: true, Until: time.Now().UTC().Add(time.Hour)}
		if err := one.SaveNote(t.Context(), rotate.Note{Paused: paused}); err != nil {
			t.Fatal(err)
		}
		c.label("maia-rotate/pausing/" + time.Now().UTC().Add(time.Second).Format("20060102T150405.000Z") + "/two")
		two, platform := c.runner()
		if platform.Note.Paused == nil || platform.Note.Paused.By != "two" {
			t.Fatalf("the pause is %+v, want the newer one", platform.Note.Paused)
		}
		if err := two.SaveNote(t.Context(), rotate.Note{}); err != nil {
			t.Fatal(err)
		}
		if platform := c.observe(two); platform.Note.Paused == nil || platform.Note.Paused.By != "one" || !platform.Note.Paused.Confirmed {
			t.Errorf("the pause is %+v, want the other run's", platform.Note.Paused)
		}
	})
}

// label attaches a label to the current version.
func (c *cloud) label(label string) {
	c.t.Helper()
	described, err := c.secretsAPI.DescribeSecret(c.t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &c.arn})
	if err != nil {
		c.t.Fatal(err)
	}
	for id, stages := range described.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			_, err = c.secretsAPI.UpdateSecretVersionStage(c.t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
				SecretId: &c.arn, VersionStage: &label, MoveToVersionId: &id,
			})
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestStoreOutsideOfARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		runner, platform := c.runner()
		next := maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("the-second-secret")}
		for range 2 {
			if err := runner.Store(t.Context(), next); err != nil {
				t.Fatal(err)
			}
		}
		if err := runner.Store(t.Context(), platform.Stored); err != nil {
			t.Fatal(err)
		}
		if err := runner.Store(t.Context(), next); err != nil {
			t.Fatal(err)
		}
		if got := c.observe(runner).Stored; !got.Equal(next) {
			t.Errorf("the store was not changed")
		}
		if got := len(c.secrets.Versions(c.arn)); got != 4 {
			t.Errorf("%d versions, want the first and one for each change", got)
		}
		if runner.Promoted() {
			t.Errorf("promoted outside of a rotation")
		}
	})
}

func TestClocksShowWhatInstancesRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		time.Sleep(time.Hour)
		c.service("runner")
		runner, platform := c.runner()
		if platform.Instances.Read != rotate.ReadCurrent {
			t.Errorf("a deployment after the value: %s", platform.Instances.Read)
		}
		time.Sleep(time.Hour)
		if err := runner.SaveNote(t.Context(), rotate.Note{Applied: "aaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		if _, platform := c.runner(); platform.Instances.Read != rotate.ReadUnknown {
			t.Errorf("after a change of a label: %s", platform.Instances.Read)
		}
		time.Sleep(time.Hour)
		c.secrets.Put(c.arn, strings.ReplaceAll(value, "first", "second"))
		if _, platform := c.runner(); platform.Instances.Read != rotate.ReadOlder {
			t.Errorf("a deployment before the value: %s", platform.Instances.Read)
		}
		time.Sleep(time.Hour)
		c.observe(runner)
		if _, err := runner.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if platform := c.observe(runner); platform.Instances.Read != rotate.ReadCurrent || platform.Instances.State != rotate.Rolling {
			t.Errorf("right after the order: %+v", platform.Instances)
		}
		time.Sleep(time.Minute)
		if platform := c.observe(runner); platform.Instances.Read != rotate.ReadCurrent || platform.Instances.State != rotate.Steady {
			t.Errorf("a minute after the order: %+v", platform.Instances)
		}
		if _, err := runner.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(c.services.Service("matillion", "runner").Deployments); got != 1 {
			t.Errorf("a service that was restarted was restarted again")
		}
	})
}

func TestServiceStates(t *testing.T) {
	tests := map[string]struct {
		prepare func(c *cloud)
		want    rotate.InstanceState
	}{
		"scaled to zero": {func(c *cloud) { c.services.ScaleTo("matillion", "runner", 0) }, rotate.Stopped},
		"being deployed": {func(c *cloud) { c.services.Deploy("matillion", "runner") }, rotate.Rolling},
		"failed": {func(c *cloud) {
			c.services.FailNextDeployment("matillion", "runner", false)
			c.services.Deploy("matillion", "runner")
			time.Sleep(time.Minute)
		}, rotate.Failed},
		"rolled back": {func(c *cloud) {
			c.services.FailNextDeployment("matillion", "runner", true)
			c.services.Deploy("matillion", "runner")
			time.Sleep(5 * time.Minute)
		}, rotate.Steady},
		"one of two tasks runs, and the rollout is COMPLETED": {func(c *cloud) { c.play("short-of-tasks") }, rotate.Short},
		"tasks fail": {func(c *cloud) {
			c.play("tasks-fail-first")
			c.services.Deploy("matillion", "runner")
			time.Sleep(30 * time.Second)
		}, rotate.Failing},
		"tasks run, and old ones are protected": {func(c *cloud) {
			c.play("protected-tasks")
			c.services.Deploy("matillion", "runner")
			time.Sleep(time.Minute)
		}, rotate.Short},
		"one has failed, one is rolling": {func(c *cloud) {
			c.service("b")
			c.services.FailNextDeployment("matillion", "b", false)
			c.services.Deploy("matillion", "b")
			time.Sleep(time.Minute)
			c.services.Deploy("matillion", "runner")
		}, rotate.Failed},
		"one of two is 0": {func(c *cloud) { c.service("b"); c.services.ScaleTo("matillion", "b", 0) }, rotate.Steady},
		"both are 0": {func(c *cloud) {
			c.service("b")
			c.services.ScaleTo("matillion", "b", 0)
			c.services.ScaleTo("matillion", "runner", 0)
		}, rotate.Stopped},
		"without rollout state": {func(c *cloud) {
			c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "b", TaskDefinition: "runner", DesiredCount: 1,
				NoRolloutState: true})
		}, rotate.Steady},
		"without rollout state, being deployed": {func(c *cloud) {
			c.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "b", TaskDefinition: "runner", DesiredCount: 1,
				NoRolloutState: true})
			c.services.Deploy("matillion", "b")
		}, rotate.Rolling},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t)
				c.service("runner")
				test.prepare(c)
				if _, platform := c.runner(); platform.Instances.State != test.want {
					t.Errorf("%+v, want %s", platform.Instances, test.want)
				}
			})
		})
	}
}

func TestCheckWantsRoomForLabels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		c.service("runner")
		current := c.secrets.Versions(c.arn)[0].ID
		for _, label := range "abcdefghijk" {
			_, err := c.secretsAPI.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
				SecretId: &c.arn, VersionStage: aws.String("foreign-" + string(label)), MoveToVersionId: &current,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		runner, _ := c.runner()
		if err := runner.Check(t.Context()); rotate.KindOf(err) != rotate.Configuration ||
			!strings.Contains(err.Error(), "12 staging labels, and at most 6") {
			t.Errorf("error %v", err)
		}
	})
}
