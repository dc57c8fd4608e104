package ecs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/tidwall/gjson"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/rotatetest"
)

func TestConformance(t *testing.T) {
	quirks := slices.Concat(rotatetest.QuirksOf("ecs", ecsemulator.Quirks()), rotatetest.QuirksOf("secretsmanager", smemulator.Quirks()))
	rotatetest.Run(t, func(t *testing.T, setup rotatetest.Setup) rotatetest.Platform { return newAWS(t, setup) },
		rotatetest.WithQuirks(quirks))
}

// readLag is how long reads of the labels and of new versions lag behind writes.
const readLag = 900 * time.Millisecond

// awsPlatform is a runner in the emulated AWS: two services on one secret, one of which is rolled back when it fails, outside of
// a rotation by Secrets Manager. What is foreign stays: a label, other keys of the document, another service with its own secret.
type awsPlatform struct {
	t        *testing.T
	setup    rotatetest.Setup
	secrets  *smemulator.Server
	services *ecsemulator.Server
	arn      string
	direct   *secretsmanager.Client // that is no process's

	mu     sync.Mutex
	stops  map[string]func() // by task
	breaks map[string]int    // by service: deployments that are to fail
	broken map[string]bool   // deployments that fail
	shown  []shown
}

// runnerServices are the services of the runner.
var runnerServices = []string{"runner", "runner-b"}

func newAWS(t *testing.T, setup rotatetest.Setup) *awsPlatform {
	h := &awsPlatform{t: t, setup: setup, stops: map[string]func(){}, breaks: map[string]int{}, broken: map[string]bool{}}
	h.secrets = smemulator.New(smemulator.Options{Invoke: nobody, Attempts: 1, ReadLag: readLag})
	h.direct = secretsmanager.NewFromConfig(config(wire.Transport(h.secrets)))
	h.services = ecsemulator.New(ecsemulator.Options{
		StartDelay: 1300 * time.Millisecond, RollDelay: 1500 * time.Millisecond, StartTask: h.start, StopTask: h.stop,
		SecretValue: func(arn, stage, id string) (string, error) { return h.secrets.Value(arn, stage, id) },
	})
	t.Cleanup(func() {
		h.secrets.Close()
		h.services.Close()
	})
	// Odd order and spacing, and a number that does not survive a decoder of floats.
	h.arn = h.secrets.AddSecret("matillion-oauth-credentials",
		`{ "note":"kept",  "client_secret" : "`+setup.Secret+`","big":12345678901234567890.10,`+"\n\t"+`"client_id":"`+setup.ClientID+`"}`)
	other := h.secrets.AddSecret("web", `{"password":"of another"}`)
	h.services.AddCluster("matillion")
	h.services.RegisterTaskDefinition("runner", ecsemulator.Container{
		Name:        "runner",
		Environment: map[string]string{"AGENT_ID": setup.AgentID, "MATILLION_REGION": "eu1"},
		Secrets:     map[string]string{"OAUTH_CLIENT_ID": h.arn + ":client_id::", "OAUTH_CLIENT_SECRET": h.arn + ":client_secret::"},
	})
	h.services.RegisterTaskDefinition("web", ecsemulator.Container{Name: "web", Secrets: map[string]string{"PASSWORD": other + ":password::"}})
	for _, name := range runnerServices {
		h.services.CreateService(ecsemulator.ServiceSpec{
			Cluster: "matillion", Name: name, TaskDefinition: "runner", DesiredCount: 1,
			CircuitBreaker: true, Rollback: name == "runner", ExitOnError: true,
		})
	}
	h.services.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "web", TaskDefinition: "web", DesiredCount: 3})
	h.label("foreign")
	if err := errors.Join(h.services.Play(setup.QuirksFor("ecs")...), h.secrets.Play(setup.QuirksFor("secretsmanager")...)); err != nil {
		t.Fatal(err)
	}
	return h
}

