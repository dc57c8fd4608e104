package ecs

import (
	"fmt"
	"slices"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
)

const (
	pageDeployment = "ECS documentation, DeploymentConfiguration"
	slowRollouts   = "sil-org/ecs-deploy 235, fabfuel/ecs-deploy 24 and 209, kayac/ecspresso 1063"
	laggingReads   = "aws/aws-cli 9275"
	undocumented   = "not documented"
)

// Quirks are the ways in which ECS may behave that [Server.Play] knows. Those that are about a service hold for every one.
func Quirks() []quirk.Quirk {
	const cannotMove, strategy = "can never be restarted", "has the deployment strategy"
	return []quirk.Quirk{
		{Name: "rollout-1s", Behaviour: "a rollout takes a second", Source: undocumented},
		{Name: "rollout-9m", Behaviour: "tasks start after 3 minutes, and old ones stop 6 minutes later", Source: slowRollouts},
		{Name: "rollout-60m", Behaviour: "tasks start after 20 minutes, and old ones stop 40 minutes later", Source: slowRollouts},
		{Name: "protected-tasks", Behaviour: "old tasks run on for two hours by scale-in protection",
			Source: "ECS documentation, task scale-in protection"},
		{Name: "lag-5s", Behaviour: "DescribeServices shows the service as before UpdateService for 5 s", Source: laggingReads},
		{Name: "lag-30s", Behaviour: "the same for 30 s", Source: laggingReads},
		{Name: "lag-back", Behaviour: "the new deployment shows, then once more the service as before, then the new one", Source: undocumented},
		{Name: "cannot-move", Behaviour: "maximumPercent 100 and minimumHealthyPercent 100: no deployment moves",
			Source: "aws/containers-roadmap 333 and 485", Refused: cannotMove},
		{Name: "cannot-move-daemon", Behaviour: "a daemon service with minimumHealthyPercent 100", Source: pageDeployment, Refused: cannotMove},
		{Name: "blue-green", Behaviour: "the strategy is BLUE_GREEN, with old tasks kept while it bakes", Source: pageDeployment,
			Refused: strategy},
		{Name: "canary", Behaviour: "the strategy is CANARY", Source: pageDeployment, Refused: strategy},
		{Name: "short-of-tasks", Behaviour: "rolloutState stays COMPLETED while a task that is wanted does not run",
			Source: "ECS documentation, rolloutState", Refused: "failed, deployment"},
		{Name: "tasks-fail-first", Behaviour: "the first two tasks of each deployment fail, then others run", Source: undocumented},
		{Name: "breaker-once", Behaviour: "the first deployment that is ordered ends as FAILED",
			Source: "ECS documentation, deployment circuit breaker"},
		{Name: "sibling-fails", Behaviour: "of several services of a task definition, the first refuses its first four orders",
			Source: undocumented},
		{Name: "draining-sibling", Behaviour: "a service of the same task definition is being deleted", Source: "Nextdoor/kingpin 403 and 493"},
		{Name: "throttled", Behaviour: "two of five calls are refused with ThrottlingException", Source: "ECS documentation, API throttling"},
		{Name: "slow-answers", Behaviour: "each seventh call is carried out and answered after 25 s", Source: undocumented},
	}
}

// Play has the server behave as the quirks of these names say, from now on. Services that were created are there already.
func (s *Server) Play(names ...string) error {
	if err := quirk.Known(Quirks(), names); err != nil {
		return fmt.Errorf("ecs: %w", err)
	}
	s.PlayAnswers(names...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.played[name] = true
		switch name {
		case "breaker-once":
			s.each(func(sv *service) { sv.failNext, sv.failRollback = true, sv.spec.Rollback })
		case "cannot-move":
			s.each(func(sv *service) { sv.spec.MaximumPercent, sv.spec.MinimumHealthyPercent = new(100), new(100) })
		case "cannot-move-daemon":
			s.each(func(sv *service) { sv.spec.Daemon, sv.spec.MinimumHealthyPercent = true, new(100) })
		case "blue-green":
			s.each(func(sv *service) { sv.spec.Strategy = "BLUE_GREEN" })
		case "canary":
			s.each(func(sv *service) { sv.spec.Strategy = "CANARY" })
		case "draining-sibling":
			s.each(s.addDraining)
		}
	}
	return nil
}

