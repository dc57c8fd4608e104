package ecs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
)

// deploy makes a new PRIMARY deployment. The reason is that of its
// IN_PROGRESS; the default one if empty. The caller holds the lock.
func (s *Server) deploy(sv *service, definition *taskDefinition, reason string) *deployment {
	now := time.Now()
	d := &deployment{
		id:         fmt.Sprintf("ecs-svc/%d", s.nextID()),
		status:     "PRIMARY",
		definition: definition,
		created:    now,
		updated:    now,
		pending:    sv.desired,
		fail:       sv.failNext,
		rollback:   sv.failRollback,
		hang:       sv.hangNext,
	}
	sv.failNext, sv.failRollback, sv.hangNext = false, false, false
	if reason == "" {
		reason = fmt.Sprintf("ECS deployment %s in progress.", d.id)
	}
	d.set("IN_PROGRESS", reason)
	for _, old := range sv.deployments {
		if old.status == "PRIMARY" {
			// Its tasks run on until the new ones do, but it starts no more.
			old.status, old.pending = "ACTIVE", 0
		}
	}
	sv.definition = definition
	sv.deployments = append([]*deployment{d}, sv.deployments...)
	d.failFirst = s.failFirst(sv)
	if !sv.movable() {
		d.hang = true
		sv.event("(service %s) was unable to stop or start tasks during a deployment because of the service deployment configuration. "+
			"Update the minimumHealthyPercent or maximumPercent value and try again.", sv.name)
	}
	if !d.hang {
		s.after(s.startDelay(), func() { s.startTasks(sv, d) })
	}
	return d
}

// movable reports whether ECS may start a task of a new deployment, or stop one of the old.
func (sv *service) movable() bool {
	config := sv.configuration()
	return sv.desired == 0 || sv.desired*config.Maximum/100 > sv.desired || (sv.desired*config.Minimum+99)/100 < sv.desired
}

// configuration is how the service is deployed, with the defaults of its scheduling strategy.
func (sv *service) configuration() deploymentConfig {
	config := deploymentConfig{
		CircuitBreaker: circuitBreaker{sv.spec.CircuitBreaker, sv.spec.Rollback}, Maximum: 200, Minimum: 100, Strategy: sv.spec.Strategy,
	}
	if sv.spec.Daemon {
		config.Maximum, config.Minimum = 100, 0
	}
	if sv.spec.MaximumPercent != nil {
		config.Maximum = *sv.spec.MaximumPercent
	}
	if sv.spec.MinimumHealthyPercent != nil {
		config.Minimum = *sv.spec.MinimumHealthyPercent
	}
	return config
}

// event adds an event of the service.
func (sv *service) event(format string, args ...any) {
	event := wireEvent{ID: awsjson.NewID(), Created: awsjson.TimeOf(time.Now()), Message: fmt.Sprintf(format, args...)}
	sv.events = append([]wireEvent{event}, sv.events...)
	sv.events = sv.events[:min(len(sv.events), maxEvents)]
}

// maxEvents is how many are described, the newest first.
const maxEvents = 100

// startTasks starts the tasks that the deployment lacks, and rolls it over if they run.
func (s *Server) startTasks(sv *service, d *deployment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.starting {
		return // whoever starts them sees a desired count that was changed
	}
	d.starting = true
	defer func() { d.starting = false }()

	for d == sv.primary() && len(d.tasks) < sv.desired && !d.fail && !s.closed {
		if d.failFirst > 0 {
			d.failFirst--
			d.failed++
			sv.event("(service %s) was unable to place a task. Reason: the image could not be pulled.", sv.name)
			s.after(max(s.startDelay(), time.Millisecond), func() { s.startTasks(sv, d) })
			return
		}
		task := Task{
			Cluster:    sv.cluster.name,
			Service:    sv.name,
			ARN:        s.arn("task", fmt.Sprintf("%s/%032x", sv.cluster.name, s.nextID())),
			Deployment: d.id,
		}
		s.mu.Unlock()
		err := s.startTask(sv, d, &task)
		s.mu.Lock()

		if err != nil {
			d.failed++
			if s.taskFailed(sv, d) {
				continue
			}
			return
		}
		// Superseded and replaced meanwhile, or scaled down.
		if d.status == "INACTIVE" || len(d.tasks) >= sv.desired {
			s.mu.Unlock()
			s.stop([]Task{task})
			s.mu.Lock()
			continue
		}
		d.tasks = append(d.tasks, task)
		sv.event("(service %s) has started 1 tasks: (task %s).", sv.name, task.ARN[len(task.ARN)-32:])
		d.pending = max(0, d.pending-1)
	}
	d.pending = 0
	if d == sv.primary() && d.state == "IN_PROGRESS" {
		s.after(s.rollDelay(), func() { s.roll(sv, d) })
	}
}

