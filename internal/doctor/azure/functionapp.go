package azure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
)

// site is what is read of a function app.
type site struct {
	Kind     string `json:"kind"`
	Identity struct {
		Type         string `json:"type"`
		PrincipalID  string `json:"principalId"`
		UserAssigned map[string]struct {
			PrincipalID string `json:"principalId"`
			ClientID    string `json:"clientId"`
		} `json:"userAssignedIdentities"`
	} `json:"identity"`
	Properties struct {
		State             string `json:"state"`
		Enabled           *bool  `json:"enabled"`
		SKU               string `json:"sku"`
		FunctionAppConfig *struct {
			Runtime struct {
				Name string `json:"name"`
			} `json:"runtime"`
		} `json:"functionAppConfig"`
	} `json:"properties"`
}

func (r *run) judgeState() {
	const check = "function-app"
	kinds := strings.Split(strings.ToLower(r.site.Kind), ",")
	state, enabled := r.site.Properties.State, r.site.Properties.Enabled
	switch {
	case !slices.Contains(kinds, "functionapp") || !slices.Contains(kinds, "linux"):
		r.report.Problem(check, "deploy it as deploy/azure does", "its kind is %q, expected functionapp,linux", r.site.Kind)
	case state != "Running", enabled != nil && !*enabled:
		r.report.Problem(check, "start it:\naz functionapp start "+r.flags(),
			"its state is %s, expected Running: nothing is rotated and nothing is healed", state)
	default:
		r.report.OK(check, "%s, %s", r.site.Kind, state)
	}
}

// judgePlan checks what the program is run by.
func (r *run) judgePlan() {
	const check = "plan"
	config, sku := r.site.Properties.FunctionAppConfig, r.site.Properties.SKU
	switch {
	case config == nil && strings.EqualFold(sku, "Dynamic"):
		r.report.Problem(check, "deploy it on the Flex Consumption plan, as deploy/azure does",
			"it is on the Consumption plan, on which an invocation may take 10 minutes at most: the function's host.json asks for 30, and the "+
				"host does not start")
	case config == nil:
		r.report.Warn(check, "deploy it on the Flex Consumption plan, as deploy/azure does",
			"it is not on the Flex Consumption plan, with which this project is tested (sku %q)", sku)
	case config.Runtime.Name != "custom":
		r.report.Problem(check, "deploy it with the runtime custom, version 1.0",
			"its runtime is %q, expected custom: the function is a custom handler", config.Runtime.Name)
	default:
		r.report.OK(check, "Flex Consumption, runtime custom")
	}
}

// principal is the identity that the function uses.
func (r *run) principal() string {
	if client := r.settings[identityName]; client != "" {
		for _, identity := range r.site.Identity.UserAssigned {
			if strings.EqualFold(identity.ClientID, client) {
				return identity.PrincipalID
			}
		}
		return ""
	}
	return r.site.Identity.PrincipalID
}

func (r *run) judgeIdentity() {
	const check = "identity"
	client, principal := r.settings[identityName], r.principal()
	hint := "turn it on, and give it the roles, as deploy/azure does:\naz functionapp identity assign " + r.flags()
	switch {
	case client != "" && principal == "":
		r.report.Problem(check, "correct the setting, or delete it and use the system-assigned one",
			"%s is %q, which is none of the app's identities: the function gets no token for Azure", identityName, client)
	case client != "":
		r.report.OK(check, "user-assigned, principal %s", principal)
	case principal == "":
		r.report.Problem(check, hint, "it has no system-assigned identity: the function gets no token for Azure")
	default:
		r.report.OK(check, "system-assigned, principal %s", principal)
	}
}

// function is what is read of the function itself.
type function struct {
	Properties struct {
		Disabled bool `json:"isDisabled"`
		Config   struct {
			Bindings []struct {
				Type     string `json:"type"`
				Schedule string `json:"schedule"`
			} `json:"bindings"`
		} `json:"config"`
	} `json:"properties"`
}

func (r *run) checkFunction(ctx context.Context) {
	const (
		check  = "function"
		action = "Microsoft.Web/sites/functions/read"
	)
	var found function
	err := r.manager.get(ctx, r.id+"/functions/"+rotation.FunctionName, webVersion, action, &found)
	hint := "deploy the package:\nmaia-rotate package azure -o function.zip\naz functionapp deployment source config-zip " + r.flags() +
		" --src function.zip"
	switch {
	case missing(err):
		r.report.Problem(check, hint, "it has no function %s: its package is not deployed, or the host does not start", rotation.FunctionName)
		return
	case err != nil:
		r.report.Warn(check, checkWith+action, "could not be tested: %v", err)
		return
	}
	disabled := ""
	for _, name := range disabling {
		if value := r.settings[name]; strings.EqualFold(value, "true") || value == "1" {
			disabled = name
		}
	}
	bindings := found.Properties.Config.Bindings
	switch {
	case disabled != "":
		r.report.Problem(check, "delete the setting:\naz functionapp config appsettings delete "+r.flags()+" --setting-names "+disabled,
			"%s is disabled, by the setting %s: nothing is rotated and nothing is healed", rotation.FunctionName, disabled)
	case found.Properties.Disabled:
		r.report.Problem(check, "enable it in the portal", "%s is disabled: nothing is rotated and nothing is healed", rotation.FunctionName)
	case len(bindings) == 0: // Azure does not say
		r.report.OK(check, "%s is there, and enabled", rotation.FunctionName)
	case len(bindings) > 1 || !strings.EqualFold(bindings[0].Type, "timerTrigger") || bindings[0].Schedule != "%"+scheduleSetting+"%":
		r.report.Problem(check, hint, "%s is not called by a timer with the schedule %%%s%%: it is of another package than this project's",
			rotation.FunctionName, scheduleSetting)
	default:
		r.report.OK(check, "%s is called by a timer, and enabled", rotation.FunctionName)
	}
}

// disabling are the settings that disable the function, if one is true.
var disabling = []string{
	fmt.Sprintf("AzureWebJobs.%s.Disabled", rotation.FunctionName),
	fmt.Sprintf("AzureWebJobs__%s__Disabled", rotation.FunctionName),
}
