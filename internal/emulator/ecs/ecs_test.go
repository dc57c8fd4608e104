package ecs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awstest"
	"github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
)

const (
	secretARN  = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:runner-AbCdEf"
	startDelay = 10 * time.Second
	rollDelay  = time.Minute
)

// world is a server with a cluster and a task definition, a client of it, and what its tasks see.
type world struct {
	*ecs.Server
	client     *sdk.Client
	definition string // ARN

	mu      sync.Mutex
	secret  string   // the value of secretARN
	refused string   // the secret that no runner can log in with
	log     []string // "start SECRET", "stop SECRET"
}

// inBubble runs the test with a server whose delays are startDelay and rollDelay.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ecs.Options{StartDelay: startDelay, RollDelay: rollDelay})
		test(t, w)
	})
}

func newWorld(t *testing.T, options ecs.Options) *world {
	w := &world{secret: "v1"}
	options.SecretValue = func(arn, stage, id string) (string, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if arn != secretARN {
			return "", fmt.Errorf("no secret %s", arn)
		}
		return fmt.Sprintf(`{"client_secret":"%s","stage":"%s","id":"%s","number":1}`, w.secret, stage, id), nil
	}
	options.StartTask = func(task ecs.Task) error { return w.task("start", task) }
	options.StopTask = func(task ecs.Task) { _ = w.task("stop", task) }
	w.Server = ecs.New(options)
	t.Cleanup(w.Close)
	w.AddCluster("runners")
	w.definition = w.RegisterTaskDefinition("runner", ecs.Container{
		Name:        "runner",
		Environment: map[string]string{"AGENT_ID": "agent", "MATILLION_REGION": "eu1"},
		Secrets:     map[string]string{"OAUTH_CLIENT_SECRET": secretARN + ":client_secret::"},
	})
	w.client = sdk.NewFromConfig(awstest.Config("eu-west-1", w.Server))
	return w
}

func (w *world) task(what string, task ecs.Task) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	secret := task.Env["OAUTH_CLIENT_SECRET"]
	w.log = append(w.log, what+" "+secret)
	if secret != "" && secret == w.refused {
		return errors.New("log-in refused")
	}
	return nil
}

func (w *world) set(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secret = secret
}

func (w *world) refuse(secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = secret
}

// took returns the log since it was last asked for.
func (w *world) took() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.log = nil }()
	return strings.Join(w.log, ", ")
}

// create creates the service "runner" with one task.
func (w *world) create(edit func(*ecs.ServiceSpec)) string {
	spec := ecs.ServiceSpec{Cluster: "runners", Name: "runner", TaskDefinition: w.definition, DesiredCount: 1}
	if edit != nil {
		edit(&spec)
	}
	return w.CreateService(spec)
}

func (w *world) describe(t *testing.T) types.Service {
	t.Helper()
	out, err := w.client.DescribeServices(t.Context(),
		&sdk.DescribeServicesInput{Cluster: aws.String("runners"), Services: []string{"runner"}})
	if err != nil || len(out.Services) != 1 || len(out.Failures) != 0 {
		t.Fatalf("%+v, %v", out, err)
	}
	return out.Services[0]
}

func (w *world) update(t *testing.T) (types.Service, error) {
	t.Helper()
	out, err := w.client.UpdateService(t.Context(), &sdk.UpdateServiceInput{
		Cluster: aws.String("runners"), Service: aws.String("runner"), ForceNewDeployment: true,
	})
	if err != nil {
		return types.Service{}, err
	}
	return *out.Service, nil
}

