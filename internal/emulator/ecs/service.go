package ecs

import (
	"fmt"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// breakerThreshold is how many tasks of a deployment must fail to start before the circuit breaker makes it FAILED.
const breakerThreshold = 3

// service is guarded by the server's lock.
type service struct {
	spec        ServiceSpec
	cluster     *cluster
	name, arn   string
	created     time.Time
	desired     int
	definition  *taskDefinition
	deployments []*deployment // the newest, the PRIMARY one, first

	failNext, failRollback, hangNext bool

	events    []wireEvent // the newest first
	orders    int         // deployments that UpdateService has ordered
	refused   int         // orders, by a quirk
	before    wireService // as described before the last of them, which was at …
	orderedAt time.Time
	reads     int // of the service since
}

func (sv *service) primary() *deployment { return sv.deployments[0] }

type deployment struct {
	id               string
	status           string // PRIMARY, ACTIVE, INACTIVE
	state, reason    string // rolloutState and its reason
	definition       *taskDefinition
	created, updated time.Time
	tasks            []Task
	pending          int  // tasks that are to start
	failed           int  // tasks that did not start, or exited
	fail, rollback   bool // what is to become of it
	hang             bool
	failFirst        int  // tasks that are to fail before others run
	starting         bool // its tasks are being started just now
}

func (d *deployment) set(state, reason string) {
	d.state, d.reason, d.updated = state, reason, time.Now()
}

type wireService struct {
	ARN            string           `json:"serviceArn"`
	Name           string           `json:"serviceName"`
	Cluster        string           `json:"clusterArn"`
	Status         string           `json:"status"`
	Desired        int              `json:"desiredCount"`
	Running        int              `json:"runningCount"`
	Pending        int              `json:"pendingCount"`
	LaunchType     string           `json:"launchType"`
	TaskDefinition string           `json:"taskDefinition"`
	Configuration  deploymentConfig `json:"deploymentConfiguration"`
	Controller     *wireController  `json:"deploymentController,omitempty"`
	Deployments    []wireDeployment `json:"deployments"`
	Strategy       string           `json:"schedulingStrategy"`
	Created        *awsjson.Time    `json:"createdAt"`
	Events         []wireEvent      `json:"events"`
	LoadBalancers  []struct{}       `json:"loadBalancers"`
}

type wireEvent struct {
	ID      string        `json:"id"`
	Created *awsjson.Time `json:"createdAt"`
	Message string        `json:"message"`
}

type wireController struct {
	Type string `json:"type"`
}

type deploymentConfig struct {
	CircuitBreaker circuitBreaker `json:"deploymentCircuitBreaker"`
	Maximum        int            `json:"maximumPercent"`
	Minimum        int            `json:"minimumHealthyPercent"`
	Strategy       string         `json:"strategy,omitempty"`
}

type circuitBreaker struct {
	Enable   bool `json:"enable"`
	Rollback bool `json:"rollback"`
}

type wireDeployment struct {
	ID             string        `json:"id"`
	Status         string        `json:"status"`
	TaskDefinition string        `json:"taskDefinition"`
	Desired        int           `json:"desiredCount"`
	Pending        int           `json:"pendingCount"`
	Running        int           `json:"runningCount"`
	Failed         int           `json:"failedTasks"`
	Created        *awsjson.Time `json:"createdAt"`
	Updated        *awsjson.Time `json:"updatedAt"`
	LaunchType     string        `json:"launchType"`
	State          string        `json:"rolloutState,omitempty"`
	Reason         string        `json:"rolloutStateReason,omitempty"`
}

func (s *Server) wire(sv *service) wireService {
	out := wireService{
		ARN:            sv.arn,
		Name:           sv.name,
		Cluster:        s.arn("cluster", sv.cluster.name),
		Status:         sv.spec.Status,
		Desired:        sv.desired,
		LaunchType:     "FARGATE",
		TaskDefinition: sv.definition.arn,
		Configuration:  sv.configuration(),
		Deployments:    []wireDeployment{},
		Strategy:       "REPLICA",
		Created:        awsjson.TimeOf(sv.created),
		Events:         append([]wireEvent{}, sv.events...),
		LoadBalancers:  []struct{}{},
	}
	if sv.spec.Daemon {
		out.Strategy, out.LaunchType = "DAEMON", "EC2"
	}
	if sv.spec.DeploymentController != "" {
		out.Controller = &wireController{sv.spec.DeploymentController}
	}
	for _, d := range sv.deployments {
		out.Running += len(d.tasks)
		out.Pending += d.pending
		if !sv.rolling() {
			continue // such services have task sets instead
		}
		desired := 0
		switch {
		case d == sv.primary():
			desired = sv.desired
		case d.status == "ACTIVE":
			desired = len(d.tasks)
		}
		wire := wireDeployment{
			ID: d.id, Status: d.status, TaskDefinition: d.definition.arn,
			Desired: desired, Pending: d.pending, Running: len(d.tasks), Failed: d.failed,
			Created: awsjson.TimeOf(d.created), Updated: awsjson.TimeOf(d.updated), LaunchType: "FARGATE",
		}
		if !sv.spec.NoRolloutState {
			wire.State, wire.Reason = d.state, d.reason
		}
		out.Deployments = append(out.Deployments, wire)
	}
	s.vary(&out)
	return out
}

// rolling reports whether ECS itself deploys the service.
func (sv *service) rolling() bool {
	return sv.spec.DeploymentController == "" || sv.spec.DeploymentController == "ECS"
}

type updateInput struct {
	Cluster        string `json:"cluster"`
	Service        string `json:"service"`
	Force          bool   `json:"forceNewDeployment"`
	Desired        *int   `json:"desiredCount"`
	TaskDefinition string `json:"taskDefinition"`
}

type updateOutput struct {
	Service wireService `json:"service"`
}

func (s *Server) updateService(in *updateInput) (*updateOutput, error) {
	s.mu.Lock()
	sv, definition, err := s.checkUpdate(in)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	var stopped []Task
	if in.Desired != nil {
		stopped = s.scale(sv, *in.Desired)
	}
	if in.Force || definition != sv.definition {
		sv.before, sv.orderedAt, sv.reads = s.wire(sv), time.Now(), 0
		s.deploy(sv, definition, "")
		sv.orders++
	}
	out := &updateOutput{s.wire(sv)}
	s.mu.Unlock()
	s.stop(stopped)
	return out, nil
}

func (s *Server) checkUpdate(in *updateInput) (*service, *taskDefinition, error) {
	c, err := s.findCluster(in.Cluster)
	if err != nil {
		return nil, nil, err
	}
	if in.Service == "" {
		return nil, nil, awsjson.Errorf("InvalidParameterException", "Service cannot be empty.")
	}
	sv := s.find(c, in.Service)
	if sv == nil {
		return nil, nil, awsjson.Errorf("ServiceNotFoundException", "Service not found.")
	}
	if sv.spec.Status != "ACTIVE" {
		return nil, nil, awsjson.Errorf("ServiceNotActiveException", "Service was not ACTIVE.")
	}
	if err := s.refuses(sv); err != nil {
		return nil, nil, err
	}
	if in.Desired != nil && *in.Desired < 0 {
		return nil, nil, awsjson.Errorf("InvalidParameterException", "desiredCount cannot be negative.")
	}
	definition := sv.definition
	if in.TaskDefinition != "" {
		if definition = s.findDefinition(in.TaskDefinition); definition == nil {
			return nil, nil, awsjson.Errorf("ClientException", "TaskDefinition not found.")
		}
	}
	if !sv.rolling() {
		hint := "Use AWS CodeDeploy to trigger a new deployment."
		if sv.spec.DeploymentController == "EXTERNAL" {
			hint = "Use task sets instead."
		}
		what := ""
		switch {
		case in.Force:
			what = "Cannot force a new deployment"
		case definition != sv.definition:
			what = "Unable to update task definition"
		}
		if what != "" {
			return nil, nil, awsjson.Errorf("InvalidParameterException", "%s on services with a %s deployment controller. %s", what,
				sv.spec.DeploymentController, hint)
		}
	}
	return sv, definition, nil
}

// serviceARN is the long form of a service's ARN.
func (s *Server) serviceARN(cluster, name string) string {
	return s.arn("service", fmt.Sprintf("%s/%s", cluster, name))
}
