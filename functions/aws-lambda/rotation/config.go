package rotation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/ecs"
)

// The variables of the function's environment.
const (
	envCredentialsSecret = "MAIA_CREDENTIALS_SECRET_ARN"
	envClientID          = "MAIA_CLIENT_ID"
	envClientSecret      = "MAIA_CLIENT_SECRET"
	envClusters          = "MAIA_ECS_CLUSTERS"
	envServices          = "MAIA_ECS_SERVICES"
	envAgentIDs          = "MAIA_AGENT_IDS"
	envSecrets           = "MAIA_SECRET_ARNS"
	envRegion            = "MAIA_REGION"
	envAPIURL            = "MAIA_API_URL"
	envTokenURL          = "MAIA_TOKEN_URL"
	envDrain             = "MAIA_ROTATE_DRAIN"
	envDrainTimeout      = "MAIA_ROTATE_DRAIN_TIMEOUT"
	envConnectTimeout    = "MAIA_ROTATE_CONNECT_TIMEOUT"
)

// Known are the variables that the function knows.
var Known = []string{
	envCredentialsSecret, envClientID, envClientSecret, envClusters, envServices, envAgentIDs, envSecrets,
	envRegion, envAPIURL, envTokenURL, envDrain, envDrainTimeout, envConnectTimeout,
}

// Config is the function's environment, checked.
type Config struct {
	CredentialsSecretARN string           // where the credentials of the Maia API are, or
	Credentials          maia.Credentials // these

	Clusters []string
	Services []ecs.ServiceRef
	AgentIDs []string
	Secrets  []string // ARNs of the runners' secrets that the function serves; empty: whichever it is asked to

	Region, APIURL, TokenURL string

	Policy rotate.Policy
}

// ParseConfig reads the MAIA_ variables of an environment in the form of os.Environ. The error is a Configuration error
// that names the variable, what was wrong with it, and what is expected.
func ParseConfig(environ []string) (Config, error) {
	env := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "MAIA_") {
			env[name] = strings.TrimSpace(value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !slices.Contains(Known, name) {
			return Config{}, configError("the variable %s is not known; did you mean %s?", name, nearest(name))
		}
	}
	config := Config{
		CredentialsSecretARN: env[envCredentialsSecret],
		Credentials:          maia.Credentials{ClientID: env[envClientID], ClientSecret: maia.NewSecret(env[envClientSecret])},
		Clusters:             list(env[envClusters]),
		AgentIDs:             list(env[envAgentIDs]),
		Secrets:              list(env[envSecrets]),
		Region:               strings.ToLower(env[envRegion]),
		APIURL:               env[envAPIURL],
		TokenURL:             env[envTokenURL],
		Policy:               rotate.DefaultPolicy(),
	}
	for _, step := range []func(map[string]string) error{config.checkCredentials, config.parseTargets, config.checkEndpoints, config.parsePolicy} {
		if err := step(env); err != nil {
			return Config{}, err
		}
	}
	return config, nil
}

func (c *Config) checkCredentials(env map[string]string) error {
	direct := env[envClientID] != "" || env[envClientSecret] != ""
	switch {
	case c.CredentialsSecretARN != "" && direct:
		return configError("%s and %s/%s are both set, expected one of the two", envCredentialsSecret, envClientID, envClientSecret)
	case c.CredentialsSecretARN != "":
		return checkSecretARN(envCredentialsSecret, c.CredentialsSecretARN)
	case !direct:
		return configError("%s is not set: it names the secret with the client_id and client_secret of the Maia API credential", envCredentialsSecret)
	case env[envClientID] == "":
		return configError("%s is set and %s is not, expected both", envClientSecret, envClientID)
	case env[envClientSecret] == "":
		return configError("%s is set and %s is not, expected both", envClientID, envClientSecret)
	}
	return nil
}