// label attaches a foreign label to the current version.
func (h *awsPlatform) label(name string) {
	_, err := h.direct.UpdateSecretVersionStage(h.t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: &h.arn, VersionStage: &name, MoveToVersionId: &h.secrets.Versions(h.arn)[0].ID,
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// shown is what DescribeSecret showed until then.
type shown struct {
	until time.Time
	*secretsmanager.DescribeSecretOutput
}

// changing remembers what is shown before a change.
func (h *awsPlatform) changing() {
	out, err := h.direct.DescribeSecret(h.t.Context(), &secretsmanager.DescribeSecretInput{SecretId: &h.arn})
	if err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shown = append(h.shown, shown{time.Now(), out})
}

// lagging has DescribeSecret answer as it was before the changes of the last moments.
type lagging struct {
	*secretsmanager.Client
	h *awsPlatform
}

func (l lagging) DescribeSecret(ctx context.Context, in *secretsmanager.DescribeSecretInput,
	options ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	out, err := l.Client.DescribeSecret(ctx, in, options...)
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	for _, before := range l.h.shown {
		if err == nil && time.Since(before.until) < readLag {
			return before.DescribeSecretOutput, nil
		}
	}
	return out, err
}

func (l lagging) PutSecretValue(ctx context.Context, in *secretsmanager.PutSecretValueInput,
	options ...func(*secretsmanager.Options)) (*secretsmanager.PutSecretValueOutput, error) {
	l.h.changing()
	return l.Client.PutSecretValue(ctx, in, options...)
}

func (l lagging) UpdateSecretVersionStage(ctx context.Context, in *secretsmanager.UpdateSecretVersionStageInput,
	options ...func(*secretsmanager.Options)) (*secretsmanager.UpdateSecretVersionStageOutput, error) {
	l.h.changing()
	return l.Client.UpdateSecretVersionStage(ctx, in, options...)
}

func config(transport http.RoundTripper) aws.Config {
	return aws.Config{
		Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
		HTTPClient: &http.Client{Transport: transport}, BaseEndpoint: aws.String("http://127.0.0.1"), RetryMaxAttempts: 3,
	}
}

var errBroken = errors.New("the image does not start")

// start logs the runner of a task in, unless its deployment is to fail.
func (h *awsPlatform) start(task ecsemulator.Task) error {
	if !slices.Contains(runnerServices, task.Service) {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	broken, known := h.broken[task.Deployment]
	if !known && h.breaks[task.Service] > 0 {
		h.breaks[task.Service]--
		broken = true
	}
	if h.broken[task.Deployment] = broken; broken {
		return errBroken
	}
	h.stops[task.ARN], _ = h.setup.Start(task.Env["OAUTH_CLIENT_ID"], task.Env["OAUTH_CLIENT_SECRET"]) // one that is refused runs on
	return nil
}

func (h *awsPlatform) stop(task ecsemulator.Task) {
	h.mu.Lock()
	stop := h.stops[task.ARN]
	delete(h.stops, task.ARN)
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (h *awsPlatform) Runner(ctx context.Context, process *rotatetest.Process) (rotate.Runner, error) {
	operation := func(request *http.Request) string {
		_, operation, _ := strings.Cut(request.Header.Get("X-Amz-Target"), ".")
		return operation
	}
	behind := func(server http.Handler) aws.Config {
		return config(process.Transport(wire.Transport(server), operation))
	}
	runner, err := ecs.Discover(ctx, lagging{secretsmanager.NewFromConfig(behind(h.secrets)), h},
		awsecs.NewFromConfig(behind(h.services)), ecs.Config{
			SecretARN: h.arn, Clusters: []string{"matillion"},
		})
	if err != nil {
		return nil, err
	}
	return runner, nil
}

func (h *awsPlatform) document() string {
	value, err := h.secrets.Value(h.arn, "AWSCURRENT", "")
	if err != nil {
		h.t.Error(err)
	}
	return value
}

func (h *awsPlatform) Stored() maia.Credentials {
	document := gjson.Parse(h.document())
	return maia.Credentials{ClientID: document.Get("client_id").String(), ClientSecret: maia.NewSecret(document.Get("client_secret").String())}
}

// Put implements rotatetest.Platform: it makes a version, as Terraform does.
func (h *awsPlatform) Put(secret string) {
	h.changing()
	h.secrets.Put(h.arn, strings.ReplaceAll(h.document(), h.Stored().ClientSecret.Reveal(), secret))
}

// Wish implements rotatetest.Platform: a request is Secrets Manager's own.
func (h *awsPlatform) Wish(wishes rotate.Wishes) error {
	h.changing()
	return ecs.SaveHold(h.t.Context(), h.direct, h.arn, wishes.Held)
}

func (h *awsPlatform) Replace() {
	for _, name := range runnerServices {
		h.services.Deploy("matillion", name)
	}
}

func (h *awsPlatform) BreakRestarts(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range runnerServices {
		h.breaks[name] = n
	}
}

func (h *awsPlatform) Kept() string {
	var text strings.Builder
	for _, version := range h.secrets.Versions(h.arn) {
		fmt.Fprintln(&text, version.ID, version.Stages)
	}
	for _, name := range append(runnerServices, "web") {
		fmt.Fprintf(&text, "%+v\n", h.services.Service("matillion", name).Deployments)
	}
	return text.String()
}

func (h *awsPlatform) Foreign() string {
	var text strings.Builder
	fmt.Fprintln(&text, strings.ReplaceAll(h.document(), h.Stored().ClientSecret.Reveal(), "…"))
	for _, version := range h.secrets.Versions(h.arn) {
		if slices.Contains(version.Stages, "foreign") {
			fmt.Fprintln(&text, "a label is on", version.ID)
		}
	}
	for _, name := range append(runnerServices, "web") {
		service := h.services.Service("matillion", name)
		fmt.Fprintln(&text, service.ARN, service.TaskDefinition, service.Desired)
		if name == "web" {
			fmt.Fprintf(&text, "%+v\n", service.Deployments)
		}
	}
	return text.String()
}