func (w *world) mustUpdate(t *testing.T) types.Service {
	t.Helper()
	service, err := w.update(t)
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// deployments writes those of a service as "STATUS/STATE desired/pending/running".
func deployments(s types.Service) string {
	var all []string
	for _, d := range s.Deployments {
		all = append(all, fmt.Sprintf("%s/%s %d/%d/%d", *d.Status, d.RolloutState, d.DesiredCount, d.PendingCount, d.RunningCount))
	}
	return strings.Join(all, ", ")
}

func (w *world) want(t *testing.T, want string) {
	t.Helper()
	if got := deployments(w.describe(t)); got != want {
		t.Errorf("deployments %q, want %q", got, want)
	}
}

// pass lets time pass, in which what is due happens.
func pass(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestDescribeServices(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	arn := w.create(func(s *ecs.ServiceSpec) { s.DeploymentController, s.CircuitBreaker, s.Rollback = "ECS", true, true })
	clusterARN := "arn:aws:ecs:eu-west-1:123456789012:cluster/runners"
	if w.AddCluster("other") != "arn:aws:ecs:eu-west-1:123456789012:cluster/other" {
		t.Error("the cluster's ARN")
	}
	s := w.describe(t)
	if *s.ServiceArn != arn || arn != "arn:aws:ecs:eu-west-1:123456789012:service/runners/runner" || *s.ClusterArn != clusterARN ||
		*s.Status != "ACTIVE" || s.DesiredCount != 1 || s.RunningCount != 1 || s.PendingCount != 0 ||
		*s.TaskDefinition != w.definition || s.DeploymentController.Type != types.DeploymentControllerTypeEcs ||
		!s.DeploymentConfiguration.DeploymentCircuitBreaker.Rollback || s.CreatedAt == nil {
		t.Errorf("service %+v", s)
	}
	d := s.Deployments[0]
	if len(s.Deployments) != 1 || !strings.HasPrefix(*d.Id, "ecs-svc/") || len(*d.Id) != len("ecs-svc/")+19 || *d.Status != "PRIMARY" ||
		d.RolloutState != types.DeploymentRolloutStateCompleted || *d.RolloutStateReason != "ECS deployment "+*d.Id+" completed." ||
		*d.TaskDefinition != w.definition || d.CreatedAt == nil || d.UpdatedAt == nil || d.RunningCount != 1 {
		t.Errorf("deployment %+v", d)
	}

	missing := "arn:aws:ecs:eu-west-1:123456789012:service/runners/absent"
	for _, test := range []struct {
		name, cluster, service string
		missing                string // its ARN in failures
		code                   string
	}{
		{"names", "runners", "runner", "", ""},
		{"ARN of the cluster", clusterARN, "runner", "", ""},
		{"long ARN", "runners", arn, "", ""},
		{"short ARN", "runners", "arn:aws:ecs:eu-west-1:123456789012:service/runner", "", ""},
		{"missing", "runners", "absent", missing, ""},
		{"missing ARN", "runners", missing, missing, ""},
		{"in another cluster", "other", "runner", "arn:aws:ecs:eu-west-1:123456789012:service/other/runner", ""},
		{"ARN in another cluster", "other", arn, arn, ""},
		{"name with cluster", "runners", "runners/runner", "arn:aws:ecs:eu-west-1:123456789012:service/runners/runners/runner", ""},
		{"no cluster", "absent", "runner", "", "ClusterNotFoundException"},
		{"default cluster", "", "runner", "", "ClusterNotFoundException"},
	} {
		in := &sdk.DescribeServicesInput{Services: []string{test.service}}
		if test.cluster != "" {
			in.Cluster = &test.cluster
		}
		out, err := w.client.DescribeServices(t.Context(), in)
		awstest.WantError(t, err, test.code, "")
		if err != nil {
			continue
		}
		if test.missing == "" && (len(out.Services) != 1 || len(out.Failures) != 0) {
			t.Errorf("%s: %+v", test.name, out)
		}
		if test.missing != "" && (len(out.Services) != 0 || *out.Failures[0].Arn != test.missing || *out.Failures[0].Reason != "MISSING") {
			t.Errorf("%s: %+v", test.name, out)
		}
	}
	for _, n := range []int{0, 11} {
		_, err := w.client.DescribeServices(t.Context(),
			&sdk.DescribeServicesInput{Cluster: aws.String("runners"), Services: slices.Repeat([]string{"runner"}, n)})
		awstest.WantError(t, err, "InvalidParameterException", "")
	}
}

func TestDescribeTaskDefinition(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	second := w.RegisterTaskDefinition("runner", ecs.Container{Name: "plain"})
	if w.definition != "arn:aws:ecs:eu-west-1:123456789012:task-definition/runner:1" || !strings.HasSuffix(second, "/runner:2") {
		t.Errorf("ARNs %s, %s", w.definition, second)
	}
	for id, want := range map[string]string{
		w.definition: w.definition, "runner:1": w.definition, "runner": second, "runner:2": second,
		"runner:3": "", "absent": "", strings.Replace(w.definition, "eu-west-1", "us-east-1", 1): "",
	} {
		out, err := w.client.DescribeTaskDefinition(t.Context(), &sdk.DescribeTaskDefinitionInput{TaskDefinition: &id})
		if want == "" {
			awstest.WantError(t, err, "ClientException", "Unable to describe task definition.")
			continue
		}
		awstest.WantError(t, err, "", "")
		if *out.TaskDefinition.TaskDefinitionArn != want {
			t.Errorf("%s is %s", id, *out.TaskDefinition.TaskDefinitionArn)
		}
	}
	out, err := w.client.DescribeTaskDefinition(t.Context(),
		&sdk.DescribeTaskDefinitionInput{TaskDefinition: aws.String("runner:1"), Include: []types.TaskDefinitionField{"TAGS"}})
	awstest.WantError(t, err, "", "")
	d := out.TaskDefinition
	c := d.ContainerDefinitions[0]
	if *d.Family != "runner" || d.Revision != 1 || d.Status != types.TaskDefinitionStatusActive || *c.Name != "runner" ||
		*c.Environment[0].Name != "AGENT_ID" || *c.Environment[0].Value != "agent" || *c.Environment[1].Name != "MATILLION_REGION" ||
		*c.Secrets[0].Name != "OAUTH_CLIENT_SECRET" || *c.Secrets[0].ValueFrom != secretARN+":client_secret::" {
		t.Errorf("task definition %+v", d)
	}
}

func TestListServices(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	var want []string
	for i := range 12 {
		want = append(want, w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: fmt.Sprint("service", i), TaskDefinition: "runner"}))
	}
	for _, size := range []*int32{nil, aws.Int32(1), aws.Int32(12), aws.Int32(100)} {
		var got []string
		pages := sdk.NewListServicesPaginator(w.client, &sdk.ListServicesInput{Cluster: aws.String("runners"), MaxResults: size})
		first := true
		for pages.HasMorePages() {
			page, err := pages.NextPage(t.Context())
			awstest.WantError(t, err, "", "")
			if size == nil && first && len(page.ServiceArns) != 10 {
				t.Errorf("a first page of %d", len(page.ServiceArns))
			}
			first = false
			got = append(got, page.ServiceArns...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	}
	for _, in := range []*sdk.ListServicesInput{{MaxResults: aws.Int32(0)}, {MaxResults: aws.Int32(101)}, {NextToken: aws.String("x")}} {
		in.Cluster = aws.String("runners")
		_, err := w.client.ListServices(t.Context(), in)
		awstest.WantError(t, err, "InvalidParameterException", "")
	}
	_, err := w.client.ListServices(t.Context(), &sdk.ListServicesInput{})
	awstest.WantError(t, err, "ClusterNotFoundException", "Cluster not found.")
}

func TestDeployment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		if got := w.took(); got != "start v1" {
			t.Errorf("created: %s", got)
		}
		old := *w.describe(t).Deployments[0].Id
		pass(time.Second)

		begin := time.Now()
		s := w.mustUpdate(t)
		d := s.Deployments[0]
		if *d.Id == old || *d.Status != "PRIMARY" || !d.CreatedAt.Equal(begin) || *s.Deployments[1].Id != old {
			t.Errorf("deployment %+v", d)
		}
		const inProgress = "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1"
		if got := deployments(s); got != inProgress || s.PendingCount != 1 || s.RunningCount != 1 {
			t.Errorf("answered %q, %+v", got, s)
		}
		w.set("v2") // the tasks read it when they start, not before
		pass(startDelay - 1)
		w.want(t, inProgress)
		if got := w.took(); got != "" {
			t.Errorf("too early: %s", got)
		}
		pass(1)
		w.set("v3")
		w.want(t, "PRIMARY/IN_PROGRESS 1/0/1, ACTIVE/COMPLETED 1/0/1")
		if got := w.took(); got != "start v2" {
			t.Errorf("started: %s", got)
		}
		pass(rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/COMPLETED 0/0/0")
		if got := w.took(); got != "stop v1" {
			t.Errorf("rolled: %s", got)
		}
		done := w.describe(t).Deployments[0]
		if *done.Id != *d.Id || !done.UpdatedAt.Equal(begin.Add(startDelay+rollDelay)) || !done.CreatedAt.Equal(begin) {
			t.Errorf("deployment %+v", done)
		}
		pass(rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1") // the old one is forgotten

		snapshot := w.Service("runners", "runner")
		task := snapshot.Tasks[0]
		if snapshot.Running != 1 || len(snapshot.Tasks) != 1 || task.Deployment != *d.Id || task.Service != "runner" ||
			task.Cluster != "runners" ||
			task.Env["OAUTH_CLIENT_SECRET"] != "v2" || task.Env["AGENT_ID"] != "agent" || !strings.Contains(task.ARN, ":task/runners/") {
			t.Errorf("snapshot %+v", snapshot)
		}
		w.Close()
		if got := w.took(); got != "stop v2" {
			t.Errorf("closed: %s", got)
		}
	})
}

func TestDeploymentSupersedesAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.mustUpdate(t)
		pass(startDelay) // its tasks run, and so do the old ones
		w.Deploy("runners", "runner")
		w.Deploy("runners", "runner") // the one before it never starts a task
		w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/IN_PROGRESS 0/0/0, ACTIVE/IN_PROGRESS 1/0/1, ACTIVE/COMPLETED 1/0/1")
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/IN_PROGRESS 0/0/0, INACTIVE/IN_PROGRESS 0/0/0, INACTIVE/COMPLETED 0/0/0")
		if got := w.took(); got != "start v1, start v1, start v1, stop v1, stop v1" {
			t.Error(got)
		}
	})
}

