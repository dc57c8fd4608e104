package azure

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

const (
	hostStorage  = "AzureWebJobsStorage"
	hostAccount  = "AzureWebJobsStorage__accountName"
	hostBlobs    = "AzureWebJobsStorage__blobServiceUri"
	hostTimeout  = "AzureFunctionsJobHost__functionTimeout"
	workerName   = "FUNCTIONS_WORKER_RUNTIME"
	managerName  = "AZURE_RESOURCE_MANAGER_URL"
	identityName = "AZURE_CLIENT_ID"
	withheld     = "is-not-read"
	settingsRead = "Microsoft.Web/sites/config/list/action"
)

// known reports whether the check reads the value of a setting. Of all others it reads the name only.
func known(name string) bool {
	return strings.HasPrefix(name, "MAIA_") || slices.Contains(rotation.Platform, name) || slices.Contains(disabling, name) ||
		slices.Contains([]string{scheduleSetting, hostTimeout, workerName}, name)
}

func (r *run) readSettings(ctx context.Context) error {
	var found struct {
		Properties map[string]string `json:"properties"`
	}
	if err := r.manager.post(ctx, r.id+"/config/appsettings/list", webVersion, settingsRead, &found); err != nil {
		return err
	}
	r.settings = found.Properties
	for name := range r.settings {
		if !known(name) {
			r.settings[name] = withheld
		}
	}
	return nil
}

// environ is the function's environment, in the form of os.Environ. The values of settings that Key Vault holds are given by
// name; a placeholder stands for those that are missing.
func (r *run) environ(values map[string]maia.Secret) []string {
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(r.settings)) {
		value := r.settings[name]
		switch {
		case !strings.HasPrefix(name, "MAIA_") && !slices.Contains(rotation.Platform, name):
			continue
		case isReference(value):
			value = cmp.Or(values[name].Reveal(), withheld)
		}
		environ = append(environ, name+"="+value)
	}
	return environ
}

func (r *run) judgeSettings() {
	r.judgeWorker()
	r.judgeStorage()
	r.judgeSchedule()
	r.judgeEnvironment()
	r.judgeTimeout()
	r.judgeWindow()
}

func (r *run) delete(setting string) string {
	return "delete the setting:\naz functionapp config appsettings delete " + r.flags() + " --setting-names " + setting
}

func (r *run) judgeWorker() {
	const check = "worker"
	value, set := r.settings[workerName]
	flex := r.site.Properties.FunctionAppConfig != nil
	switch {
	case flex && set:
		r.report.Problem(check, r.delete(workerName),
			"%s is set, which the Flex Consumption plan does not allow: the runtime is in functionAppConfig", workerName)
	case !flex && value != "custom":
		r.report.Problem(check, "set "+workerName+" to custom", "%s is %q, expected custom on this plan", workerName, value)
	default:
		r.report.OK(check, "the host takes it for a custom handler")
	}
}

// judgeStorage checks how the host reaches its storage, which by default also holds the function's locks and notes.
func (r *run) judgeStorage() {
	const check = "storage"
	account := cmp.Or(r.settings[hostAccount], r.settings[hostBlobs])
	_, key := r.settings[hostStorage]
	switch {
	case key:
		r.report.Warn(check,
			"set "+hostAccount+" to the account's name, give the identity the role Storage Blob Data Owner on it, and "+r.delete(hostStorage),
			"%s is a connection string, with a key that opens the whole account; the function itself uses the identity alone", hostStorage)
	case account == "":
		r.report.Problem(check, "set "+hostAccount+" to the name of the storage account",
			"neither %s nor %s is set: without its storage the host runs no timer", hostAccount, hostBlobs)
	default:
		r.report.OK(check, "%s, by the identity", account)
	}
}

func (r *run) judgeEnvironment() {
	const check = "environment"
	if secret := r.settings[settings.ClientSecret]; secret != "" && !isReference(secret) {
		r.report.Warn("plain-secret",
			"keep it in Key Vault, and set "+settings.ClientSecret+" to @Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME)",
			"the secret of the Maia API credential is itself a setting, which whoever may list the settings can read")
	}
	config, err := rotation.ParseConfig(r.environ(nil))
	if err != nil {
		typed := rotate.AsError(err, "")
		r.report.Problem(check, cmp.Or(typed.Hint, "correct the function app's settings"), "%s", typed.What)
		return
	}
	r.config = &config
	serves := fmt.Sprintf("it serves %s", strings.Join(shorts(config.Apps), ", "))
	if len(config.Groups) > 0 {
		serves = "it serves the apps with the tag in " + strings.Join(shorts(config.Groups), ", ")
	}
	r.report.OK(check, "right; %s", serves)
	if len(config.AgentIDs) == 0 {
		r.report.Warn("agents", "set MAIA_AGENT_IDS", "any agent that the app names is served: whoever may change the app decides which")
	}
	r.apps = config.Apps
}

// judgeTimeout checks that a rotation fits into a call.
func (r *run) judgeTimeout() {
	const check = "timeout"
	if text, set := r.settings[hostTimeout]; set {
		r.report.Problem(check, r.delete(hostTimeout),
			"%s is %q, in place of the 30 minutes of host.json, on which the function's own deadline counts", hostTimeout, text)
		return
	}
	if r.config == nil {
		return
	}
	needed := fleet.Needed(r.config.Policy, containerapp.StoreTime)
	if most := rotation.WorkTime(); most <= needed {
		r.report.Problem(check, "lower MAIA_ROTATE_DRAIN_TIMEOUT or MAIA_ROTATE_CONNECT_TIMEOUT",
			"a call has %s, and a rotation may take %s (drain, store and connect): none is ever begun", most, needed)
		return
	}
	r.report.OK(check, "%s, of which a rotation may take %s", rotation.FunctionTimeout, needed.Round(time.Second))
}

// short is a resource ID in a few words.
func short(id string) string {
	segments := strings.Split(id, "/")
	name := segments[len(segments)-1]
	if len(segments) > 5 {
		return name + " in " + segments[4]
	}
	return name
}

func shorts(ids []string) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = short(id)
	}
	return all
}
