package rotation

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/maia-rotate/maia-rotate/internal/emulator/identity"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func TestClouds(t *testing.T) {
	for url, audience := range map[string]string{
		"https://management.azure.com":          "https://management.core.windows.net/",
		"HTTPS://Management.Azure.Com":          "https://management.core.windows.net/",
		"https://management.usgovcloudapi.net":  "https://management.core.usgovcloudapi.net/",
		"https://management.chinacloudapi.cn":   "https://management.core.chinacloudapi.cn/",
		"https://management.azurestack.example": "https://management.azurestack.example",
		"http://127.0.0.1:8080":                 "https://management.core.windows.net/",
	} {
		service := cloudOf(url).Services[cloud.ResourceManager]
		if service.Audience != audience || !strings.EqualFold(service.Endpoint, url) {
			t.Errorf("%s: got %+v", url, service)
		}
	}
}

// TestIdentity uses the SDK's own managed identity.
func TestIdentity(t *testing.T) {
	const header, token = "the-identity-header", "the-token"
	for name, test := range map[string]struct {
		fault    wire.Fault
		down     bool
		clientID string
		kind     rotate.Kind
		words    string
	}{
		"a token":          {},
		"busy for once":    {fault: wire.Fault{Kind: wire.Status5xx, Times: 1}},
		"dropped once":     {fault: wire.Fault{Kind: wire.DropBefore, Times: 1}},
		"refused":          {fault: wire.Fault{Kind: wire.BadRequest}, kind: rotate.Permission, words: "(HTTP 400)"},
		"forbidden":        {fault: wire.Fault{Kind: wire.AccessDenied}, kind: rotate.Permission, words: "(HTTP 403)"},
		"always busy":      {fault: wire.Fault{Kind: wire.Status5xx}, kind: rotate.NotReady, words: "(HTTP 500)"},
		"down":             {down: true, kind: rotate.NotReady, words: "could not be asked"},
		"another identity": {clientID: "00000000-0000-0000-0000-00000000000d", kind: rotate.Permission, words: "AZURE_CLIENT_ID"},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && test.kind == rotate.NotReady {
				t.Skip("the SDK tries again in real time")
			}
			resource := "https://" + strings.ReplaceAll(name, " ", "-") + ".example" // the SDK keeps tokens for as long as the process lives
			endpoint := identity.New(identity.Options{Header: header, Tokens: map[string]string{resource: token}})
			server := httptest.NewServer(endpoint)
			defer server.Close()
			if test.fault.Kind != wire.NoFault {
				endpoint.Inject(test.fault)
			}
			url := server.URL
			if test.down {
				listener, err := net.Listen("tcp", "127.0.0.1:0") // of a port where nothing listens
				if err != nil {
					t.Fatal(err)
				}
				url = "http://" + listener.Addr().String()
				_ = listener.Close()
			}
			t.Setenv("IDENTITY_ENDPOINT", url+identity.Path)
			t.Setenv("IDENTITY_HEADER", header)
			config, err := ParseConfig(with(map[string]string{"AZURE_CLIENT_ID": test.clientID, "AZURE_RESOURCE_MANAGER_URL": ""}))
			if err != nil {
				t.Fatal(err)
			}
			azure, err := newAzureAPIs(config)
			if err != nil {
				t.Fatal(err)
			}
			got, err := azure.credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "//.default"}})
			switch {
			case test.words == "" && (err != nil || got.Token != token):
				t.Errorf("got %q, %v", got.Token, err)
			case test.words != "" && (rotate.KindOf(err) != test.kind || !strings.Contains(err.Error(), test.words)):
				t.Errorf("got %v, expected %s: %s", err, test.kind, test.words)
			case err != nil && (strings.Contains(err.Error(), "correlationId") || strings.Contains(err.Error(), "RESPONSE") ||
				strings.Contains(err.Error(), header)):
				t.Errorf("the answer is in: %v", err)
			}
		})
	}
}

func TestIdentityIsWaitedForNoLongerThanTheRun(t *testing.T) {
	endpoint := identity.New(identity.Options{})
	server := httptest.NewServer(endpoint)
	defer server.Close()
	t.Setenv("IDENTITY_ENDPOINT", server.URL+identity.Path)
	t.Setenv("IDENTITY_HEADER", "header")
	config, err := ParseConfig(with(map[string]string{"AZURE_CLIENT_ID": ""}))
	if err != nil {
		t.Fatal(err)
	}
	azure, err := newAzureAPIs(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	endpoint.OnCall(func(wire.Call) { cancel() })
	endpoint.Inject(wire.Fault{Kind: wire.Status5xx})
	if _, err := azure.credential.GetToken(ctx,
		policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestNoIdentity(t *testing.T) {
	config, err := ParseConfig(with(map[string]string{"IDENTITY_ENDPOINT": ""}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newAzureAPIs(config); rotate.KindOf(err) != rotate.Permission || !strings.Contains(err.Error(), "system-assigned") {
		t.Errorf("got %v", err)
	}
}