func TestUpdateServiceIsChecked(t *testing.T) {
	w := newWorld(t, ecs.Options{StartDelay: time.Hour})
	w.create(nil)
	w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "draining", TaskDefinition: "runner", Status: "DRAINING"})
	w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "codedeploy", TaskDefinition: "runner", DeploymentController: "CODE_DEPLOY"})
	w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "external", TaskDefinition: "runner", DeploymentController: "EXTERNAL"})
	for name, test := range map[string]struct {
		in          sdk.UpdateServiceInput
		code, words string
	}{
		"no cluster": {sdk.UpdateServiceInput{Cluster: aws.String("absent"), Service: aws.String("runner")}, "ClusterNotFoundException",
			"Cluster not found."},
		"no service": {sdk.UpdateServiceInput{Service: aws.String("absent")}, "ServiceNotFoundException", "Service not found."},
		"no name":    {sdk.UpdateServiceInput{Service: aws.String("")}, "InvalidParameterException", ""},
		"draining":   {sdk.UpdateServiceInput{Service: aws.String("draining")}, "ServiceNotActiveException", ""},
		"CodeDeploy": {sdk.UpdateServiceInput{Service: aws.String("codedeploy"), ForceNewDeployment: true}, "InvalidParameterException",
			"Cannot force a new deployment on services with a CODE_DEPLOY deployment controller."},
		"external": {sdk.UpdateServiceInput{Service: aws.String("external"), ForceNewDeployment: true}, "InvalidParameterException",
			"Cannot force a new deployment on services with a EXTERNAL deployment controller."},
		"no task definition": {sdk.UpdateServiceInput{Service: aws.String("runner"), TaskDefinition: aws.String("runner:9")}, "ClientException",
			"TaskDefinition not found."},
		"negative count": {sdk.UpdateServiceInput{Service: aws.String("runner"), DesiredCount: aws.Int32(-1)}, "InvalidParameterException",
			"desiredCount"},
		"not emulated": {sdk.UpdateServiceInput{Service: aws.String("runner"), PlatformVersion: aws.String("LATEST")}, "ValidationException",
			"platformVersion"},
		"nothing": {sdk.UpdateServiceInput{Service: aws.String("runner")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if test.in.Cluster == nil {
				test.in.Cluster = aws.String("runners")
			}
			_, err := w.client.UpdateService(t.Context(), &test.in)
			awstest.WantError(t, err, test.code, test.words)
			w.want(t, "PRIMARY/COMPLETED 1/0/1") // no deployment
		})
	}
	w.RegisterTaskDefinition("runner", ecs.Container{Name: "plain"})
	_, err := w.client.UpdateService(t.Context(),
		&sdk.UpdateServiceInput{Cluster: aws.String("runners"), Service: aws.String("codedeploy"), TaskDefinition: aws.String("runner")})
	awstest.WantError(t, err, "InvalidParameterException", "Unable to update task definition")
	out, err := w.client.UpdateService(t.Context(),
		&sdk.UpdateServiceInput{Cluster: aws.String("runners"), Service: aws.String("runner"), TaskDefinition: aws.String("runner")})
	awstest.WantError(t, err, "", "")
	if !strings.HasSuffix(*out.Service.TaskDefinition, "runner:2") || len(out.Service.Deployments) != 2 ||
		*out.Service.Deployments[1].TaskDefinition != w.definition {
		t.Errorf("service %+v", out.Service)
	}
}

