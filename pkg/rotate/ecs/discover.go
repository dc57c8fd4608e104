package ecs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The variables of a runner's container, as the vendor's templates name them.
const (
	envClientSecret = "OAUTH_CLIENT_SECRET"
	envAgentID      = "AGENT_ID"
	envRegion       = "MATILLION_REGION"
)

// Config says where the services of a secret are looked for, and what a runner may do with it.
type Config struct {
	SecretARN string
	Clusters  []string     // names or ARNs: all their services are looked at
	Services  []ServiceRef // or just these
	AgentIDs  []string     // agents that may be served; empty: whichever the services name

	Stage         bool   // the store is AWSPENDING of Token, see the package comment
	Token         string // the rotation's ClientRequestToken; empty outside of one
	RotationToken string // passed on to PutSecretValue
}

// user is a container that takes variables from the secret.
type user struct {
	service ServiceRef
	agentID string
	region  string
}

// Services are the services of some places with their task definitions, as looked up once, for one secret or many.
type Services struct {
	api         ecsAPI
	places      string // for a person
	described   []types.Service
	definitions map[string]*types.TaskDefinition // by ARN
}

// Look looks up the services that a configuration names: its SecretARN and what follows it do not matter.
func Look(ctx context.Context, api ecsAPI, config Config) (*Services, error) {
	described, err := findServices(ctx, api, config)
	if err != nil {
		return nil, err
	}
	looked := &Services{api: api, places: config.places(), described: described, definitions: map[string]*types.TaskDefinition{}}
	for _, service := range described {
		arn := aws.ToString(service.TaskDefinition)
		if !runs(service) || looked.definitions[arn] != nil {
			continue
		}
		out, err := api.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
		if err != nil {
			return nil, Failure("DescribeTaskDefinition", shortName(arn), err)
		}
		if out.TaskDefinition == nil {
			return nil, rotate.Errorf(rotate.Internal, "DescribeTaskDefinition %s: the reply holds no task definition", shortName(arn))
		}
		looked.definitions[arn] = out.TaskDefinition
	}
	return looked, nil
}

// runs says whether the service can have tasks of a task definition.
func runs(service types.Service) bool {
	return aws.ToString(service.TaskDefinition) != "" && aws.ToString(service.Status) != "INACTIVE"
}

// Discover is [Look] and [Services.Runner] for one secret.
func Discover(ctx context.Context, secrets secretsAPI, services ecsAPI, config Config) (*Runner, error) {
	looked, err := Look(ctx, services, config)
	if err != nil {
		return nil, err
	}
	return looked.Runner(secrets, config)
}

// Runner finds the runner of a secret among the services. Everything that would keep a rotation from reaching it is a
// Configuration error here, before anything is changed.
func (s *Services) Runner(secrets secretsAPI, config Config) (*Runner, error) {
	runner := &Runner{
		config: config,
		ecs:    s.api,
		secret: &secret{
			api: secrets, arn: config.SecretARN, rotationToken: config.RotationToken,
			labels: map[string]string{}, versions: map[string]version{}, moved: map[string]string{},
		},
	}
	var users []user
	others := map[string]ServiceRef{} // agent ID → a service that takes that agent's secret from elsewhere
	for _, described := range s.described {
		if !runs(described) {
			continue
		}
		ref := ServiceRef{Cluster: aws.ToString(described.ClusterArn), Service: aws.ToString(described.ServiceArn)}
		before := len(users)
		for _, container := range s.definitions[aws.ToString(described.TaskDefinition)].ContainerDefinitions {
			uses, err := usesSecret(container, config.SecretARN)
			if err != nil {
				return nil, fmt.Errorf("service %s, container %s: %w", ref, aws.ToString(container.Name), err)
			}
			agentID := environment(container, envAgentID)
			if uses {
				users = append(users, user{ref, agentID, environment(container, envRegion)})
			} else if agentID != "" && slices.ContainsFunc(container.Secrets, func(s types.Secret) bool { return aws.ToString(s.Name) == envClientSecret }) {
				others[strings.ToLower(agentID)] = ref
			}
		}
		if len(users) > before {
			if err := checkController(ref, described); err != nil {
				return nil, err
			}
			runner.services = append(runner.services, &service{ServiceRef: ref, seen: described})
		}
	}
	if len(runner.services) == 0 {
		return nil, rotate.Errorf(rotate.Configuration, "no service takes a variable from secret %s; looked at %d services of %s", config.SecretARN, len(s.described), s.places).
			WithTodo("name the runner's cluster or service in the function's configuration, or give its task definition the variable %s from this secret", envClientSecret)
	}
	if err := runner.identify(users, others); err != nil {
		return nil, err
	}
	return runner, nil
}

