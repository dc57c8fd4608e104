package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// ecsAPI is what is used of *ecs.Client.
type ecsAPI interface {
	ListServices(context.Context, *awsecs.ListServicesInput, ...func(*awsecs.Options)) (*awsecs.ListServicesOutput, error)
	DescribeServices(context.Context, *awsecs.DescribeServicesInput, ...func(*awsecs.Options)) (*awsecs.DescribeServicesOutput, error)
	DescribeTaskDefinition(context.Context, *awsecs.DescribeTaskDefinitionInput,
		...func(*awsecs.Options)) (*awsecs.DescribeTaskDefinitionOutput, error)
	UpdateService(context.Context, *awsecs.UpdateServiceInput, ...func(*awsecs.Options)) (*awsecs.UpdateServiceOutput, error)
}

// ServiceRef names an ECS service; both parts are names or ARNs.
type ServiceRef struct{ Cluster, Service string }

func (s ServiceRef) String() string { return shortName(s.Cluster) + "/" + shortName(s.Service) }

// service is one service of the runner.
type service struct {
	ServiceRef
	seen  types.Service // as last described
	order *order        // what this process ordered; nil if nothing, or something else was stored since
}

// active reports whether ECS keeps tasks of the service running, and takes orders for it. A deleted service is DRAINING, and for
// a while INACTIVE.
func active(described types.Service) bool {
	status := aws.ToString(described.Status)
	return status == "" || status == "ACTIVE"
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

// describe takes in what a read shows.
func (s *service) describe(described types.Service) {
	s.seen = described
	if s.order != nil && s.deployment(s.order.id) != nil {
		s.order.shown = time.Now()
	}
}

// state is where the newest deployment is.
func (s *service) state(ordered orders) rotate.InstanceState {
	primary := s.primary()
	switch {
	case s.seen.DesiredCount == 0:
		return rotate.Stopped
	case primary == nil, ordered.lags(s):
		return rotate.Rolling
	case primary.RolloutState == types.DeploymentRolloutStateFailed, ordered.failed(s):
		return rotate.Failed
	case primary.RunningCount == 0 && primary.FailedTasks > 0:
		return rotate.Failing
	case s.rolledOut() && s.seen.RunningCount >= s.seen.DesiredCount && s.seen.PendingCount == 0:
		return rotate.Steady
	case primary.RunningCount > 0 && primary.PendingCount == 0:
		// Tasks of the newest deployment run and none is about to. What the rollout waits for is room for others, or the end of
		// older tasks: load balancers and scale-in protection keep those for hours.
		return rotate.Short
	}
	return rotate.Rolling
}

// rolledOut reports whether ECS has nothing left to replace. RolloutState is absent behind a Classic Load Balancer.
func (s *service) rolledOut() bool {
	primary := s.primary()
	return primary.RolloutState == types.DeploymentRolloutStateCompleted || primary.RolloutState == "" && len(s.seen.Deployments) == 1
}

// read is which value the newest deployment read. changed is no earlier than when AWSCURRENT came to its version,
// created no later.
func (s *service) read(ordered orders, created, changed time.Time) rotate.ReadState {
	primary := s.primary()
	if ordered.covers(s) || ordered.lags(s) {
		return rotate.ReadCurrent
	}
	if primary == nil {
		return rotate.ReadUnknown
	}
	_, known := ordered.of(s)
	started := aws.ToTime(primary.CreatedAt)
	switch {
	case started.IsZero() || changed.IsZero():
		return rotate.ReadUnknown
	case !known && started.After(changed):
		return rotate.ReadCurrent
	case started.Before(created):
		return rotate.ReadOlder
	}
	return rotate.ReadUnknown
}

// maxEvent is how much of a service's event is repeated, in characters.
const maxEvent = 300

// detail describes the service to a person, with what ECS says of it while it is not as it should be.
func (s *service) detail(ordered orders) string {
	text := fmt.Sprintf("service %s: %d of %d running", s.ServiceRef, s.seen.RunningCount, s.seen.DesiredCount)
	primary := s.primary()
	if primary == nil {
		return text
	}
	if s.seen.PendingCount > 0 {
		text += fmt.Sprintf(", %d pending", s.seen.PendingCount)
	}
	if primary.FailedTasks > 0 {
		text += fmt.Sprintf(", %d failed", primary.FailedTasks)
	}
	if ordered.lags(s) {
		return text + ", the deployment that was ordered does not show yet"
	}
	text += fmt.Sprintf(", deployment %s %s", aws.ToString(primary.Id), primary.RolloutState)
	if reason := printable(aws.ToString(primary.RolloutStateReason), maxEvent); reason != "" {
		text += " (" + reason + ")"
	}
	if event := s.newestEvent(); event != "" && s.state(ordered) != rotate.Steady {
		text += fmt.Sprintf("; ECS's newest event: %q", event)
	}
	return text
}

// newestEvent is what ECS said last of the service, for a person.
func (s *service) newestEvent() string {
	if len(s.seen.Events) == 0 {
		return ""
	}
	newest := slices.MaxFunc(s.seen.Events, func(a,
		b types.ServiceEvent) int {
		return aws.ToTime(a.CreatedAt).Compare(aws.ToTime(b.CreatedAt))
	})
	return printable(aws.ToString(newest.Message), maxEvent)
}

// restart orders a new deployment of the same task definition, whose tasks read a secret.
func (s *service) restart(ctx context.Context, api ecsAPI, reads maia.Fingerprint) error {
	out, err := api.UpdateService(ctx, &awsecs.UpdateServiceInput{Cluster: &s.Cluster, Service: &s.Service, ForceNewDeployment: true}, patient)
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
	s.order = &order{id: idOf(primary), created: aws.ToTime(primary.CreatedAt), reads: reads, shown: time.Now()}
	return nil
}

// updateTimeout is how long an answer of UpdateService may take. An unanswered call is repeated, and each time ECS orders another
// deployment.
const updateTimeout = 30 * time.Second

// patient has a client wait longer for this answer than for others.
func patient(options *awsecs.Options) {
	if client, ok := options.HTTPClient.(*awshttp.BuildableClient); ok {
		options.HTTPClient = client.WithTimeout(updateTimeout)
	}
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
				WithHint("check the services that the function is configured with")
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