func TestOtherControllersHaveNoDeployments(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	w.create(func(s *ecs.ServiceSpec) { s.DeploymentController = "CODE_DEPLOY" })
	s := w.describe(t)
	if s.DeploymentController.Type != types.DeploymentControllerTypeCodeDeploy || len(s.Deployments) != 0 || s.RunningCount != 1 {
		t.Errorf("service %+v", s)
	}
}

func TestNoRolloutState(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	w.create(func(s *ecs.ServiceSpec) { s.NoRolloutState = true })
	s := w.describe(t)
	if d := s.Deployments[0]; d.RolloutState != "" || d.RolloutStateReason != nil || s.DeploymentController != nil {
		t.Errorf("service %+v", s)
	}
}

func TestFailedDeployment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.FailNextDeployment("runners", "runner", false)
		w.mustUpdate(t)
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/FAILED 1/0/0, ACTIVE/COMPLETED 1/0/1")
		d := w.describe(t).Deployments[0]
		if !strings.Contains(*d.RolloutStateReason, "tasks failed to start") || d.FailedTasks != 3 {
			t.Errorf("deployment %+v", d)
		}
		pass(time.Hour)
		w.want(t, "PRIMARY/FAILED 1/0/0, ACTIVE/COMPLETED 1/0/1")

		w.mustUpdate(t) // only the next one fails
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/FAILED 0/0/0, INACTIVE/COMPLETED 0/0/0")
		if got := w.took(); got != "start v1, start v1, stop v1" {
			t.Error(got)
		}
	})
}