// startTask starts one task, without the lock.
func (s *Server) startTask(sv *service, d *deployment, task *Task) error {
	env, err := s.environment(d.definition)
	if err != nil {
		return err
	}
	task.Env = env
	if s.options.StartTask == nil {
		return nil
	}
	handed := *task
	handed.Env = maps.Clone(env) // the receiver's own
	err = s.options.StartTask(handed)
	if err != nil && sv.spec.ExitOnError {
		s.stop([]Task{handed})
		return err
	}
	return nil
}

// taskFailed decides what follows a task that did not start, and says whether the caller tries the next one at once. ECS tries
// again, later and later; the circuit breaker ends that. The caller holds the lock.
func (s *Server) taskFailed(sv *service, d *deployment) (again bool) {
	if d != sv.primary() || d.state == "FAILED" || s.closed {
		d.pending = 0
		return false
	}
	if d.state == "IN_PROGRESS" && sv.spec.CircuitBreaker {
		if d.failed < breakerThreshold {
			return true
		}
		s.breakCircuit(sv, d, sv.spec.Rollback)
		return false
	}
	delay := max(s.startDelay(), time.Millisecond) << min(d.failed, 10)
	s.after(delay, func() { s.startTasks(sv, d) })
	return false
}

// roll ends a deployment whose tasks were started: the older ones stop.
func (s *Server) roll(sv *service, d *deployment) {
	s.mu.Lock()
	if d != sv.primary() || d.state != "IN_PROGRESS" {
		s.mu.Unlock()
		return
	}
	if d.fail {
		d.failed = max(breakerThreshold, sv.desired)
		s.breakCircuit(sv, d, d.rollback)
		s.mu.Unlock()
		return
	}
	var stopped []Task
	for _, old := range sv.deployments {
		if old == d || old.status == "INACTIVE" {
			continue
		}
		stopped = append(stopped, old.tasks...)
		old.status, old.tasks, old.pending, old.updated = "INACTIVE", nil, 0, time.Now()
		// A replaced deployment is described for a while, then no more.
		s.after(s.rollDelay(), func() { s.forget(sv, old) })
	}
	d.set("COMPLETED", fmt.Sprintf("ECS deployment %s completed.", d.id))
	sv.event("(service %s) has reached a steady state.", sv.name)
	s.mu.Unlock()
	s.stop(stopped)
}

// breakCircuit makes the deployment FAILED. Its tasks and those before it stay
// as they are, until a rollback, if there is one, replaces them.
func (s *Server) breakCircuit(sv *service, d *deployment, rollback bool) {
	d.pending = 0
	d.set("FAILED", "ECS deployment circuit breaker: tasks failed to start.")
	sv.event("(service %s) (deployment %s) deployment failed: tasks failed to start.", sv.name, d.id)
	if !rollback {
		return
	}
	for _, old := range sv.deployments {
		if old != d && old.state == "COMPLETED" {
			s.deploy(sv, old.definition, "ECS deployment circuit breaker: rolling back to deploymentId "+old.id+".")
			return
		}
	}
}

func (s *Server) forget(sv *service, d *deployment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv.deployments = slices.DeleteFunc(sv.deployments, func(other *deployment) bool { return other == d })
}

// scale changes the desired count and returns the tasks to stop. The caller holds the lock.
func (s *Server) scale(sv *service, n int) (stopped []Task) {
	sv.desired = n
	for _, d := range sv.deployments {
		if extra := len(d.tasks) - n; extra > 0 {
			stopped = append(stopped, d.tasks[n:]...)
			d.tasks = d.tasks[:n:n]
		}
	}
	d := sv.primary()
	if d.pending = max(0, n-len(d.tasks)); d.pending > 0 && !d.hang && d.state != "FAILED" {
		s.after(s.startDelay(), func() { s.startTasks(sv, d) })
	}
	return stopped
}
