package rotation

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// The variables of the function's environment, with [settings.Common]. Those that do not begin with MAIA_ are the platform's own.
const (
	envApps          = "MAIA_CONTAINER_APPS"
	envGroups        = "MAIA_RESOURCE_GROUPS"
	envState         = "MAIA_STATE_CONTAINER_URL"
	envManager       = "AZURE_RESOURCE_MANAGER_URL"
	envBlobService   = "AzureWebJobsStorage__blobServiceUri"
	envAccount       = "AzureWebJobsStorage__accountName"
	envIdentity      = "IDENTITY_ENDPOINT"
	envIdentityOwner = "AZURE_CLIENT_ID"
)

// Known are the variables that begin with MAIA_.
var Known = slices.Concat([]string{envApps, envGroups, envState}, settings.Scheduling, settings.Common)

// Platform are the other variables that the function reads, without those in which the platform announces the identity.
var Platform = []string{envManager, envBlobService, envAccount, envIdentityOwner}

const (
	// FunctionTimeout is how long an invocation may run: functionTimeout in host.json.
	FunctionTimeout = 30 * time.Minute

	// timeout is what is left of it when the function is called: the host's clock starts before.
	timeout = FunctionTimeout - 20*time.Second

	stateContainer = "maia-rotate"
	userAgent      = "maia-rotate (azure)"
	publicManager  = "https://management.azure.com"
)

// Config is the function's environment, checked.
type Config struct {
	settings.Shared
	Schedule settings.Schedule

	Apps              []string // resource IDs of Container Apps, or
	Groups            []string // resource IDs of the resource groups in which every app with the tag is taken
	StateContainerURL string
	ManagerURL        string // of Azure Resource Manager
	ManagedIdentity   bool   // the platform gives the function an identity,
	IdentityClientID  string // which is the one with this client ID; empty: the system-assigned one
}

// ParseConfig reads an environment in the form of os.Environ. The error is a Configuration error that names the variable,
// what was wrong with it, and what is expected.
func ParseConfig(environ []string) (Config, error) {
	env, err := settings.Read(environ, Known)
	if err != nil {
		return Config{}, err
	}
	if err := unresolved(env); err != nil {
		return Config{}, err
	}
	platform := settings.Environment{}
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); slices.Contains(Platform, name) || name == envIdentity {
			platform[name] = strings.TrimSpace(value)
		}
	}
	config := Config{ManagedIdentity: platform[envIdentity] != "", IdentityClientID: platform[envIdentityOwner]}
	if config.Shared, err = env.Shared("", FunctionTimeout); err != nil {
		return Config{}, err
	}
	if err := config.parseTargets(env); err != nil {
		return Config{}, err
	}
	if len(config.AgentIDs) == 0 && (len(config.Apps) > 1 || len(config.Groups) > 0) {
		return Config{}, settings.Errorf("%s is not set: with several apps, or with resource groups, it lists the agents that this function "+
			"may serve", settings.AgentIDs)
	}
	if config.ManagerURL, err = managerURL(platform[envManager]); err != nil {
		return Config{}, err
	}
	if config.StateContainerURL, err = stateURL(env[envState], platform, config.ManagerURL); err != nil {
		return Config{}, err
	}
	if config.Schedule, err = env.Schedule(config.AgentIDs); err != nil {
		return Config{}, err
	}
	config.Policy.Every, config.Policy.Window = config.Schedule.Every, config.Schedule.Window
	return config, nil
}

// unresolved refuses a Key Vault reference that the platform could not resolve: the variable then holds the reference itself.
func unresolved(env settings.Environment) error {
	const reference = "@microsoft.keyvault("
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(strings.ToLower(env[name]), reference) {
			return settings.Errorf("%s is a Key Vault reference that Azure has not resolved, expected the value of the secret", name).
				WithHint("see the setting's status in the function app: check the reference, that the secret exists and is enabled, that the app's " +
					"identity has the role Key Vault Secrets User, and that the vault lets the app in; then restart the app")
		}
	}
	return nil
}

const (
	appForm   = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.App/containerApps/NAME"
	groupForm = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP"
)

// A group's name may have letters of any script. It does not end in a dot, so that none is "..", which would change the path.
var (
	groupPattern = regexp.MustCompile(`(?i)^/subscriptions/[0-9a-z-]+/resourceGroups/[-\pL\pN_.()]*[-\pL\pN_()]$`)
	appPattern   = regexp.MustCompile(`(?i)^(/subscriptions/.*)/providers/Microsoft\.App/containerApps/[0-9a-z-]+$`)
)

func isGroup(id string) bool { return groupPattern.MatchString(id) }