// Hasten makes the rollouts of quirks so many times faster, for callers in real time.
func (s *Server) Hasten(times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hastened = times
}

// each calls f with every service. The caller holds the lock, here and below.
func (s *Server) each(f func(*service)) {
	for _, c := range s.clusters {
		for _, sv := range slices.Clone(c.services) {
			f(sv)
		}
	}
}

// addDraining adds a service that is being deleted, with the same task definition as another one.
func (s *Server) addDraining(sibling *service) {
	spec := sibling.spec
	spec.Name, spec.Status, spec.DesiredCount = sibling.name+"-old", "DRAINING", 0
	now := time.Now()
	d := &deployment{id: fmt.Sprintf("ecs-svc/%d", s.nextID()), status: "PRIMARY", definition: sibling.definition, created: now}
	d.set("COMPLETED", fmt.Sprintf("ECS deployment %s completed.", d.id))
	c := sibling.cluster
	c.services = append(c.services, &service{
		spec: spec, cluster: c, name: spec.Name, arn: s.serviceARN(c.name, spec.Name), created: now,
		definition: sibling.definition, deployments: []*deployment{d},
	})
}

func (s *Server) hasten(d time.Duration) time.Duration { return d / time.Duration(max(1, s.hastened)) }

func (s *Server) startDelay() time.Duration {
	switch {
	case s.played["rollout-1s"]:
		return 500 * time.Millisecond
	case s.played["rollout-9m"]:
		return s.hasten(3 * time.Minute)
	case s.played["rollout-60m"]:
		return s.hasten(20 * time.Minute)
	}
	return s.options.StartDelay
}

func (s *Server) rollDelay() time.Duration {
	switch {
	case s.played["protected-tasks"]:
		return 2 * time.Hour
	case s.played["rollout-1s"]:
		return 500 * time.Millisecond
	case s.played["rollout-9m"]:
		return s.hasten(6 * time.Minute)
	case s.played["rollout-60m"]:
		return s.hasten(40 * time.Minute)
	}
	return s.options.RollDelay
}

// failFirst is how many tasks of a new deployment fail before others run.
func (s *Server) failFirst(*service) int {
	if s.played["tasks-fail-first"] {
		return 2
	}
	return 0
}

// shown is what a read shows of the service.
func (s *Server) shown(sv *service) wireService {
	if sv.orders == 0 {
		return s.wire(sv)
	}
	sv.reads++
	since := time.Since(sv.orderedAt)
	lags := s.played["lag-5s"] && since < 5*time.Second || s.played["lag-30s"] && since < 30*time.Second ||
		s.played["lag-back"] && (sv.reads == 1 || sv.reads == 4)
	if lags {
		return sv.before
	}
	return s.wire(sv)
}

// vary changes what is described.
func (s *Server) vary(out *wireService) {
	if s.played["short-of-tasks"] && out.Desired > 0 && len(out.Deployments) > 0 {
		const failed = 57
		out.Desired++
		out.Deployments[0].Desired++
		out.Deployments[0].Failed = failed
	}
}

// refuses is the error of an order that a service refuses for reasons of its own.
func (s *Server) refuses(sv *service) error {
	if !s.played["sibling-fails"] || sv.refused == 4 {
		return nil
	}
	of := slices.DeleteFunc(slices.Clone(sv.cluster.services), func(other *service) bool { return other.definition != sv.definition })
	if len(of) < 2 || of[0] != sv {
		return nil
	}
	sv.refused++
	return awsjson.Errorf("InvalidParameterException", "The service cannot be updated at the moment.")
}
