package identity_test

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/maia-rotate/maia-rotate/internal/emulator/identity"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	header = "header-of-the-process"
	arm    = "https://management.azure.com"
)

// fresh is a resource that no test before has asked for: the SDK keeps the tokens of all its credentials in one cache.
func fresh() string { return "https://" + strings.ToLower(rand.Text()) + ".example" }

// newCredential is the SDK's own, in the environment of a function app.
func newCredential(t *testing.T, header string, tokens map[string]string, options azidentity.ManagedIdentityCredentialOptions) (
	*identity.Server, *azidentity.ManagedIdentityCredential) {
	server := identity.New(identity.Options{Header: "header-of-the-process", Tokens: tokens})
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	t.Setenv("IDENTITY_ENDPOINT", web.URL+identity.Path)
	t.Setenv("IDENTITY_HEADER", header)
	options.Retry = policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Microsecond, MaxRetryDelay: time.Minute}
	credential, err := azidentity.NewManagedIdentityCredential(&options)
	if err != nil {
		t.Fatal(err)
	}
	return server, credential
}

func ask(t *testing.T, credential *azidentity.ManagedIdentityCredential, resource string) (azcore.AccessToken, error) {
	return credential.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
}

func TestTokens(t *testing.T) {
	tokens := map[string]string{fresh(): "token-for-one", fresh(): "token-for-another"}
	server, credential := newCredential(t, header, tokens, azidentity.ManagedIdentityCredentialOptions{})
	for resource, want := range tokens {
		before := time.Now()
		token, err := ask(t, credential, resource)
		if err != nil || token.Token != want {
			t.Fatalf("%s: %q, %v", resource, token.Token, err)
		}
		if left := token.ExpiresOn.Sub(before); left < 23*time.Hour || left > 25*time.Hour {
			t.Errorf("%s: expires in %s", resource, left)
		}
	}
	calls := server.Calls()
	if len(calls) != 2 || calls[0].Operation != "token" || calls[0].Service != "identity" || calls[0].Status != http.StatusOK ||
		calls[0].Resource == "" {
		t.Errorf("calls %+v", calls)
	}
}

func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		header  string
		unknown bool // the resource
		options azidentity.ManagedIdentityCredentialOptions
		fault   wire.Kind
		status  int
		asked   int // how often
	}{
		"another header":      {"another", false, azidentity.ManagedIdentityCredentialOptions{}, 0, 401, 1},
		"an unknown resource": {header, true, azidentity.ManagedIdentityCredentialOptions{}, 0, 400, 1},
		"a user-assigned one": {header, false,
			azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID("00000000-0000-0000-0000-000000000001")}, 0, 400, 1},
		"no identity":             {header, false, azidentity.ManagedIdentityCredentialOptions{}, wire.BadRequest, 400, 1},
		"forbidden":               {header, false, azidentity.ManagedIdentityCredentialOptions{}, wire.AccessDenied, 403, 1},
		"an error of the service": {header, false, azidentity.ManagedIdentityCredentialOptions{}, wire.Status5xx, 500, 2},
		"too many requests":       {header, false, azidentity.ManagedIdentityCredentialOptions{}, wire.Throttle, 429, 1},
		"down":                    {header, false, azidentity.ManagedIdentityCredentialOptions{}, wire.DropBefore, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			resource, tokens := fresh(), map[string]string{}
			if !test.unknown {
				tokens[resource] = "token"
			}
			server, credential := newCredential(t, test.header, tokens, test.options)
			if test.fault != 0 {
				server.Inject(wire.Fault{Operation: "token", Kind: test.fault, RetryAfter: time.Hour})
			}
			_, err := ask(t, credential, resource)
			var failed *azidentity.AuthenticationFailedError
			if !errors.As(err, &failed) {
				t.Fatalf("error %v", err)
			}
			status := 0
			if failed.RawResponse != nil {
				status = failed.RawResponse.StatusCode
			}
			if status != test.status {
				t.Errorf("status %d, want %d: %v", status, test.status, err)
			}
			if n := len(server.Calls()); n != test.asked {
				t.Errorf("%d requests, want %d", n, test.asked)
			}
		})
	}
}

func TestAnEndpointThatIsRepairedIsAskedAgain(t *testing.T) {
	resource := fresh()
	server, credential := newCredential(t, header, map[string]string{resource: "token"}, azidentity.ManagedIdentityCredentialOptions{})
	repair := server.Inject(wire.Fault{Kind: wire.Status5xx})
	if _, err := ask(t, credential, resource); err == nil {
		t.Error("no error")
	}
	repair()
	if token, err := ask(t, credential, resource); err != nil || token.Token != "token" {
		t.Errorf("%q, %v", token.Token, err)
	}
}

// Requests that the SDK does not send.
func TestRequestsThatAreNoneOfTheSDKs(t *testing.T) {
	const good = identity.Path + "?api-version=2019-08-01&resource=" + arm
	for name, test := range map[string]struct {
		method, target string
		status         int
	}{
		"good":                {http.MethodGet, good, 200},
		"with a slash":        {http.MethodGet, good + "/", 200},
		"POST":                {http.MethodPost, good, 405},
		"another path":        {http.MethodGet, "/metadata/identity/oauth2/token?api-version=2019-08-01&resource=" + arm, 404},
		"no version":          {http.MethodGet, identity.Path + "?resource=" + arm, 400},
		"another version":     {http.MethodGet, identity.Path + "?api-version=2017-09-01&resource=" + arm, 400},
		"no resource":         {http.MethodGet, identity.Path + "?api-version=2019-08-01", 400},
		"a resource ID of it": {http.MethodGet, good + "&mi_res_id=x", 400},
	} {
		t.Run(name, func(t *testing.T) {
			server := identity.New(identity.Options{Header: header, Tokens: map[string]string{arm: "token"}})
			request := httptest.NewRequest(test.method, test.target, nil)
			request.Header.Set("X-IDENTITY-HEADER", header)
			answer := httptest.NewRecorder()
			server.ServeHTTP(answer, request)
			if answer.Code != test.status {
				t.Errorf("status %d, want %d: %s", answer.Code, test.status, answer.Body)
			}
		})
	}
}