func isApp(id string) bool {
	found := appPattern.FindStringSubmatch(id)
	return found != nil && isGroup(found[1])
}

func (c *Config) parseTargets(env settings.Environment) (err error) {
	switch apps, groups := env[envApps] != "", env[envGroups] != ""; {
	case apps && groups:
		return settings.Errorf("%s and %s are both set, expected one of the two", envApps, envGroups)
	case groups:
		c.Groups, err = resourceIDs(env, envGroups, isGroup, groupForm)
	default:
		c.Apps, err = resourceIDs(env, envApps, isApp, appForm)
	}
	return err
}

// resourceIDs reads a list of them. Azure ignores their case.
func resourceIDs(env settings.Environment, name string, valid func(string) bool, form string) ([]string, error) {
	ids := env.List(name)
	if len(ids) == 0 {
		return nil, settings.Errorf("%s is not set: it names the runners' Container Apps, comma-separated, as %s; instead of it, %s may name "+
			"resource groups", envApps, appForm, envGroups)
	}
	for i, id := range ids {
		switch {
		case strings.Contains(strings.ToLower(id), "/microsoft.containerinstance/"):
			return nil, settings.Errorf("item %d of %s is %q, which is on Container Instances, expected %s", i+1, name, id, form).
				WithHint("move the runner to Container Apps: the secret of a container group cannot be read back, so it cannot be rotated safely")
		case !valid(id):
			return nil, settings.Errorf("item %d of %s is %q, expected %s", i+1, name, id, form)
		case slices.ContainsFunc(ids[:i], func(other string) bool { return strings.EqualFold(other, id) }):
			return nil, settings.Errorf("%s names %s twice", name, id)
		}
	}
	return ids, nil
}

func managerURL(text string) (string, error) {
	if text == "" {
		return publicManager, nil
	}
	text = strings.TrimRight(text, "/")
	u, err := checkURL(envManager, text, publicManager)
	if err == nil && u.Path != "" {
		err = settings.Errorf("%s has a path, expected a URL like %s", envManager, publicManager)
	}
	return text, err
}

// checkURL allows https, and http where nothing leaves the machine. The error does not repeat the URL, whose user or query may hold a
// secret.
func checkURL(name, text, like string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, settings.Errorf("%s is not an https URL, expected one like %s", name, like)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, settings.Errorf("%s has a user, a query or a fragment, expected a URL like %s", name, like)
	case u.Scheme == "http" && !maia.Loopback(u.Hostname()):
		return nil, settings.Errorf("%s is plain http to %s, expected https (http only to a loopback host)", name, u.Hostname())
	}
	return u, nil
}

var (
	containerPath = regexp.MustCompile(`^(/[^/]+)?/[a-z0-9](-?[a-z0-9]){2,62}$`) // an emulated account is a part of the path
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
)

// stateURL is that of the container with the locks and notes: the configured one, else one in the storage account of the host.
func stateURL(text string, platform settings.Environment, manager string) (string, error) {
	const like = "https://ACCOUNT.blob.core.windows.net/" + stateContainer
	if text != "" {
		text = strings.TrimRight(text, "/")
		u, err := checkURL(envState, text, like)
		if err == nil && !containerPath.MatchString(u.Path) {
			err = settings.Errorf("%s has the path %q, expected a URL with the name of one container, like %s", envState, u.Path, like)
		}
		return text, err
	}
	service, name := platform[envBlobService], envBlobService
	if service == "" {
		account := platform[envAccount]
		suffix, known := blobSuffixes[strings.ToLower(manager)]
		switch {
		case account == "":
			return "", settings.Errorf("%s is not set, and neither is %s nor %s: it says in which blob container the locks and notes are, like %s",
				envState, envAccount, envBlobService, like)
		case !accountName.MatchString(account):
			return "", settings.Errorf("%s is %q, expected the name of a storage account: 3 to 24 lower-case letters and digits", envAccount,
				account)
		case !known:
			return "", settings.Errorf("%s is not set, and the storage accounts of the cloud of %s have no address that is known, expected one "+
				"like %s", envState, envManager, like)
		}
		service = fmt.Sprintf("https://%s.%s", account, suffix)
	}
	service = strings.TrimRight(service, "/")
	_, err := checkURL(name, service, "https://ACCOUNT.blob.core.windows.net")
	return service + "/" + stateContainer, err
}

// blobSuffixes are where the storage accounts of a cloud are, by the URL of its Resource Manager.
var blobSuffixes = map[string]string{
	publicManager:                          "blob.core.windows.net",
	"https://management.usgovcloudapi.net": "blob.core.usgovcloudapi.net",
	"https://management.chinacloudapi.cn":  "blob.core.chinacloudapi.cn",
}
