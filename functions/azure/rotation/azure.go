package rotation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// ListApps is the action that the function's identity needs in each of its resource groups, beside those of
// [containerapp.Runner] on the apps.
const ListApps = "Microsoft.App/containerApps/read"

const (
	managerTimeout = 30 * time.Second // of one request to Azure Resource Manager
	blobTimeout    = 8 * time.Second  // of one to blob storage: several fit into a lease
	identityWait   = 20 * time.Second // for a token
)

// azureAPIs is what the function asks Azure for. Clients and their tokens may outlive an invocation.
type azureAPIs struct {
	credential azcore.TokenCredential
	manager    arm.ClientOptions
	state      *container.Client
}

// newAzureAPIs makes the clients, which nothing is asked by yet.
//
// The credential is the managed identity, and not azidentity's DefaultAzureCredential: that one looks for a developer's
// tools too, which a function app has not, starts other programs to do so, and would fall back to another identity than the
// app's where this one is missing. The binary is smaller for it as well. The command line, at home on a developer's machine,
// gives its own credential by [Handler.As].
func newAzureAPIs(config Config) (*azureAPIs, error) {
	if !config.ManagedIdentity {
		return nil, rotate.Errorf(rotate.Permission, "the function app has no managed identity (%s is not set)", envIdentity).
			WithTodo("turn on its system-assigned identity, and restart it; for a user-assigned one set %s too", envIdentityOwner)
	}
	options := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 5 * time.Second}}}
	if config.IdentityClientID != "" {
		options.ID = azidentity.ClientID(config.IdentityClientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(options)
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the managed identity cannot be used: %w", err)
	}
	return apisOf(config, identity{credential}, nil)
}

// As has the handler work with a credential that it is given, not with the managed identity of where it runs. The transport
// is for all requests to Azure; nil: that of the SDK.
func (h *Handler) As(credential azcore.TokenCredential, transport policy.Transporter) {
	h.azure = func() (*azureAPIs, error) { return apisOf(h.config, identity{credential}, transport) }
}

func apisOf(config Config, credential azcore.TokenCredential, transport policy.Transporter) (*azureAPIs, error) {
	shared := func(url string, retry policy.RetryOptions) azcore.ClientOptions {
		return azcore.ClientOptions{
			Cloud: cloudOf(config.ManagerURL), Transport: transport, Retry: retry,
			Telemetry: policy.TelemetryOptions{ApplicationID: "maia-rotate"},
			InsecureAllowCredentialWithHTTP: plain(url),
		}
	}
	state, err := container.NewClient(config.StateContainerURL, credential, &container.ClientOptions{ClientOptions: shared(config.StateContainerURL,
		policy.RetryOptions{MaxRetries: 2, RetryDelay: 300 * time.Millisecond, MaxRetryDelay: 2 * time.Second, TryTimeout: blobTimeout})})
	if err != nil {
		return nil, settings.Errorf("no client can be made for the state container: %w", err)
	}
	// A Retry-After is kept up to the longest delay: Azure Resource Manager asks for up to a minute.
	manager := arm.ClientOptions{
		ClientOptions: shared(config.ManagerURL, policy.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: time.Minute, TryTimeout: managerTimeout}),
		// A registration of the resource provider would need a right on the whole subscription.
		DisableRPRegistration: true,
	}
	return &azureAPIs{credential: credential, manager: manager, state: state}, nil
}

// cloudOf is the cloud of a URL of Azure Resource Manager. One that the SDK does not know has the URL itself as the audience
// of its tokens; one on this machine stands in front of the public cloud, or for it.
func cloudOf(manager string) cloud.Configuration {
	for _, known := range []cloud.Configuration{cloud.AzurePublic, cloud.AzureGovernment, cloud.AzureChina} {
		if strings.EqualFold(known.Services[cloud.ResourceManager].Endpoint, manager) {
			return known
		}
	}
	audience := manager
	if plain(manager) {
		audience = cloud.AzurePublic.Services[cloud.ResourceManager].Audience
	}
	return cloud.Configuration{Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
		cloud.ResourceManager: {Endpoint: manager, Audience: audience},
	}}
}