func TestRolledBackDeployment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.FailNextDeployment("runners", "runner", true)
		w.RegisterTaskDefinition("runner", ecs.Container{Name: "plain"})
		out, err := w.client.UpdateService(t.Context(),
			&sdk.UpdateServiceInput{Cluster: aws.String("runners"), Service: aws.String("runner"), TaskDefinition: aws.String("runner:2")})
		awstest.WantError(t, err, "", "")
		failed, former := *out.Service.Deployments[0].Id, *out.Service.Deployments[1].Id
		w.set("v2")
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/FAILED 0/0/0, ACTIVE/COMPLETED 1/0/1")
		s := w.describe(t)
		if d := s.Deployments[0]; *d.TaskDefinition != w.definition || *d.RolloutStateReason != "ECS deployment circuit breaker: rolling back "+
			"to deploymentId "+former+"." || *s.Deployments[1].Id != failed || *s.TaskDefinition != w.definition {
			t.Errorf("service %+v", s)
		}
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/FAILED 0/0/0, INACTIVE/COMPLETED 0/0/0")
		// The rollback's task reads the present value, too.
		if got := w.took(); got != "start v1, start v2, stop v1" {
			t.Error(got)
		}
	})
}

func TestHangingDeployment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.HangNextDeployment("runners", "runner")
		w.Deploy("runners", "runner")
		pass(24 * time.Hour)
		w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1")
		w.mustUpdate(t)
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/IN_PROGRESS 0/0/0, INACTIVE/COMPLETED 0/0/0")
	})
}

