package rotation

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Manager is the address of Azure Resource Manager, as a setting says it, and the options of clients of it; an empty setting
// is the public cloud. The transport may be nil: that of the SDK.
func Manager(setting string, transport policy.Transporter) (url string, options arm.ClientOptions, err error) {
	if url, err = managerURL(setting); err != nil {
		return "", arm.ClientOptions{}, err
	}
	return url, managerOptions(url, transport), nil
}

// managerOptions are those of clients at an address that was checked.
func managerOptions(url string, transport policy.Transporter) arm.ClientOptions {
	return arm.ClientOptions{
		ClientOptions: clientOptions(url, url, transport,
			// A Retry-After is kept up to the longest delay: Azure Resource Manager asks for up to a minute.
			policy.RetryOptions{MaxRetries: 3, RetryDelay: 500 * time.Millisecond, MaxRetryDelay: time.Minute, TryTimeout: managerTimeout}),
		// A registration of the resource provider would need a right on the whole subscription.
		DisableRPRegistration: true,
	}
}

// clientOptions are those of a client at a URL, in the cloud of a Resource Manager.
func clientOptions(url, manager string, transport policy.Transporter, retry policy.RetryOptions) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud: cloudOf(manager), Transport: transport, Retry: retry,
		Telemetry:                       policy.TelemetryOptions{ApplicationID: "maia-rotate"},
		InsecureAllowCredentialWithHTTP: plain(url),
	}
}