// plain says that a URL is not https. The configuration lets one pass only if it is loopback's.
func plain(url string) bool { return strings.HasPrefix(strings.ToLower(url), "http://") }

// identity gives an error of a credential its kind. The SDK's own text is not used: it holds the whole answer.
type identity struct{ azcore.TokenCredential }

// GetToken implements azcore.TokenCredential.
func (i identity) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	bounded, cancel := context.WithTimeout(ctx, identityWait)
	defer cancel()
	token, err := i.TokenCredential.GetToken(bounded, options)
	if err == nil {
		return token, nil
	}
	if ctx.Err() != nil {
		return token, ctx.Err()
	}
	var answered *azidentity.AuthenticationFailedError
	status := 0
	if errors.As(err, &answered) && answered.RawResponse != nil {
		status = answered.RawResponse.StatusCode
	}
	switch {
	case status == 0:
		return token, rotate.Errorf(rotate.NotReady, "no token was issued to the function's identity: it could not be asked for one").
			WithTodo("nothing: the next run tries again; if this repeats, check that the function app has its identity still")
	case status == http.StatusTooManyRequests, status >= 500:
		return token, rotate.Errorf(rotate.NotReady, "no token was issued to the function's identity (HTTP %d)", status).
			WithTodo("nothing: the next run tries again")
	}
	return token, rotate.Errorf(rotate.Permission, "no token was issued to the function's identity (HTTP %d)", status).
		WithTodo("check that the function app has the identity, and %s, if it is set, its client ID", envIdentityOwner)
}

// taggedApps are the resource IDs of the apps in a resource group that have the tag.
func (a *azureAPIs) taggedApps(ctx context.Context, group string) ([]string, error) {
	id, err := arm.ParseResourceID(group)
	if err != nil {
		return nil, settings.Errorf("%q is not the resource ID of a resource group, expected %s", group, groupForm)
	}
	client, err := armappcontainers.NewContainerAppsClient(id.SubscriptionID, a.credential, &a.manager)
	if err != nil {
		return nil, settings.Errorf("no client can be made of Azure Resource Manager: %w", err)
	}
	var ids []string
	for pages := client.NewListByResourceGroupPager(id.ResourceGroupName, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, listFailure(group, err)
		}
		for _, app := range page.Value {
			if app != nil && app.ID != nil && tagged(app.Tags) {
				ids = append(ids, *app.ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil, settings.Errorf("no Container App in %s has the tag %s=%s", group, Tag, TagValue).
			WithTodo("tag those of runners; an apply of the vendor's Terraform takes the tag away, unless it is one of that configuration's own")
	}
	return ids, nil
}

// tagged says that an app has the tag. The case of a tag's name does not matter to Azure; that of its value does.
func tagged(tags map[string]*string) bool {
	for name, value := range tags {
		if strings.EqualFold(name, Tag) && value != nil && *value == TagValue {
			return true
		}
	}
	return false
}

// listFailure gives an error of a list its kind.
func listFailure(group string, err error) error {
	var answered *azcore.ResponseError
	if !errors.As(err, &answered) {
		return fmt.Errorf("list the apps in %s: %w", group, err)
	}
	kind, todo := rotate.Internal, "look at the activity log; the next run tries again"
	switch code := answered.StatusCode; {
	case code == http.StatusForbidden, code == http.StatusUnauthorized:
		kind, todo = rotate.Permission, "allow the function's identity "+ListApps+" in the resource group"
	case code == http.StatusNotFound:
		kind, todo = rotate.Configuration, "check the resource IDs in "+envGroups
	case code == http.StatusTooManyRequests, code >= 500:
		kind, todo = rotate.NotReady, "nothing: the next run tries again"
	}
	typed := rotate.Errorf(kind, "list the apps in %s: %s (HTTP %d)", group, answered.ErrorCode, answered.StatusCode)
	typed.Todo = todo
	return typed
}
