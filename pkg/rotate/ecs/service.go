package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// ecsAPI is what is used of *ecs.Client.
type ecsAPI interface {
	ListServices(context.Context, *awsecs.ListServicesInput, ...func(*awsecs.Options)) (*awsecs.ListServicesOutput, error)
	DescribeServices(context.Context, *awsecs.DescribeServicesInput, ...func(*awsecs.Options)) (*awsecs.DescribeServicesOutput, error)
	DescribeTaskDefinition(context.Context, *awsecs.DescribeTaskDefinitionInput, ...func(*awsecs.Options)) (*awsecs.DescribeTaskDefinitionOutput, error)
	UpdateService(context.Context, *awsecs.UpdateServiceInput, ...func(*awsecs.Options)) (*awsecs.UpdateServiceOutput, error)
}

// ServiceRef names an ECS service; both parts are names or ARNs.
type ServiceRef struct{ Cluster, Service string }

func (s ServiceRef) String() string { return shortName(s.Cluster) + "/" + shortName(s.Service) }

// service is one service of the runner.
type service struct {
	ServiceRef
	seen      types.Service // as last described
	ordered   string        // ID of the deployment that this run ordered
	orderedAt time.Time     // ECS's time of it
}

// primary is the newest deployment, which alone decides; nil if there is none.
func (s *service) primary() *types.Deployment {
	for i := range s.seen.Deployments {
		if aws.ToString(s.seen.Deployments[i].Status) == "PRIMARY" {
			return &s.seen.Deployments[i]
		}
	}
	return nil
}

// state tells where the newest deployment is. RolloutState is absent behind a Classic Load Balancer: then the counts
// tell.
func (s *service) state() rotate.InstanceState {
	primary := s.primary()
	switch {
	case s.seen.DesiredCount == 0:
		return rotate.Stopped
	case primary == nil:
		return rotate.Rolling
	case primary.RolloutState == types.DeploymentRolloutStateFailed, s.orderFailed():
		return rotate.Failed
	case primary.RolloutState == types.DeploymentRolloutStateCompleted:
		return rotate.Steady
	case primary.RolloutState == "" && len(s.seen.Deployments) == 1 && s.seen.RunningCount >= s.seen.DesiredCount && s.seen.PendingCount == 0:
		return rotate.Steady
	}
	return rotate.Rolling
}

// orderFailed says that the deployment that this run ordered failed and nothing has come after it: a rollback that is a
// newer deployment reads the secret when it starts, like any other.
func (s *service) orderFailed() bool {
	primary := s.primary()
	for _, deployment := range s.seen.Deployments {
		if aws.ToString(deployment.Id) == s.ordered && deployment.RolloutState == types.DeploymentRolloutStateFailed {
			return aws.ToString(primary.Id) == s.ordered || !aws.ToTime(primary.CreatedAt).After(s.orderedAt)
		}
	}
	return false
}

// read tells which value the newest deployment read. changed is no earlier than when AWSCURRENT came to its version,
// created no later.
func (s *service) read(created, changed time.Time) rotate.ReadState {
	primary := s.primary()
	if primary == nil {
		return rotate.ReadUnknown
	}
	started := aws.ToTime(primary.CreatedAt)
	switch {
	case s.ordered != "" && (aws.ToString(primary.Id) == s.ordered || started.After(s.orderedAt)):
		return rotate.ReadCurrent
	case started.IsZero() || changed.IsZero():
		return rotate.ReadUnknown
	case s.ordered == "" && started.After(changed):
		return rotate.ReadCurrent
	case started.Before(created):
		return rotate.ReadOlder
	}
	return rotate.ReadUnknown
}

func (s *service) detail() string {
	text := fmt.Sprintf("service %s: %d of %d running", s.ServiceRef, s.seen.RunningCount, s.seen.DesiredCount)
	if primary := s.primary(); primary != nil {
		text += fmt.Sprintf(", deployment %s %s", aws.ToString(primary.Id), primary.RolloutState)
		if reason := aws.ToString(primary.RolloutStateReason); reason != "" {
			text += " (" + reason + ")"
		}
	}
	return text
}

// restart orders a new deployment of the same task definition.
func (s *service) restart(ctx context.Context, api ecsAPI) error {
	out, err := api.UpdateService(ctx, &awsecs.UpdateServiceInput{Cluster: &s.Cluster, Service: &s.Service, ForceNewDeployment: true})
	if err != nil {
		return Failure("UpdateService", s.String(), err)
	}
	if out.Service == nil {
		return rotate.Errorf(rotate.Internal, "UpdateService %s: the reply holds no service", s)
	}
	s.seen = *out.Service
	primary := s.primary()
	if primary == nil {
		return rotate.Errorf(rotate.Internal, "UpdateService %s: the reply holds no PRIMARY deployment", s)
	}
	s.ordered, s.orderedAt = aws.ToString(primary.Id), aws.ToTime(primary.CreatedAt)
	return nil
}

// describeServices describes services of one cluster, ten a call. One that is missing is an error unless it may be gone.
func describeServices(ctx context.Context, api ecsAPI, cluster string, names []string, mayBeGone bool) ([]types.Service, error) {
	var all []types.Service
	for chunk := range slices.Chunk(names, 10) {
		out, err := api.DescribeServices(ctx, &awsecs.DescribeServicesInput{Cluster: &cluster, Services: chunk})
		if err != nil {
			return nil, Failure("DescribeServices", cluster, err)
		}
		for _, missing := range out.Failures {
			if mayBeGone && aws.ToString(missing.Reason) == "MISSING" {
				continue
			}
			return nil, rotate.Errorf(rotate.Configuration, "service %s of cluster %s cannot be described: %s",
				shortName(aws.ToString(missing.Arn)), shortName(cluster), aws.ToString(missing.Reason)).
				WithTodo("check the services that the function is configured with")
		}
		all = append(all, out.Services...)
	}
	return all, nil
}

func listServices(ctx context.Context, api ecsAPI, cluster string) ([]string, error) {
	var all []string
	pages := awsecs.NewListServicesPaginator(api, &awsecs.ListServicesInput{Cluster: &cluster, MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, Failure("ListServices", cluster, err)
		}
		all = append(all, page.ServiceArns...)
	}
	return all, nil
}

func shortName(nameOrARN string) string {
	return nameOrARN[strings.LastIndex(nameOrARN, "/")+1:]
}
