package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// The variables of the function's environment, with [settings.Common].
const (
	envCredentialsSecret = "MAIA_CREDENTIALS_SECRET_ARN"
	envClusters          = "MAIA_ECS_CLUSTERS"
	envServices          = "MAIA_ECS_SERVICES"
	envSecrets           = "MAIA_SECRET_ARNS"
)

// Known are the variables that the function knows.
var Known = append([]string{envCredentialsSecret, envClusters, envServices, envSecrets}, settings.Common...)

const userAgent = "maia-rotate (aws-lambda)"

// Config is the function's environment, checked.
type Config struct {
	settings.Shared

	CredentialsSecretARN string // of the secret that holds the credentials of the Maia API; empty: the environment holds them
	Clusters             []string
	Services             []ecs.ServiceRef
	Secrets              []string // ARNs of the runners' secrets that the function serves; empty: whichever it is asked to
}

// ParseConfig reads the MAIA_ variables of an environment in the form of os.Environ. The error is a Configuration error
// that names the variable, what was wrong with it, and what is expected.
func ParseConfig(environ []string) (Config, error) {
	env, err := settings.Read(environ, Known)
	if err != nil {
		return Config{}, err
	}
	config := Config{CredentialsSecretARN: env[envCredentialsSecret], Clusters: env.List(envClusters), Secrets: env.List(envSecrets)}
	if config.Shared, err = env.Shared(envCredentialsSecret, lambdaLimit); err != nil {
		return Config{}, err
	}
	if arn := config.CredentialsSecretARN; arn != "" {
		if err := checkSecretARN(envCredentialsSecret, arn); err != nil {
			return Config{}, err
		}
	}
	return config, config.parseTargets(env)
}

func (c *Config) parseTargets(env settings.Environment) error {
	services := env.List(envServices)
	switch {
	case len(c.Clusters) > 0 && len(services) > 0:
		return settings.Errorf("%s and %s are both set, expected one of the two", envClusters, envServices)
	case len(c.Clusters) == 0 && len(services) == 0:
		return settings.Errorf("neither %s nor %s is set: one of them says where the runner's services are", envServices, envClusters)
	case len(c.Clusters) > 0 && len(c.AgentIDs) == 0:
		return settings.Errorf("%s is not set: with %s it lists the agents that this function may serve", settings.AgentIDs, envClusters)
	}
	for _, name := range services {
		ref, ok := parseServiceRef(name)
		if !ok {
			return settings.Errorf("%s has %q, expected cluster/service, or the ARN of a service that names its cluster", envServices, name)
		}
		c.Services = append(c.Services, ref)
	}
	for _, cluster := range c.Clusters {
		if strings.Contains(cluster, "/") && !strings.HasPrefix(cluster, "arn:") {
			return settings.Errorf("%s has %q, expected the name or ARN of a cluster", envClusters, cluster)
		}
	}
	for i, arn := range c.Secrets {
		if err := checkSecretARN(fmt.Sprintf("item %d of %s", i+1, envSecrets), arn); err != nil {
			return err
		}
	}
	return nil
}

// places says where runners are searched for.
func (c *Config) places() ecs.Config {
	return ecs.Config{Clusters: c.Clusters, Services: c.Services}
}

// of is the configuration of the runner of one secret.
func (c *Config) of(arn string) ecs.Config {
	config := c.places()
	config.SecretARN = arn
	return config
}

// serves checks that the function may work on a secret.
func (c *Config) serves(arn string) error {
	if len(c.Secrets) == 0 || slices.Contains(c.Secrets, arn) {
		return nil
	}
	return settings.Errorf("secret %s is not among those that this function serves", arn).
		WithHint("add it to %s if it is yours; if not, find out who asked for it", envSecrets)
}

// parseServiceRef takes cluster/service, or arn:…:service/cluster/service.
func parseServiceRef(name string) (ecs.ServiceRef, bool) {
	arn, parts := "", strings.Split(name, "/")
	if strings.HasPrefix(name, "arn:") {
		if !strings.HasSuffix(parts[0], ":service") {
			return ecs.ServiceRef{}, false
		}
		arn, parts = name, parts[1:]
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return ecs.ServiceRef{}, false
	}
	ref := ecs.ServiceRef{Cluster: parts[0], Service: parts[1]}
	if arn != "" {
		ref.Service = arn
	}
	return ref, true
}

// lambdaLimit is how long a Lambda function may run.
const lambdaLimit = 15 * time.Minute
