package rotation

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // of windows: the platform's image may have no time zones

	"github.com/maia-rotate/maia-rotate/internal/settings"
)

// The variables of the function's environment, with [settings.Common].
const (
	envReleases          = "MAIA_HELM_RELEASES"
	envSecretPath        = "MAIA_HELM_SECRET_PATH"
	envCredentialsSecret = "MAIA_CREDENTIALS_SECRET"
	envKubeconfig        = "KUBECONFIG"
)

// Known are the variables that the function knows, but for KUBECONFIG.
var Known = slices.Concat([]string{envReleases, envSecretPath, envCredentialsSecret}, settings.Scheduling, settings.Common)

const (
	defaultName = "matillion-agent" // of a namespace and a release, as the vendor's guide has them
	userAgent   = "maia-rotate (gcp)"

	// longest is how long an HTTP function may run.
	longest = time.Hour
)

// Config is the function's environment, checked.
type Config struct {
	settings.Shared
	Schedule settings.Schedule

	Releases          []Release
	SecretPath        string // of the client_secret in a release's values; empty: the vendor's
	Kubeconfig        string // path; empty: the clusters are GKE's
	CredentialsSecret string // version of a Secret Manager secret with the credential of the Maia API; empty: the environment holds it
}

// Release names a Helm release.
type Release struct {
	Cluster   string // projects/P/locations/L/clusters/C; empty: that of the kubeconfig
	Namespace string
	Name      string
}

// String is the release as the configuration names it.
func (r Release) String() string {
	name := "namespaces/" + r.Namespace + "/releases/" + r.Name
	if r.Cluster != "" {
		name = r.Cluster + "/" + name
	}
	return name
}

// Project is that of the release's cluster; empty if it is not GKE's.
func (r Release) Project() string {
	if r.Cluster == "" {
		return ""
	}
	return strings.Split(r.Cluster, "/")[1]
}

var (
	secretPath    = regexp.MustCompile(`^[^.\s]+(\.[^.\s]+)*$`)
	secretVersion = regexp.MustCompile(`^projects/[^/]+/secrets/[^/]+/versions/[^/]+$`)
)

// ParseConfig reads an environment in the form of os.Environ. The error is a Configuration error that names the variable,
// what was wrong with it, and what is expected.
func ParseConfig(environ []string) (Config, error) {
	env, err := settings.Read(environ, Known)
	if err != nil {
		return Config{}, err
	}
	config := Config{SecretPath: env[envSecretPath], CredentialsSecret: env[envCredentialsSecret]}
	for _, variable := range environ {
		if path, ok := strings.CutPrefix(variable, envKubeconfig+"="); ok {
			config.Kubeconfig = path
		}
	}
	if path := config.SecretPath; path != "" && !secretPath.MatchString(path) {
		return Config{}, settings.Errorf("%s is %q, expected names joined by dots, like config.oauthClientSecret", envSecretPath, path)
	}
	if config.Shared, err = env.Shared(envCredentialsSecret, longest); err != nil {
		return Config{}, err
	}
	if name := config.CredentialsSecret; name != "" && !secretVersion.MatchString(name) {
		return Config{}, settings.Errorf("%s is %q, expected projects/PROJECT/secrets/SECRET/versions/VERSION, where VERSION may be latest",
			envCredentialsSecret, name)
	}
	if err := config.parseReleases(env); err != nil {
		return Config{}, err
	}
	if len(config.Releases) > 1 && len(config.AgentIDs) == 0 {
		return Config{}, settings.Errorf("%s is not set: with several releases it lists the agents that this function may serve",
			settings.AgentIDs)
	}
	if config.Schedule, err = env.Schedule(config.AgentIDs); err != nil {
		return Config{}, err
	}
	config.Policy.Every, config.Policy.Window = config.Schedule.Every, config.Schedule.Window
	return config, nil
}

func (c *Config) parseReleases(env settings.Environment) error {
	names := env.List(envReleases)
	if len(names) == 0 {
		return settings.Errorf("%s is not set: it names the runners' Helm releases, comma-separated, %s", envReleases, c.form())
	}
	for i, name := range names {
		release, ok := c.parseRelease(name)
		if !ok {
			return settings.Errorf("item %d of %s is %q, expected %s", i+1, envReleases, name, c.form())
		}
		if slices.Contains(c.Releases, release) {
			return settings.Errorf("%s names %s twice", envReleases, release)
		}
		c.Releases = append(c.Releases, release)
	}
	return nil
}

// form is that of a release's name.
func (c *Config) form() string {
	if c.Kubeconfig != "" {
		return "as namespaces/NAMESPACE/releases/RELEASE, in the cluster of " + envKubeconfig
	}
	return fmt.Sprintf("as projects/PROJECT/locations/LOCATION/clusters/CLUSTER/namespaces/NAMESPACE/releases/RELEASE, of which the last "+
		"two pairs default to %s", defaultName)
}

// name is what Kubernetes and Google Cloud allow in the names of the things here, domain-scoped projects included.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9.:-]*[a-z0-9])?$`)

// parseRelease takes pairs of a kind and a name.
func (c *Config) parseRelease(text string) (Release, bool) {
	kinds := []string{"projects", "locations", "clusters", "namespaces", "releases"}
	required := 3
	if c.Kubeconfig != "" {
		kinds, required = kinds[3:], 1
	}
	parts := strings.Split(text, "/")
	if len(parts)%2 != 0 || len(parts) < 2*required || len(parts) > 2*len(kinds) {
		return Release{}, false
	}
	for i := 0; i < len(parts); i += 2 {
		if parts[i] != kinds[i/2] || !namePattern.MatchString(parts[i+1]) {
			return Release{}, false
		}
	}
	release := Release{Namespace: defaultName, Name: defaultName}
	if c.Kubeconfig == "" {
		release.Cluster, parts = strings.Join(parts[:6], "/"), parts[6:]
	}
	if len(parts) > 0 {
		release.Namespace = parts[1]
	}
	if len(parts) > 2 {
		release.Name = parts[3]
	}
	return release, true
}