func (c Config) places() string {
	if len(c.Services) == 0 {
		return strings.Join(c.Clusters, ", ")
	}
	names := make([]string, len(c.Services))
	for i, ref := range c.Services {
		names[i] = ref.String()
	}
	return strings.Join(names, ", ")
}

func findServices(ctx context.Context, api ecsAPI, config Config) ([]types.Service, error) {
	names := map[string][]string{}
	var clusters []string
	for _, cluster := range config.Clusters {
		listed, err := listServices(ctx, api, cluster)
		if err != nil {
			return nil, err
		}
		clusters, names[cluster] = append(clusters, cluster), listed
	}
	for _, ref := range config.Services {
		if names[ref.Cluster] == nil {
			clusters = append(clusters, ref.Cluster)
		}
		names[ref.Cluster] = append(names[ref.Cluster], ref.Service)
	}
	var found []types.Service
	for _, cluster := range clusters {
		described, err := describeServices(ctx, api, cluster, names[cluster], len(config.Clusters) > 0)
		if err != nil {
			return nil, err
		}
		for _, service := range described {
			if service.ClusterArn == nil {
				service.ClusterArn = &cluster
			}
			if !slices.ContainsFunc(found, func(f types.Service) bool { return aws.ToString(f.ServiceArn) == aws.ToString(service.ServiceArn) }) {
				found = append(found, service) // it may be named twice
			}
		}
	}
	return found, nil
}

// usesSecret says whether the container takes a variable from the secret, and refuses one that a rotation would not
// reach.
func usesSecret(container types.ContainerDefinition, secretARN string) (bool, error) {
	uses := false
	for _, variable := range container.Secrets {
		name := aws.ToString(variable.Name)
		from, ok := parseValueFrom(aws.ToString(variable.ValueFrom))
		if !ok || !from.names(secretARN) {
			continue
		}
		if err := from.follows(name); err != nil {
			return false, err
		}
		if name == envClientSecret && from.key != keyClientSecret {
			return false, rotate.Errorf(rotate.Configuration, "variable %s takes the JSON key %q of the secret, expected %q", name, from.key, keyClientSecret).
				WithTodo("set its valueFrom to %s:%s::", secretARN, keyClientSecret)
		}
		uses = true
	}
	return uses, nil
}

func environment(container types.ContainerDefinition, name string) string {
	for _, variable := range container.Environment {
		if aws.ToString(variable.Name) == name {
			return aws.ToString(variable.Value)
		}
	}
	return ""
}

func checkController(ref ServiceRef, described types.Service) error {
	if controller := described.DeploymentController; controller != nil && controller.Type != "" && controller.Type != types.DeploymentControllerTypeEcs {
		return rotate.Errorf(rotate.Configuration, "service %s has the deployment controller %s, expected %s (rolling update)", ref, controller.Type, types.DeploymentControllerTypeEcs).
			WithTodo("restarting it is not possible from here: recreate the service with the rolling deployment controller")
	}
	return nil
}

// identify settles which agent the secret belongs to: exactly one, allowed, and named by no service of another secret.
func (r *Runner) identify(users []user, others map[string]ServiceRef) error {
	for _, user := range users {
		switch {
		case user.agentID == "":
			continue
		case r.agentID != "" && !strings.EqualFold(r.agentID, user.agentID):
			return rotate.Errorf(rotate.Configuration, "services on secret %s name two agents, %s and %s", r.config.SecretARN, r.agentID, user.agentID).
				WithTodo("give each runner a secret of its own")
		case r.region != "" && user.region != "" && !strings.EqualFold(r.region, user.region):
			return rotate.Errorf(rotate.Configuration, "services on secret %s name two regions, %s and %s", r.config.SecretARN, r.region, user.region)
		}
		r.agentID = user.agentID
		if user.region != "" {
			r.region = strings.ToLower(user.region)
		}
	}
	if r.agentID == "" {
		return rotate.Errorf(rotate.Configuration, "service %s takes a variable from the secret but has no plain variable %s", users[0].service, envAgentID).
			WithTodo("set %s in the task definition's environment, as the vendor's templates do", envAgentID)
	}
	if len(r.config.AgentIDs) > 0 && !slices.ContainsFunc(r.config.AgentIDs, func(allowed string) bool { return strings.EqualFold(allowed, r.agentID) }) {
		return rotate.Errorf(rotate.Configuration, "service %s names agent %s, which is not among the agents that this function may serve", users[0].service, r.agentID).
			WithTodo("add it to MAIA_AGENT_IDS if it is yours; if not, find out who changed the task definition")
	}
	if other, found := others[strings.ToLower(r.agentID)]; found {
		return rotate.Errorf(rotate.Configuration, "agent %s is named by service %s too, which takes its secret from elsewhere: neither is served", r.agentID, other).
			WithTodo("remove the wrong one")
	}
	return nil
}