// A runner that cannot log in is a running container all the same.
func TestRefusedRunnerStillRuns(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.refuse("v1")
		w.mustUpdate(t)
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/COMPLETED 0/0/0")
		if got := w.took(); got != "start v1, start v1, stop v1" {
			t.Error(got)
		}
	})
}

func TestExitOnErrorWithoutCircuitBreaker(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(func(s *ecs.ServiceSpec) { s.ExitOnError = true })
		w.refuse("v1")
		w.mustUpdate(t)
		pass(startDelay)
		w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/COMPLETED 1/0/1")
		if got := w.took(); got != "start v1, start v1, stop v1" {
			t.Error(got)
		}
		pass(2 * startDelay) // ECS tries again, later
		pass(4 * startDelay) // and later
		if got := w.took(); got != "start v1, stop v1, start v1, stop v1" {
			t.Error(got)
		}
		if d := w.describe(t).Deployments[0]; d.FailedTasks != 3 {
			t.Errorf("deployment %+v", d)
		}
		w.set("v2")
		pass(8*startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/COMPLETED 0/0/0")
	})
}

func TestCircuitBreaker(t *testing.T) {
	for _, rollback := range []bool{false, true} {
		t.Run(fmt.Sprintf("rollback=%t", rollback), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.create(func(s *ecs.ServiceSpec) { s.ExitOnError, s.CircuitBreaker, s.Rollback = true, true, rollback })
				w.refuse("v1")
				w.mustUpdate(t)
				pass(startDelay)
				if !rollback {
					w.want(t, "PRIMARY/FAILED 1/0/0, ACTIVE/COMPLETED 1/0/1")
					return
				}
				w.want(t, "PRIMARY/IN_PROGRESS 1/1/0, ACTIVE/FAILED 0/0/0, ACTIVE/COMPLETED 1/0/1")
				w.set("v2")
				pass(startDelay + rollDelay)
				w.want(t, "PRIMARY/COMPLETED 1/0/1, INACTIVE/FAILED 0/0/0, INACTIVE/COMPLETED 0/0/0")
			})
		})
	}
}

func TestScaling(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.ScaleTo("runners", "runner", 3)
		w.want(t, "PRIMARY/COMPLETED 3/2/1")
		pass(startDelay)
		w.want(t, "PRIMARY/COMPLETED 3/0/3")
		_, err := w.client.UpdateService(t.Context(),
			&sdk.UpdateServiceInput{Cluster: aws.String("runners"), Service: aws.String("runner"), DesiredCount: aws.Int32(1)})
		awstest.WantError(t, err, "", "")
		w.want(t, "PRIMARY/COMPLETED 1/0/1")
		w.ScaleTo("runners", "runner", 0)
		w.want(t, "PRIMARY/COMPLETED 0/0/0")
		if got := w.took(); got != "start v1, start v1, start v1, stop v1, stop v1, stop v1" {
			t.Error(got)
		}
		// A deployment of nothing is completed, too.
		w.mustUpdate(t)
		w.want(t, "PRIMARY/IN_PROGRESS 0/0/0, ACTIVE/COMPLETED 0/0/0")
		pass(startDelay + rollDelay)
		w.want(t, "PRIMARY/COMPLETED 0/0/0, INACTIVE/COMPLETED 0/0/0")
	})
}

