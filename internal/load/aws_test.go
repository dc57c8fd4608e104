package load_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/maia-rotate/maia-rotate/functions/aws-lambda/rotation"
	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

const (
	awsAway      = 20 * time.Millisecond
	lambdaTime   = 15 * time.Minute
	healEvery    = 30 * time.Minute
	attempts     = 5 // of a rotation, by Secrets Manager; not published
	attemptEvery = 10 * time.Minute
)

// perFunction is how many secrets one serves: its environment, which is 4 KB, names their agents.
func perFunction() int { return size(100) / 20 }

// region is Secrets Manager, ECS and a stand-in for Lambda, with as many functions as it takes.
type region struct {
	t           *testing.T
	account     *account
	functions   []*function
	perFunction int // secrets
	concurrency int // invocations at a time, at most

	mu        sync.Mutex
	atWork    int
	most      int // at work at a time
	throttled int
	failed    int             // steps
	paused    map[string]bool // secrets of runners that are left paused, as an error said
	heals     int
	unhealed  int                           // healing events that failed
	latest    map[string]*maiatest.Instance // by runner
}

// function is one with its secrets and the cluster of their services.
type function struct {
	region  *region
	arn     string
	first   int // its first runner
	secrets *smemulator.Server
	ecs     *ecsemulator.Server
	arns    []string
	environ []string

	// The region's lock guards both.
	idle      []*rotation.Handler           // processes that are warm
	instances map[string]*maiatest.Instance // by task
}

func newRegion(t *testing.T, n, perFunction, concurrency int) *region {
	r := &region{t: t, account: newAccount(t, n), perFunction: perFunction, concurrency: concurrency, latest: map[string]*maiatest.Instance{}}
	for first := 0; first < n; first += perFunction {
		f := &function{region: r, arn: fmt.Sprintf("arn:aws:lambda:eu-west-1:123456789012:function:maia-rotate-%d", first/perFunction),
			first: first, instances: map[string]*maiatest.Instance{}}
		f.secrets = smemulator.New(smemulator.Options{Attempts: attempts, RetryDelay: attemptEvery,
			Invoke: func(ctx context.Context, _ string, payload []byte) error {
				_, err := f.invoke(ctx, payload)
				return err
			}})
		f.ecs = ecsemulator.New(ecsemulator.Options{
			StartDelay: 25 * time.Second, RollDelay: 7 * time.Second, StartTask: f.start, StopTask: f.stop,
			SecretValue: func(arn, stage, id string) (string, error) { return f.secrets.Value(arn, stage, id) },
		})
		f.ecs.AddCluster("runners")
		ids := r.account.ids[first:min(first+perFunction, n)]
		for i, id := range ids {
			document := fmt.Sprintf(`{"client_id":%q,"client_secret":%q}`, clientID, r.account.LiveSecret(id))
			arn := f.secrets.AddSecret(name(first+i), document)
			f.secrets.EnableRotation(arn, f.arn)
			f.arns = append(f.arns, arn)
			f.ecs.RegisterTaskDefinition(name(first+i), ecsemulator.Container{
				Name:        "runner",
				Environment: map[string]string{"AGENT_ID": id, "MATILLION_REGION": "eu1"},
				Secrets:     map[string]string{"OAUTH_CLIENT_ID": arn + ":client_id::", "OAUTH_CLIENT_SECRET": arn + ":client_secret::"},
			})
			f.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "runners", Name: name(first + i), TaskDefinition: name(first + i), DesiredCount: 1,
				CircuitBreaker: true, Rollback: true})
		}
		f.environ = r.account.environ("MAIA_ECS_CLUSTERS=runners", "MAIA_AGENT_IDS="+strings.Join(ids, ","))
		r.functions = append(r.functions, f)
		t.Cleanup(func() {
			f.secrets.Close()
			f.ecs.Close()
		})
	}
	return r
}

func (f *function) start(task ecsemulator.Task) error {
	r := f.region
	id := task.Env["AGENT_ID"]
	instance, err := r.account.login(id, task.Env["OAUTH_CLIENT_SECRET"])
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.instances[task.ARN], r.latest[id] = instance, instance
	return nil
}

func (f *function) stop(task ecsemulator.Task) {
	f.region.mu.Lock()
	defer f.region.mu.Unlock()
	if instance := f.instances[task.ARN]; instance != nil {
		instance.Close()
		delete(f.instances, task.ARN)
	}
}

// awsWay is that to AWS.
type awsWay struct{ secrets, ecs http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w *awsWay) RoundTrip(request *http.Request) (*http.Response, error) {
	if err := sleep(request.Context(), awsAway); err != nil {
		return nil, err
	}
	if strings.HasPrefix(request.Header.Get("X-Amz-Target"), "secretsmanager.") {
		return w.secrets.RoundTrip(request)
	}
	return w.ecs.RoundTrip(request)
}

