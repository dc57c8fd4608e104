package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/spf13/cobra"

	doctorazure "github.com/maia-rotate/maia-rotate/internal/doctor/azure"
)

// azureOptions are those of the commands that check an installation on Azure.
type azureOptions struct {
	functionApp string
	json        bool
}

func (o *azureOptions) flags(command *cobra.Command) {
	command.Flags().StringVar(&o.functionApp, "function-app", "", "the resource `ID` of the function app (required)")
	command.Flags().BoolVar(&o.json, "json", false, "print one JSON document")
}

const functionAppForm = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.Web/sites/NAME"

// checker makes what checks the installation.
func (o *azureOptions) checker() (*doctorazure.Checker, error) {
	switch {
	case o.functionApp == "":
		return nil, usageError{errors.New("--function-app is not set: it is the resource ID of the function app, " + functionAppForm)}
	case !doctorazure.FunctionAppID.MatchString(o.functionApp):
		return nil, usageError{fmt.Errorf("--function-app is %q, expected %s", o.functionApp, functionAppForm)}
	}
	credential, err := azureCredential(strings.Split(o.functionApp, "/")[2])
	if err != nil {
		return nil, notCarriedOut{fmt.Errorf("there are no credentials of Azure: %w", err)}
	}
	return &doctorazure.Checker{Credential: credential, ManagerURL: os.Getenv("AZURE_RESOURCE_MANAGER_URL")}, nil
}

// azureCredential is the operator's: who is logged in to the Azure CLI, in the tenant of a subscription; or, where this runs
// in Azure, the managed identity of there.
func azureCredential(subscription string) (azcore.TokenCredential, error) {
	if os.Getenv("IDENTITY_ENDPOINT") == "" {
		if _, err := exec.LookPath("az"); err != nil {
			return nil, fmt.Errorf("the Azure CLI is to give them, after az login: %w", err)
		}
		return azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{Subscription: subscription})
	}
	options := &azidentity.ManagedIdentityCredentialOptions{}
	if client := os.Getenv("AZURE_CLIENT_ID"); client != "" {
		options.ID = azidentity.ClientID(client)
	}
	return azidentity.NewManagedIdentityCredential(options)
}

const azureEnvironment = `AZURE_RESOURCE_MANAGER_URL in your environment names the Azure Resource Manager of another cloud than the
public one.`

func newDoctorAzure() *cobra.Command {
	var options azureOptions
	command := &cobra.Command{
		Use:   "azure --function-app ID",
		Short: "Check an installation on Azure, without changing anything",
		Long: `Check an installation on Azure, without changing anything.

It checks the deployed function app (state, plan and runtime, identity, storage, schedule, settings,
references to Key Vault, whether the function is there and enabled), with the code and the
configuration of the function each Container App and Maia, and the roles of the app's identity, and
says of each thing that is not in order how to put it right. For each app it plans a rotation.

It runs with the credentials of the Azure CLI (az login); where IDENTITY_ENDPOINT is set, with the
managed identity of there. Nothing that it asks for changes anything: whether an app may be changed
and restarted, it finds out by asking for what cannot be done, which the activity log shows as failed.
It prints no secret, and of a setting the name, and the value only if that is no secret.
` + azureEnvironment + `

You need these rights: Microsoft.Web/sites/read, sites/config/list/action, sites/config/read and
sites/functions/read on the function app; the actions of the role "maia-rotate runner" on the apps;
Storage Blob Data Reader on the container with the locks and notes; Key Vault Secrets User on the
secret of the API credential; Microsoft.Storage/storageAccounts/read on the storage account; and
Microsoft.Authorization/roleAssignments/read, roleDefinitions/read and permissions/read. Without one
of the first two it cannot be carried out; whatever else is missing is a warning.

What it cannot know: whether the function reaches Azure and Maia from where it runs; whether the timer
has really fired, which the function's log shows; deny assignments; and whether Maia lets the API
credential refresh, which only a rotation shows.

With --json it prints one JSON document: "ok", how many "problems" and "warnings", the "findings" in
the order of the checks ("level" is ok, warning or problem; "check" is a name that stays), and what
was "not_checked".

Exit codes: 0 if there is no problem (there may be warnings), 1 if there is one, 2 if the command
line is wrong, 3 if it could not be carried out (no credentials, no network, no rights).`,
		Example: `  maia-rotate doctor azure --function-app "$(az functionapp show -g maia-rotate -n NAME --query id -o tsv)"
  maia-rotate doctor azure --function-app ID --json | jq '.findings[] | select(.level != "ok")'`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return doctorAzure(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

func doctorAzure(ctx context.Context, options azureOptions, stdout io.Writer) error {
	checker, err := options.checker()
	if err != nil {
		return err
	}
	report, err := checker.Check(ctx, options.functionApp)
	return diagnosis{
		title: "The function app " + shortFunctionApp(options.functionApp), json: options.json,
		report: doctorReport{Function: options.functionApp, Report: report}, err: err,
	}.show(stdout)
}

// shortFunctionApp names a function app for a person.
func shortFunctionApp(id string) string {
	parts := doctorazure.FunctionAppID.FindStringSubmatch(id)
	return fmt.Sprintf("%s in %s", parts[3], parts[2])
}

func newPlanAzure() *cobra.Command {
	var options azureOptions
	command := &cobra.Command{
		Use:   "azure --function-app ID",
		Short: "Show what a function on Azure would do for each runner, without doing it",
		Long: `Show what a function on Azure would do for each runner, without doing it.

It shows for each Container App when it is due, the steps of a rotation, each with its reason, and
what is in the way of one now. It comes from the function's own code, here with the credentials of the
Azure CLI (az login) and the settings of the function app. Nothing is changed.
` + azureEnvironment + `

The function app itself, its timer and its roles are not checked: that is for "maia-rotate doctor
azure".

With --json it prints one JSON document: "ok", the "function", and its "targets", each with a
"rotation" whose "steps" are those that would be taken, and, if something is in the way, an "error"
with its "kind", the "state" of the runner, "what" is in the way, and a "hint" what to do.

Exit codes: 0 if nothing is in the way, 1 if something is, 2 if the command line is wrong, 3 if it
could not be carried out (no credentials, no network, no rights).`,
		Example: `  maia-rotate plan azure --function-app "$(az functionapp show -g maia-rotate -n NAME --query id -o tsv)"`,
		Args:    noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return planAzure(command.Context(), options, command.OutOrStdout())
		},
		DisableFlagsInUseLine: true,
	}
	options.flags(command)
	return command
}

func planAzure(ctx context.Context, options azureOptions, stdout io.Writer) error {
	checker, err := options.checker()
	if err != nil {
		return err
	}
	plan, err := checker.Plan(ctx, options.functionApp)
	if err != nil {
		return notCarriedOut{err}
	}
	return showPlan(stdout, options.json, "The next rotations of "+shortFunctionApp(options.functionApp), plan)
}
