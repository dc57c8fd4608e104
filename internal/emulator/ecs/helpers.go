package ecs

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// The functions below are for the program that runs the server: they set it up
// and do what a person does. They panic if what they name does not exist.

// AddCluster adds a cluster and returns its ARN.
func (s *Server) AddCluster(name string) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clusters[name] = &cluster{name: name}
	return s.arn("cluster", name)
}

// RegisterTaskDefinition adds a revision to a family and returns its ARN.
func (s *Server) RegisterTaskDefinition(family string, containers ...Container) (arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	revision := 1
	if last := s.findDefinition(family); last != nil {
		revision = last.revision + 1
	}
	arn = s.arn("task-definition", fmt.Sprintf("%s:%d", family, revision))
	s.definitions = append(s.definitions, &taskDefinition{family, revision, arn, slices.Clone(containers)})
	return arn
}

// ServiceSpec describes a service to create.
type ServiceSpec struct {
	Cluster        string // name; must exist
	Name           string
	TaskDefinition string // ARN, family:revision or family
	DesiredCount   int

	Status               string // "ACTIVE" if empty; also DRAINING, INACTIVE
	DeploymentController string // ECS, CODE_DEPLOY, EXTERNAL; not described if empty, which is ECS
	CircuitBreaker       bool   // ends a deployment whose tasks fail …
	Rollback             bool   // … and rolls it back
	NoRolloutState       bool   // as behind a Classic Load Balancer
	ExitOnError          bool   // a task whose StartTask fails exits

	Daemon                                bool // a task on each instance, of which there are as many as desired tasks
	MaximumPercent, MinimumHealthyPercent *int // nil: the defaults
	Strategy                              string
}

// CreateService creates a service with its tasks already started and its first deployment completed, and returns its ARN.
func (s *Server) CreateService(spec ServiceSpec) (arn string) {
	if spec.Status == "" {
		spec.Status = "ACTIVE"
	}
	s.mu.Lock()
	c, definition := s.clusters[spec.Cluster], s.findDefinition(spec.TaskDefinition)
	if c == nil || definition == nil || spec.Name == "" || s.find(c, spec.Name) != nil {
		s.mu.Unlock()
		panic(fmt.Sprintf("ecs: cannot create service %q in cluster %q from %q", spec.Name, spec.Cluster, spec.TaskDefinition))
	}
	now := time.Now()
	d := &deployment{id: fmt.Sprintf("ecs-svc/%d", s.nextID()), status: "PRIMARY", definition: definition, created: now}
	d.set("COMPLETED", fmt.Sprintf("ECS deployment %s completed.", d.id))
	sv := &service{
		spec: spec, cluster: c, name: spec.Name, arn: s.serviceARN(c.name, spec.Name),
		created: now, desired: spec.DesiredCount, definition: definition,
		deployments: []*deployment{d},
	}
	c.services = append(c.services, sv)
	s.mu.Unlock()
	s.startTasks(sv, d)
	return sv.arn
}

// Deploy forces a new deployment, as someone else would, and returns its id.
func (s *Server) Deploy(cluster, name string) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.mustFind(cluster, name)
	return s.deploy(sv, sv.definition, "").id
}

// FailNextDeployment makes the next deployment of the service end as FAILED with none of its tasks started. With rollback, the
// circuit breaker then deploys the former task definition again.
func (s *Server) FailNextDeployment(cluster, name string, rollback bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.mustFind(cluster, name)
	sv.failNext, sv.failRollback = true, rollback
}

// HangNextDeployment makes the next deployment of the service stay IN_PROGRESS for ever, with none of its tasks started.
func (s *Server) HangNextDeployment(cluster, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustFind(cluster, name).hangNext = true
}

// ScaleTo changes the desired count of the service.
func (s *Server) ScaleTo(cluster, name string, desired int) {
	s.mu.Lock()
	stopped := s.scale(s.mustFind(cluster, name), desired)
	s.mu.Unlock()
	s.stop(stopped)
}

// Service is the state of a service at some moment.
type Service struct {
	ARN, Status      string
	TaskDefinition   string
	Desired, Running int
	Deployments      []Deployment // the newest first
	Tasks            []Task       // of all deployments
}

// Deployment is the state of a deployment.
type Deployment struct {
	ID, Status           string
	RolloutState, Reason string
	TaskDefinition       string
	Running, Failed      int
	Created, Updated     time.Time
}

// Service returns the state of the service.
func (s *Server) Service(cluster, name string) Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := s.mustFind(cluster, name)
	out := Service{ARN: sv.arn, Status: sv.spec.Status, TaskDefinition: sv.definition.arn, Desired: sv.desired}
	for _, d := range sv.deployments {
		out.Running += len(d.tasks)
		out.Deployments = append(out.Deployments, Deployment{
			ID: d.id, Status: d.status, RolloutState: d.state, Reason: d.reason, TaskDefinition: d.definition.arn,
			Running: len(d.tasks), Failed: d.failed, Created: d.created, Updated: d.updated,
		})
		for _, t := range d.tasks {
			t.Env = maps.Clone(t.Env)
			out.Tasks = append(out.Tasks, t)
		}
	}
	return out
}

func (s *Server) mustFind(cluster, name string) *service {
	c := s.clusters[cluster]
	if c == nil {
		panic(fmt.Sprintf("ecs: no cluster %q", cluster))
	}
	sv := s.find(c, name)
	if sv == nil {
		panic(fmt.Sprintf("ecs: no service %q in cluster %q", name, cluster))
	}
	return sv
}