// process is a new one of the function.
func (f *function) process() *rotation.Handler {
	way := &awsWay{wire.Transport(f.secrets), wire.Transport(f.ecs)}
	f.region.t.Cleanup(func() { *way = awsWay{} }) // whoever keeps the handler does not keep AWS
	return rotation.New(f.environ, func(context.Context) (aws.Config, error) {
		return aws.Config{
			Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
			HTTPClient:   &http.Client{Transport: way},
			BaseEndpoint: aws.String("http://127.0.0.1"), RetryMaxAttempts: 5,
		}, nil
	}, slog.New(slog.DiscardHandler), io.Discard)
}

var errThrottled = errors.New("TooManyRequestsException")

// invoke is what Lambda does: it has a process that is warm do it, or a new one, unless as many as may be are at work.
func (f *function) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	r := f.region
	r.mu.Lock()
	if r.atWork == r.concurrency {
		r.throttled++
		r.mu.Unlock()
		return nil, errThrottled
	}
	r.atWork++
	r.most = max(r.most, r.atWork)
	var handler *rotation.Handler
	if last := len(f.idle) - 1; last >= 0 {
		handler, f.idle = f.idle[last], f.idle[:last]
	}
	r.mu.Unlock()
	if handler == nil {
		handler = f.process()
	}
	ctx, cancel := context.WithTimeout(ctx, lambdaTime)
	defer cancel()
	reply, err := handler.Invoke(lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{InvokedFunctionArn: f.arn}), payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.atWork--
	f.idle = append(f.idle, handler)
	if err != nil {
		r.failed++
		r.leftPaused(payload, err)
	}
	return reply, err
}

// leftPaused keeps of which secret a rotation says that its runner is left paused. The lock is held.
func (r *region) leftPaused(payload []byte, err error) {
	var event struct{ SecretId string }
	if strings.Contains(fmt.Sprint(err), "the runner is left paused") && json.Unmarshal(payload, &event) == nil && event.SecretId != "" {
		if r.paused == nil {
			r.paused = map[string]bool{}
		}
		r.paused[event.SecretId] = true
	}
}

// heals is the function's healing schedule, until the context ends. EventBridge and Lambda try again what was throttled.
func (f *function) heals(ctx context.Context, offset time.Duration) {
	for next := time.Now().Add(offset); sleep(ctx, time.Until(next)) == nil; next = next.Add(healEvery) {
		_, err := f.invoke(ctx, []byte(`{"action":"heal"}`))
		for tries := 0; errors.Is(err, errThrottled) && tries < 10; tries++ {
			if sleep(ctx, time.Minute) != nil {
				return
			}
			_, err = f.invoke(ctx, []byte(`{"action":"heal"}`))
		}
		f.region.mu.Lock()
		f.region.heals++
		if err != nil {
			f.region.unhealed++
		}
		f.region.mu.Unlock()
	}
}

// of is the function of a runner, and the secret.
func (r *region) of(i int) (*function, string) {
	f := r.functions[i/r.perFunction]
	return f, f.arns[i-f.first]
}

// rotate has the schedule of a runner's secret come due after a time.
func (r *region) rotate(i int, after time.Duration) {
	f, arn := r.of(i)
	time.AfterFunc(after, func() { f.secrets.Rotate(arn) })
}