func (c *Config) parseTargets(env map[string]string) error {
	services := list(env[envServices])
	switch {
	case len(c.Clusters) > 0 && len(services) > 0:
		return configError("%s and %s are both set, expected one of the two", envClusters, envServices)
	case len(c.Clusters) == 0 && len(services) == 0:
		return configError("neither %s nor %s is set: one of them says where the runner's services are", envServices, envClusters)
	case len(c.Clusters) > 0 && len(c.AgentIDs) == 0:
		return configError("%s is not set: with %s it lists the agents that this function may serve", envAgentIDs, envClusters)
	}
	for _, name := range services {
		ref, ok := parseServiceRef(name)
		if !ok {
			return configError("%s has %q, expected cluster/service, or the ARN of a service that names its cluster", envServices, name)
		}
		c.Services = append(c.Services, ref)
	}
	for _, cluster := range c.Clusters {
		if strings.Contains(cluster, "/") && !strings.HasPrefix(cluster, "arn:") {
			return configError("%s has %q, expected the name or ARN of a cluster", envClusters, cluster)
		}
	}
	for _, id := range c.AgentIDs {
		if err := maia.CheckAgentID(id); err != nil {
			return configError("%s has %q, expected agent IDs (UUIDs), comma-separated", envAgentIDs, id)
		}
	}
	for i, arn := range c.Secrets {
		if err := checkSecretARN(fmt.Sprintf("item %d of %s", i+1, envSecrets), arn); err != nil {
			return err
		}
	}
	return nil
}

// places says where runners are looked for.
func (c *Config) places() ecs.Config {
	return ecs.Config{Clusters: c.Clusters, Services: c.Services, AgentIDs: c.AgentIDs}
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
	return configError("secret %s is not among those that this function serves", arn).
		WithTodo("add it to %s if it is yours; if not, find out who asked for it", envSecrets)
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

func (c *Config) checkEndpoints(map[string]string) error {
	if c.Region != "" && c.APIURL != "" {
		return configError("%s and %s are both set, expected one of the two", envRegion, envAPIURL)
	}
	region := c.Region
	if region == "" {
		region = "eu1" // any that is valid: the runner's own is not known yet
	}
	credentials := c.Credentials
	if c.CredentialsSecretARN != "" {
		credentials = maia.Credentials{ClientID: "not-read-yet", ClientSecret: maia.NewSecret("not-read-yet")}
	}
	_, err := c.client(region, credentials)
	return err
}

// client makes a client of the Maia API; its errors name the function's variables.
func (c *Config) client(region string, credentials maia.Credentials) (*maia.Client, error) {
	client, err := maia.New(maia.Config{
		Region: region, APIURL: c.APIURL, TokenURL: c.TokenURL,
		ClientID: credentials.ClientID, ClientSecret: credentials.ClientSecret,
		UserAgent: "maia-rotate (aws-lambda)",
	})
	if err != nil {
		text := strings.NewReplacer("maia: ", "", "Config.Region", envRegion, "Config.APIURL", envAPIURL, "Config.TokenURL", envTokenURL,
			"Config.ClientID", "the client ID", "Config.ClientSecret", "the client secret").Replace(err.Error())
		return nil, configError("%s", text)
	}
	return client, nil
}

func (c *Config) parsePolicy(env map[string]string) error {
	if drain := env[envDrain]; drain != "" {
		c.Policy.Drain = rotate.Drain(strings.ToLower(drain))
		if c.Policy.Drain != rotate.DrainPause && c.Policy.Drain != rotate.DrainNone {
			return configError("%s is %q, expected %s or %s", envDrain, drain, rotate.DrainPause, rotate.DrainNone)
		}
	}
	for _, field := range []struct {
		name string
		into *time.Duration
	}{{envDrainTimeout, &c.Policy.DrainTimeout}, {envConnectTimeout, &c.Policy.ConnectTimeout}} {
		text := env[field.name]
		if text == "" {
			continue
		}
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed <= 0 || parsed > lambdaLimit {
			return configError("%s is %q, expected a duration like 5m, above 0 and at most %s", field.name, text, lambdaLimit)
		}
		*field.into = parsed
	}
	return nil
}

// lambdaLimit is how long a Lambda function may run.
const lambdaLimit = 15 * time.Minute

// nearest is the known variable that an unknown one was probably meant to be.
func nearest(name string) string {
	return slices.MinFunc(Known, func(a, b string) int {
		return levenshtein.ComputeDistance(name, a) - levenshtein.ComputeDistance(name, b)
	})
}

// list splits a comma-separated value.
func list(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func configError(format string, args ...any) *rotate.Error {
	return rotate.Errorf(rotate.Configuration, format, args...)
}
