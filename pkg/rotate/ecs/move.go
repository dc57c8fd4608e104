package ecs

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// CanMove refuses services whose tasks ECS could not replace, as last described: after a refresh the runner would stay down until
// a person changes their deployment configuration.
func (r *Runner) CanMove() error {
	for _, service := range r.active() {
		if err := service.canMove(); err != nil {
			return err
		}
	}
	return nil
}

// canMove refuses a deployment configuration with which ECS may neither start a task of a new deployment nor stop one of the old
// (DeploymentConfiguration in the API reference of ECS), and strategies that do more than replace tasks.
func (s *service) canMove() error {
	config := s.seen.DeploymentConfiguration
	if config == nil || s.seen.DesiredCount == 0 {
		return nil
	}
	if strategy := config.Strategy; strategy != "" && strategy != types.DeploymentStrategyRolling {
		return rotate.Errorf(rotate.Configuration,
			"service %s has the deployment strategy %s, expected %s: it keeps tasks with the revoked secret, and may go back to them",
			s.ServiceRef, strategy, types.DeploymentStrategyRolling).
			WithHint("set the strategy of its deployment configuration to %s", types.DeploymentStrategyRolling)
	}
	most, least := s.bounds(config)
	desired := int(s.seen.DesiredCount)
	if desired*most/100 > desired || (desired*least+99)/100 < desired {
		return nil
	}
	return rotate.Errorf(rotate.Configuration,
		"service %s can never be restarted: with maximumPercent %d and minimumHealthyPercent %d of %d tasks ECS may neither start one nor "+
			"stop one",
		s.ServiceRef, most, least, desired).
		WithHint("raise maximumPercent (200 lets ECS start the new task first) or lower minimumHealthyPercent (0 lets it stop the old one first)")
}

// bounds are maximumPercent and minimumHealthyPercent, with the defaults of the API for the scheduling strategy.
func (s *service) bounds(config *types.DeploymentConfiguration) (most, least int) {
	most, least = 200, 100
	if s.seen.SchedulingStrategy == types.SchedulingStrategyDaemon {
		most, least = 100, 0 // one task on an instance: the old one stops before the new one starts
	}
	return int(aws.ToInt32(cmp.Or(config.MaximumPercent, aws.Int32(int32(most))))),
		int(aws.ToInt32(cmp.Or(config.MinimumHealthyPercent, aws.Int32(int32(least)))))
}