func (r *region) stored(i int) string {
	f, arn := r.of(i)
	text, err := f.secrets.Value(arn, "AWSCURRENT", "")
	var document struct {
		Secret string `json:"client_secret"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(text), &document)); err != nil {
		r.t.Error(err)
	}
	return document.Secret
}

func (r *region) connected(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	instance := r.latest[r.account.ids[i]]
	return instance != nil && instance.Connected()
}

// ends are how rotations have ended, by the name of the event.
func (r *region) ends() map[string]int {
	ends := map[string]int{}
	for _, f := range r.functions {
		for _, event := range f.secrets.Events() {
			ends[event.Name]++
		}
	}
	return ends
}

func (r *region) down() (n int) {
	for i := range r.account.ids {
		if !r.connected(i) {
			n++
		}
	}
	return n
}

// schedule is how the rotations of a fleet come due, and what the schedules find.
type schedule struct {
	cloud  string
	within time.Duration // all come due within that time
	blocks int           // of such times, with an hour between their beginnings
	calm   bool          // Maia's limit is not to be met
}

// play has all secrets come due once; and those again, a day later, that failed.
func (r *region) play(t *testing.T, s schedule) {
	a, n := r.account, len(r.account.ids)
	goroutines := settled()
	healing, end := context.WithCancel(t.Context())
	var schedules sync.WaitGroup
	for i, f := range r.functions {
		schedules.Go(func() { f.heals(healing, time.Duration(i)*time.Minute) })
	}
	bad := map[int]bool{}
	for i := 24; i < n || len(bad) < 2; i += 50 {
		bad[i%n] = true
		a.SetRunningTasks(a.ids[i%n], 1)
	}
	random := rand.New(rand.NewPCG(6, 6)) // always the same
	for i := range a.ids {
		r.rotate(i, time.Duration(i%s.blocks)*time.Hour+time.Duration(random.Int64N(int64(s.within))))
	}
	begun := time.Now()
	r.await(t, n, func() { time.Sleep(time.Duration(s.blocks) * time.Hour) })
	t.Logf("figure: load, %s: hours until the last rotation has ended, simulated: %.1f", s.cloud, time.Since(begun).Hours())
	time.Sleep(healEvery) // whatever is left is healed
	if down := r.down(); down > 0 {
		t.Errorf("%d runners are down after a healing event", down)
	}
	for i := range bad {
		if a.Refreshes(a.ids[i]) > 0 {
			t.Errorf("%s was refreshed, and pipelines ran on it", name(i))
		}
		a.FinishTasks(a.ids[i])
	}
	t.Logf("figure: load, %s: runners that failed before their refresh, and stopped no other: %d", s.cloud, len(bad))
	var again []int
	for i, id := range a.ids {
		if a.Refreshes(id) == 0 {
			again = append(again, i)
		}
	}
	t.Logf("figure: load, %s: runners not rotated at the first time, with nothing changed: %d", s.cloud, len(again)-len(bad))
	r.mu.Lock() // a healing event may be at work
	failed, most := r.failed, r.most
	r.mu.Unlock()
	t.Logf("figure: load, %s: steps that failed and were tried again: %d", s.cloud, failed)
	t.Logf("figure: load, %s: invocations at a time: %d", s.cloud, most)
	for at, i := range again {
		r.rotate(i, time.Duration(at)*time.Hour/time.Duration(len(again)))
	}
	r.await(t, n+len(again), func() { time.Sleep(time.Hour) })
	time.Sleep(healEvery)
	end()
	schedules.Wait()

	runners, refreshes := a.rotated()
	t.Logf("figure: load, %s: runners rotated: %d", s.cloud, runners)
	t.Logf("figure: load, %s: refreshes: %d", s.cloud, refreshes)
	if runners != n || refreshes != n {
		t.Errorf("%d of %d runners were rotated by %d refreshes", runners, n, refreshes)
	}
	r.mu.Lock()
	left := len(r.paused)
	r.mu.Unlock()
	t.Logf("figure: load, %s: runners left paused, as the error said, because Maia's limit kept their pause from being seen: %d", s.cloud,
		left)
	if s.calm && left > 0 {
		t.Errorf("%d runners are left paused", left)
	}
	ends := r.ends()
	if ends["RotationStarted"] != ends["RotationSucceeded"]+ends["RotationFailed"] || ends["RotationSucceeded"] < n-left {
		t.Errorf("of the rotations %v, expected an end for each, and a success for each runner but those that are left paused", ends)
	}
	a.mustKeepTheLimit(t, s.cloud, s.calm)
	if a.longestDowntime > 2*time.Minute { // of simulated time: what is left of a rotation after its refresh is not to wait for Maia
		t.Errorf("a runner was down for %s", a.longestDowntime)
	}
	client := a.unlimited(t)
	for i, id := range a.ids {
		a.mustBeBack(t, client, id, r.stored(i))
	}
	if now := settled(); now > goroutines {
		t.Errorf("%d goroutines are left", now-goroutines)
	}
}

// await waits until as many rotations have ended, and for some time in any case.
func (r *region) await(t *testing.T, rotations int, first func()) {
	t.Helper()
	first()
	for hours := 0; ; hours++ {
		ends := r.ends()
		if ends["RotationSucceeded"]+ends["RotationFailed"] == rotations {
			return
		}
		if hours == 24 {
			t.Fatalf("of %d rotations have ended %v", rotations, ends)
		}
		time.Sleep(10 * time.Minute)
	}
}

func TestAWSKeepsNothing(t *testing.T) {
	mustKeepNothing(t, "AWS", func(t *testing.T, n int) (function any) {
		r := newRegion(t, n, n, 1) // one process serves them all
		for range 2 {
			if _, err := r.functions[0].invoke(t.Context(), []byte(`{"action":"heal"}`)); err != nil {
				t.Error(err)
			}
		}
		return r.functions[0].idle[0]
	})
}

// TestAWSStaggered: as the documentation advises operators.
func TestAWSStaggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newRegion(t, size(60), perFunction(), 1000).play(t, schedule{cloud: "AWS, staggered", within: time.Hour, blocks: 4, calm: true})
	})
}

// TestAWSAtOnce: as it advises against.
func TestAWSAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newRegion(t, size(60), perFunction(), 1000).play(t, schedule{cloud: "AWS, all in the same minute", within: time.Minute, blocks: 1})
	})
}
