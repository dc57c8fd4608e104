package rotation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/containerapp"
)

const (
	managerTimeout = 30 * time.Second // of one request to Azure Resource Manager
	blobTimeout    = 8 * time.Second  // of one to blob storage: several fit into a lease
	identityWait   = 20 * time.Second // for a token
)

// azureAPIs are the clients of Azure. They and their tokens may outlive an invocation.
type azureAPIs struct {
	credential azcore.TokenCredential
	manager    arm.ClientOptions
	state      *container.Client
}

// newAzureAPIs makes the clients. It sends no request.
//
// The credential is the app's managed identity. DefaultAzureCredential of azidentity would also try a developer's tools, start other
// programs for that, and fall back to another identity if the app has none; and the binary would be larger. The command line passes
// its own credential to [Handler.WithCredential].
func newAzureAPIs(config Config) (*azureAPIs, error) {
	if !config.ManagedIdentity {
		return nil, rotate.Errorf(rotate.Permission, "the function app has no managed identity (%s is not set)", envIdentity).
			WithHint("turn on its system-assigned identity, and restart it; for a user-assigned one set %s too", envIdentityOwner)
	}
	var options azidentity.ManagedIdentityCredentialOptions
	options.Retry = policy.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: 5 * time.Second}
	if config.IdentityClientID != "" {
		options.ID = azidentity.ClientID(config.IdentityClientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(&options)
	if err != nil {
		return nil, rotate.Errorf(rotate.Configuration, "the managed identity cannot be used: %w", err)
	}
	return apisOf(config, tokens{credential}, nil)
}

// WithCredential has the handler use this credential, and not the managed identity of the place where it runs. The transport is for all
// requests to Azure; nil: that of the SDK.
func (h *Handler) WithCredential(credential azcore.TokenCredential, transport policy.Transporter) {
	h.azure = func() (*azureAPIs, error) { return apisOf(h.config, tokens{credential}, transport) }
}

func apisOf(config Config, credential azcore.TokenCredential, transport policy.Transporter) (*azureAPIs, error) {
	options := containerapp.LastAnswers(clientOptions(config.StateContainerURL, config.ManagerURL, transport,
		policy.RetryOptions{MaxRetries: 2, RetryDelay: 300 * time.Millisecond, MaxRetryDelay: 2 * time.Second, TryTimeout: blobTimeout}))
	state, err := container.NewClient(config.StateContainerURL, credential, &container.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, settings.Errorf("no client can be made for the state container: %w", err)
	}
	return &azureAPIs{credential: credential, manager: managerOptions(config.ManagerURL, transport), state: state}, nil
}

// cloudOf is the cloud of a URL of Azure Resource Manager. In a cloud that the SDK does not know, the URL is the audience of the
// tokens. A URL on this machine is a proxy or an emulator of the public cloud.
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

// plain reports whether a URL is not https. The configuration allows that for loopback only.
func plain(url string) bool { return strings.HasPrefix(strings.ToLower(url), "http://") }

// tokens gives the errors of a credential their kinds. The SDK's own text is not used, for it quotes the whole answer.
type tokens struct{ azcore.TokenCredential }

func (t tokens) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	bounded, cancel := context.WithTimeout(ctx, identityWait)
	defer cancel()
	token, err := t.TokenCredential.GetToken(bounded, options)
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
			WithHint("nothing: the next run tries again; if this repeats, check that the function app has its identity still")
	case status == http.StatusTooManyRequests, status >= 500:
		return token, rotate.Errorf(rotate.NotReady, "no token was issued to the function's identity (HTTP %d)", status).
			WithHint("nothing: the next run tries again")
	}
	return token, rotate.Errorf(rotate.Permission, "no token was issued to the function's identity (HTTP %d)", status).
		WithHint("check that the function app has the identity, and %s, if it is set, its client ID", envIdentityOwner)
}
