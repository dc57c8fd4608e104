package ecs

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// Options are the settings of a [Server]. All may be left out.
type Options struct {
	Region  string // "eu-west-1" if empty
	Account string // "123456789012" if empty

	// StartDelay passes between the order of a deployment and the start of its
	// tasks; RollDelay between their start and the stop of the older ones.
	StartDelay time.Duration
	RollDelay  time.Duration

	// SecretValue reads a secret for a task that starts. Stage and version id are those of the valueFrom, and may be empty. An error
	// keeps the task from starting.
	SecretValue func(arn, versionStage, versionID string) (string, error)

	// StartTask is called with every task that starts, and StopTask with every one that stops, at the latest in Close. An error
	// means that the runner in it could not log in: the task runs on, unless [ServiceSpec.ExitOnError]. Both may take their time and
	// may call the server.
	StartTask func(Task) error
	StopTask  func(Task)
}

// Task is a running task.
type Task struct {
	Cluster, Service string
	ARN              string
	Deployment       string            // id of the deployment that started it
	Env              map[string]string // of all its containers, secrets resolved
}

// Server is the service. It is an [http.Handler]; create it with [New].
type Server struct {
	*awsjson.Handler
	options Options

	mu          sync.Mutex
	closed      bool
	timers      map[*time.Timer]bool
	running     sync.WaitGroup // timers that are to come or run
	clusters    map[string]*cluster
	definitions []*taskDefinition
	lastID      int64           // of deployments and tasks
	played      map[string]bool // names of quirks
	hastened    int             // so many times faster are the rollouts of quirks; 0 is 1
}

type cluster struct {
	name     string
	services []*service
}

// New returns a service without clusters. It must be closed.
func New(options Options) *Server {
	options.Region = cmp.Or(options.Region, "eu-west-1")
	options.Account = cmp.Or(options.Account, "123456789012")
	s := &Server{
		Handler: awsjson.New(awsjson.Config{
			SigningName:     "ecs",
			TargetPrefix:    "AmazonEC2ContainerServiceV20141113",
			Region:          options.Region,
			ErrorMember:     "message",
			ServerError:     "ServerException",
			ResourceMembers: []string{"service", "services", "taskDefinition", "cluster"},
		}),
		options:  options,
		timers:   map[*time.Timer]bool{},
		clusters: map[string]*cluster{},
		lastID:   1000000000000000000,
		played:   map[string]bool{},
	}
	awsjson.Register(s.Handler, "ListServices", s.listServices)
	awsjson.Register(s.Handler, "DescribeServices", s.describeServices)
	awsjson.Register(s.Handler, "DescribeTaskDefinition", s.describeTaskDefinition)
	awsjson.Register(s.Handler, "UpdateService", s.updateService)
	return s
}

// Close ends all deployments where they are, waits for the tasks that are just starting, and stops all tasks.
func (s *Server) Close() {
	s.Handler.Close()
	s.mu.Lock()
	s.closed = true
	for t := range s.timers {
		if t.Stop() {
			s.running.Done()
		}
	}
	clear(s.timers)
	s.mu.Unlock()
	s.running.Wait()

	s.mu.Lock()
	var tasks []Task
	for _, c := range s.clusters {
		for _, sv := range c.services {
			for _, d := range sv.deployments {
				tasks = append(tasks, d.tasks...)
				d.tasks = nil
			}
		}
	}
	s.mu.Unlock()
	s.stop(tasks)
}

// after calls f, without the lock, when d has passed. The caller holds the lock.
func (s *Server) after(d time.Duration, f func()) {
	if s.closed {
		return
	}
	s.running.Add(1)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		defer s.running.Done()
		s.mu.Lock() // also waits until t is set
		delete(s.timers, t)
		closed := s.closed
		s.mu.Unlock()
		if !closed {
			f()
		}
	})
	s.timers[t] = true
}

func (s *Server) stop(tasks []Task) {
	if s.options.StopTask == nil {
		return
	}
	for _, t := range tasks {
		s.options.StopTask(t)
	}
}

func (s *Server) arn(kind, rest string) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:%s/%s", s.options.Region, s.options.Account, kind, rest)
}

// nextID returns a number of 19 digits, as the ids of deployments have.
func (s *Server) nextID() int64 {
	s.lastID++
	return s.lastID
}

// findCluster returns the cluster of that name or ARN.
func (s *Server) findCluster(id string) (*cluster, error) {
	if id == "" {
		id = "default"
	}
	c := s.clusters[strings.TrimPrefix(id, s.arn("cluster", ""))]
	if c == nil {
		return nil, awsjson.Errorf("ClusterNotFoundException", "Cluster not found.")
	}
	return c, nil
}

// find returns the service of that name or ARN, the long form with the cluster
// or the short one without it; nil if it is not in the cluster.
func (s *Server) find(c *cluster, id string) *service {
	name := strings.TrimPrefix(id, s.arn("service", ""))
	if name != id {
		name = strings.TrimPrefix(name, c.name+"/")
	}
	for _, sv := range c.services {
		if sv.name == name {
			return sv
		}
	}
	return nil
}