func TestScalingDuringADeployment(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.mustUpdate(t)
		pass(startDelay)
		w.ScaleTo("runners", "runner", 2)
		pass(startDelay)
		w.want(t, "PRIMARY/IN_PROGRESS 2/0/2, ACTIVE/COMPLETED 1/0/1")
		pass(rollDelay)
		w.want(t, "PRIMARY/COMPLETED 2/0/2, INACTIVE/COMPLETED 0/0/0")
	})
}

func TestTaskThatStartsTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		var stopped int
		server := ecs.New(ecs.Options{
			StartTask: func(ecs.Task) error { <-slow; return nil },
			StopTask:  func(ecs.Task) { stopped++ },
		})
		defer server.Close()
		server.AddCluster("runners")
		server.RegisterTaskDefinition("runner", ecs.Container{Name: "runner"})
		server.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "runner", TaskDefinition: "runner"})
		server.ScaleTo("runners", "runner", 1)
		synctest.Wait() // the task is starting
		server.ScaleTo("runners", "runner", 0)
		close(slow)
		synctest.Wait()
		if s := server.Service("runners", "runner"); s.Running != 0 || stopped != 1 {
			t.Errorf("snapshot %+v, %d stopped", s, stopped)
		}
	})
}

func TestValueFrom(t *testing.T) {
	for from, want := range map[string]string{ // "" is a task that does not start
		secretARN:                              `{"client_secret":"v1","stage":"","id":"","number":1}`,
		secretARN + ":client_secret::":         "v1",
		secretARN + ":number::":                "1",
		secretARN + ":stage:AWSPREVIOUS:":      "AWSPREVIOUS",
		secretARN + ":id::version":             "version",
		secretARN + "::AWSPENDING:":            `{"client_secret":"v1","stage":"AWSPENDING","id":"","number":1}`,
		secretARN + ":absent::":                "",
		strings.Replace(secretARN, "r", "", 1): "",
		"/parameter":                           "",
	} {
		t.Run(from, func(t *testing.T) {
			w := newWorld(t, ecs.Options{StartDelay: time.Hour})
			w.RegisterTaskDefinition("value", ecs.Container{Secrets: map[string]string{"VALUE": from}})
			w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "runner", TaskDefinition: "value", DesiredCount: 1})
			tasks := w.Service("runners", "runner").Tasks
			if want == "" {
				if len(tasks) != 0 || w.took() != "" {
					t.Errorf("tasks %+v", tasks)
				}
			} else if len(tasks) != 1 || tasks[0].Env["VALUE"] != want {
				t.Errorf("tasks %+v, want %s", tasks, want)
			}
		})
	}
}

func TestSecretThatIsNoJSON(t *testing.T) {
	for _, value := range []func(string, string, string) (string, error){
		nil,
		func(string, string, string) (string, error) { return "plain", nil },
	} {
		server := ecs.New(ecs.Options{SecretValue: value, StartDelay: time.Hour})
		server.AddCluster("runners")
		server.RegisterTaskDefinition("runner", ecs.Container{Secrets: map[string]string{"VALUE": secretARN + ":key::"}})
		server.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "runner", TaskDefinition: "runner", DesiredCount: 1})
		if s := server.Service("runners", "runner"); s.Running != 0 || s.Deployments[0].Failed != 1 {
			t.Errorf("snapshot %+v", s)
		}
		server.Close()
	}
}

func TestCloseEndsDeployments(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(nil)
		w.mustUpdate(t)
		begin := time.Now()
		w.Close()
		w.Deploy("runners", "runner") // starts nothing
		if got := w.took(); got != "start v1, stop v1" || time.Since(begin) != 0 {
			t.Errorf("%s after %s", got, time.Since(begin))
		}
	})
}

func TestMisuse(t *testing.T) {
	w := newWorld(t, ecs.Options{})
	for name, misuse := range map[string]func(){
		"unknown cluster":    func() { w.Service("absent", "runner") },
		"unknown service":    func() { w.Service("runners", "absent") },
		"unknown definition": func() { w.CreateService(ecs.ServiceSpec{Cluster: "runners", Name: "x", TaskDefinition: "absent"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}
