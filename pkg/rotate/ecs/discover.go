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

// Config says where the services of a secret are, and how the runner works.
type Config struct {
	SecretARN string
	Clusters  []string     // names or ARNs: all their services are read
	Services  []ServiceRef // or just these

	Stage         bool   // the store is AWSPENDING of Token, see the package comment
	Token         string // the rotation's ClientRequestToken; empty outside of one
	RotationToken string // passed on to PutSecretValue
}

// user is a container that takes variables from the secret.
type user struct {
	service ServiceRef
	agentID string
	region  string
	whole   bool // it takes the client secret, too
}

// Services are the services of some clusters with their task definitions, as read once, for one secret or many.
type Services struct {
	api         ecsAPI
	places      string // for a person
	described   []types.Service
	definitions map[string]*types.TaskDefinition // by ARN
}

// ReadServices reads the services that a configuration names: its SecretARN and what follows it do not matter.
func ReadServices(ctx context.Context, api ecsAPI, config Config) (*Services, error) {
	described, err := findServices(ctx, api, config)
	if err != nil {
		return nil, err
	}
	services := &Services{api: api, places: config.places(), described: described, definitions: map[string]*types.TaskDefinition{}}
	for _, service := range described {
		arn := aws.ToString(service.TaskDefinition)
		if !runs(service) || services.definitions[arn] != nil {
			continue
		}
		out, err := api.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
		if err != nil {
			return nil, Failure("DescribeTaskDefinition", shortName(arn), err)
		}
		if out.TaskDefinition == nil {
			return nil, rotate.Errorf(rotate.Internal, "DescribeTaskDefinition %s: the reply holds no task definition", shortName(arn))
		}
		services.definitions[arn] = out.TaskDefinition
	}
	return services, nil
}

// runs reports whether the service can have tasks of a task definition.
func runs(service types.Service) bool {
	return aws.ToString(service.TaskDefinition) != "" && aws.ToString(service.Status) != "INACTIVE"
}

// Discover is [ReadServices] and [Services.Runner] for one secret.
func Discover(ctx context.Context, secrets secretsAPI, api ecsAPI, config Config) (*Runner, error) {
	services, err := ReadServices(ctx, api, config)
	if err != nil {
		return nil, err
	}
	return services.Runner(secrets, config)
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
		ref := ServiceRef{Cluster: aws.ToString(described.ClusterArn), Service: aws.ToString(described.ServiceArn)}
		if !runs(described) {
			if len(config.Services) > 0 && !active(described) {
				runner.inactive = append(runner.inactive, leftOut(ref, described))
			}
			continue
		}
		found, err := s.usersIn(described, ref, config.SecretARN)
		if err != nil {
			return nil, err
		}
		if !active(described) {
			if len(found.users) > 0 {
				runner.inactive = append(runner.inactive, leftOut(ref, described))
			}
			continue
		}
		for _, agentID := range found.elsewhere {
			others[strings.ToLower(agentID)] = ref
		}
		if len(found.users) > 0 {
			if err := checkController(ref, described); err != nil {
				return nil, err
			}
			users = append(users, found.users...)
			runner.services = append(runner.services, &service{ServiceRef: ref, seen: described})
		}
	}
	if len(runner.services) == 0 {
		return nil, s.noService(runner.inactive, config)
	}
	if !slices.ContainsFunc(users, func(u user) bool { return u.whole }) {
		return nil, rotate.Errorf(rotate.Configuration, "service %s takes a variable from the secret, but no container takes %s from it",
			users[0].service, envClientSecret).
			WithHint("set the valueFrom of %s to %s:%s:: in the runner's task definition, or name the runner's service", envClientSecret,
				config.SecretARN, keyClientSecret)
	}
	if err := runner.identify(users, others); err != nil {
		return nil, err
	}
	return runner, nil
}

// noService is the error of a secret that no service uses which could be restarted.
func (s *Services) noService(inactive []string, config Config) error {
	if len(inactive) > 0 {
		return rotate.Errorf(rotate.Configuration, "no ACTIVE service takes a variable from secret %s: %s", config.SecretARN,
			strings.Join(inactive, ", ")).
			WithHint("name the service that the runner runs as now in the function's configuration")
	}
	return rotate.Errorf(rotate.Configuration, "no service takes a variable from secret %s; %d services of %s were read",
		config.SecretARN, len(s.described), s.places).
		WithHint("name the runner's cluster or service in the function's configuration, or give its task definition the variable %s from "+
			"this secret", envClientSecret)
}

