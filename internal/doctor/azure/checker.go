// Package azure checks an installation on Azure: the deployed function app, its settings, its identity's roles, and, with the
// function's own code and configuration, its apps and Maia. Nothing that it asks for changes anything.
package azure

import (
	"context"
	"fmt"
	"regexp"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// FunctionAppID is the form of a function app's resource ID. Its parts are the resource group's ID, the group, and the name.
var FunctionAppID = regexp.MustCompile(`(?i)^(/subscriptions/[0-9a-z-]+/resourceGroups/([-\pL\pN_.()]*[-\pL\pN_()]))` +
	`/providers/Microsoft\.Web/sites/([0-9a-z-]+)$`)

// Checker checks an installation with an operator's credentials of Azure.
type Checker struct {
	Credential azcore.TokenCredential // of the operator
	ManagerURL string                 // of Azure Resource Manager; empty: the public cloud's
	Transport  policy.Transporter     // of all requests to Azure; nil: the SDK's
}

// Check checks a function app by its resource ID. An error means that not all could be checked.
func (c *Checker) Check(ctx context.Context, id string) (doctor.Report, error) {
	r, err := c.begin(id)
	if err != nil {
		return doctor.Report{}, err
	}
	switch err := r.manager.get(ctx, id, webVersion, "Microsoft.Web/sites/read", &r.site); {
	case missing(err):
		r.report.Problem("function-app", "deploy it, or check its resource ID: az functionapp show --query id", "there is no function app %s", id)
		return r.report, nil
	case err != nil:
		return r.report, err
	}
	r.judgeState()
	r.judgePlan()
	if err := r.readSettings(ctx); err != nil {
		return r.report, err
	}
	r.judgeIdentity()
	r.judgeSettings()
	r.checkReferences(ctx)
	r.checkFunction(ctx)
	err = r.checkApps(ctx)
	r.checkRoles(ctx)
	r.checkTags(ctx)
	return r.report, err
}

// Plan finds out what the next call would do. An error means that this could not be found out.
func (c *Checker) Plan(ctx context.Context, id string) (doctor.Plan, error) {
	plan := doctor.Plan{Function: id}
	r, err := c.begin(id)
	if err != nil {
		return plan, err
	}
	switch err := r.readSettings(ctx); {
	case missing(err):
		return plan, fmt.Errorf("there is no function app %s", id)
	case err != nil:
		return plan, err
	}
	config, err := rotation.ParseConfig(r.environ(nil))
	if err != nil {
		plan.Error = rotate.AsError(err, rotate.NotObserved)
		return plan, nil
	}
	plan.Every = config.Policy.Every
	plan.Result, err = r.plan(ctx, config)
	return plan, err
}

// run is one check of one function app.
type run struct {
	checker  *Checker
	manager  *manager
	id       string
	report   doctor.Report
	site     site
	settings map[string]string
	config   *rotation.Config // nil if it is wrong
	apps     []string         // resource IDs of those that are served, as far as they are known
}

func (c *Checker) begin(id string) (*run, error) {
	manager, err := c.newManager()
	return &run{checker: c, manager: manager, id: id}, err
}

func (r *run) group() string { return FunctionAppID.FindStringSubmatch(r.id)[1] }

// flags name the function app in a command of the Azure CLI.
func (r *run) flags() string {
	parts := FunctionAppID.FindStringSubmatch(r.id)
	return "--resource-group " + parts[2] + " --name " + parts[3]
}