// usersIn are the containers of a service that take variables from the secret, and the agents of those that take theirs from
// elsewhere.
func (s *Services) usersIn(described types.Service, ref ServiceRef, secretARN string) (found usage, err error) {
	for _, container := range s.definitions[aws.ToString(described.TaskDefinition)].ContainerDefinitions {
		uses, err := usesSecret(container, secretARN)
		if err != nil && active(described) {
			return usage{}, rotate.Within(fmt.Sprintf("service %s, container %s", ref, aws.ToString(container.Name)), err)
		}
		agentID := environment(container, envAgentID)
		from := slices.IndexFunc(container.Secrets, func(s types.Secret) bool { return aws.ToString(s.Name) == envClientSecret })
		switch {
		case uses:
			found.users = append(found.users, user{ref, agentID, environment(container, envRegion), from >= 0})
		case agentID != "" && from >= 0:
			found.elsewhere = append(found.elsewhere, agentID)
		}
	}
	return found, nil
}

// usage is how the containers of a service use a secret.
type usage struct {
	users     []user
	elsewhere []string // IDs of agents whose secret is another
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

// usesSecret reports whether the container takes a variable from the secret. It is an error if a rotation would not reach the
// container, or if its client ID and client secret would not fit together afterwards.
func usesSecret(container types.ContainerDefinition, secretARN string) (bool, error) {
	uses, elsewhere := false, ""
	for _, variable := range container.Secrets {
		name, text := aws.ToString(variable.Name), aws.ToString(variable.ValueFrom)
		from, ok := parseValueFrom(text)
		if region := from.replicaOf(secretARN); ok && region != "" {
			return false, rotate.Errorf(rotate.Configuration,
				"variable %s reads the replica of the secret in %s, which follows a rotation later or, if it is stuck, not at all", name, region).
				WithHint("set its valueFrom to the secret itself, %s", secretARN)
		}
		if !ok || !from.names(secretARN) {
			if name == envClientSecret {
				elsewhere = "another place"
			}
			continue
		}
		uses = true
		if err := from.follows(name); err != nil {
			return false, err
		}
		if name == envClientSecret && from.key != keyClientSecret {
			return false, rotate.Errorf(rotate.Configuration, "variable %s takes the JSON key %q of the secret, expected %q", name, from.key,
				keyClientSecret).
				WithHint("set its valueFrom to %s:%s::", secretARN, keyClientSecret)
		}
	}
	if slices.ContainsFunc(container.Environment, func(v types.KeyValuePair) bool { return aws.ToString(v.Name) == envClientSecret }) {
		elsewhere = "a plain variable"
	}
	if uses && elsewhere != "" {
		return false, rotate.Errorf(rotate.Configuration,
			"the container takes a variable from the secret, but %s from %s, which no rotation reaches", envClientSecret, elsewhere).
			WithHint("set the valueFrom of %s to %s:%s::", envClientSecret, secretARN, keyClientSecret)
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
	if controller := described.DeploymentController; controller != nil && controller.Type != "" &&
		controller.Type != types.DeploymentControllerTypeEcs {
		return rotate.Errorf(rotate.Configuration, "service %s has the deployment controller %s, expected %s (rolling update)", ref,
			controller.Type, types.DeploymentControllerTypeEcs).
			WithHint("restarting it is not possible from here: recreate the service with the rolling deployment controller")
	}
	return nil
}

// identify finds the one agent to which the secret belongs. It is an error if there are several, or if a service of another
// secret names the same agent.
func (r *Runner) identify(users []user, others map[string]ServiceRef) error {
	for _, user := range users {
		switch {
		case user.agentID == "":
			continue
		case r.agentID != "" && !strings.EqualFold(r.agentID, user.agentID):
			return rotate.Errorf(rotate.Configuration, "services on secret %s name two agents, %s and %s", r.config.SecretARN, r.agentID,
				user.agentID).
				WithHint("give each runner a secret of its own")
		case r.region != "" && user.region != "" && !strings.EqualFold(r.region, user.region):
			return rotate.Errorf(rotate.Configuration, "services on secret %s name two regions, %s and %s", r.config.SecretARN, r.region,
				user.region)
		}
		r.agentID = user.agentID
		if user.region != "" {
			r.region = strings.ToLower(user.region)
		}
	}
	if r.agentID == "" {
		return rotate.Errorf(rotate.Configuration, "service %s takes a variable from the secret but has no plain variable %s",
			users[0].service, envAgentID).
			WithHint("set %s in the task definition's environment, as the vendor's templates do", envAgentID)
	}
	if other, found := others[strings.ToLower(r.agentID)]; found {
		return rotate.Errorf(rotate.Configuration,
			"agent %s is named by service %s too, which takes its secret from elsewhere: neither is served", r.agentID, other).
			WithHint("remove the wrong one")
	}
	return nil
}
