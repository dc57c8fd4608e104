package containerapp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/appcontainers/armappcontainers/v3"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	fuzzApp    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/runners/providers/Microsoft.App/containerApps/runner"
	fuzzAgent  = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	fuzzSecret = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"
)

// fuzzAzure answers the read of the app and the list of its secrets.
type fuzzAzure struct{ app, secrets []byte }

func (f fuzzAzure) Do(request *http.Request) (*http.Response, error) {
	body := f.app
	if strings.HasSuffix(request.URL.Path, "/listSecrets") {
		body = f.secrets
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: request, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// GetToken implements azcore.TokenCredential.
func (fuzzAzure) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "x", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

const fuzzSample = `{"id":"` + fuzzApp + `","location":"westeurope","properties":{"provisioningState":"Succeeded",` +
	`"configuration":{"secrets":[{"name":"matillion-client-id"},{"name":"matillion-client-secret"},` +
	`{"name":"vault","keyVaultUrl":"https://v.vault.azure.net/secrets/x"}]},` +
	`"template":{"containers":[{"name":"runner","env":[{"name":"AGENT_ID","value":"` + fuzzAgent +
	`"},{"name":"MATILLION_REGION","value":"EU1"},{"name":"OAUTH_CLIENT_ID","secretRef":"matillion-client-id"},` +
	`{"name":"OAUTH_CLIENT_SECRET","secretRef":"matillion-client-secret"}]}],"scale":{"minReplicas":1,"maxReplicas":1}}}}`

const fuzzSecrets = `{"value":[{"name":"matillion-client-id","value":"client"},{"name":"matillion-client-secret","value":"` +
	fuzzSecret + `"},{"name":"vault","keyVaultUrl":"https://v.vault.azure.net/secrets/x","identity":"system"},` +
	`{"name":"other","value":"of another\u0000"}]}`

// FuzzApp: whatever Azure answers, it is a runner's app with credentials, whose other secrets are all sent as they are; or else
// an error with a kind and without a secret.
func FuzzApp(f *testing.F) {
	f.Add([]byte(fuzzSample), []byte(fuzzSecrets))
	f.Add([]byte(strings.Replace(fuzzSample, `"secretRef":"matillion-client-secret"`, `"value":"`+fuzzSecret+`"`, 1)), []byte(fuzzSecrets))
	f.Add([]byte(strings.Replace(fuzzSample, `"value":"`+fuzzAgent+`"`, `"secretRef":"matillion-client-id"`, 1)),
		[]byte(`{"value":[null,{},{"name":null,"value":"`+fuzzSecret+`"}]}`))
	f.Add([]byte(strings.Replace(fuzzSample, `"containers":[`,
		`"containers":[null,{"env":[null,{"name":"AGENT_ID","value":"another"}]},`, 1)), []byte(fuzzSecrets))
	f.Add([]byte(fuzzSample), []byte(`{"value":[{"name":"matillion-client-secret","value":["`+fuzzSecret+`"]}]}`))
	f.Add([]byte(fuzzSample), []byte(strings.Replace(fuzzSecrets, `{"name":"other"`,
		`{"name":"matillion-client-secret","value":"twice"},{"name":"other"`, 1)))
	f.Add([]byte(`{"properties":{"template":null,"configuration":{"secrets":[null]}}}`), []byte(`null`))
	f.Add([]byte(`"`+fuzzSecret), []byte(fuzzSecret))
	f.Fuzz(func(t *testing.T, app, secrets []byte) {
		if bytes.Contains(app, []byte(fuzzSecret)) && !bytes.Contains(app, []byte(`"value":"`+fuzzSecret+`"`)) {
			return // an app may be named like it
		}
		azure := fuzzAzure{app, secrets}
		config := Config{Credential: azure, App: fuzzApp,
			Client: arm.ClientOptions{ClientOptions: policy.ClientOptions{Transport: azure, Retry: policy.RetryOptions{MaxRetries: -1}}}}
		mustBeTyped := func(err error) {
			t.Helper()
			if text := rotate.AsError(err, rotate.NotObserved).Error(); bytes.Contains(secrets, []byte(`"`+fuzzSecret)) &&
				strings.Contains(text, fuzzSecret) {
				t.Errorf("the error holds the secret: %v", text)
			}
		}
		factory, err := armappcontainers.NewClientFactory("00000000-0000-0000-0000-000000000001", azure, config.client())
		if err != nil {
			t.Fatal(err)
		}
		id, err := parseApp(fuzzApp)
		if err != nil {
			t.Fatal(err)
		}
		r := &Runner{config: config, id: id, apps: factory.NewContainerAppsClient()}
		if err := r.readApp(t.Context()); err != nil {
			mustBeTyped(err)
			return
		}
		if agent, err := r.seen.plain("AGENT_ID"); err != nil {
			mustBeTyped(err)
		} else if maia.CheckAgentID(agent) == nil && !bytes.Contains(app, []byte(agent)) && !bytes.Contains(app, []byte(`\`)) {
			t.Errorf("the agent %q is not in the app", agent)
		}
		if err := r.readSecrets(t.Context()); err != nil {
			mustBeTyped(err)
			return
		}
		held, err := r.seen.credentials()
		if err != nil {
			mustBeTyped(err)
			return
		}
		if held.ClientSecret.IsZero() {
			t.Errorf("credentials without a secret")
		}
		sent, err := r.seen.all()
		if err != nil {
			mustBeTyped(err)
			return
		}
		names := map[string]bool{}
		for _, secret := range r.seen.secrets {
			names[value(secret.Name)] = true
		}
		if len(names) < len(r.seen.secrets) {
			return // Azure gives a name to one secret
		}
		if len(sent) != len(r.seen.secrets) || !r.seen.holds(sent) {
			t.Errorf("what would be sent is not what the app has")
		}
	})
}

// FuzzBlob: a blob is refused, or holds a note and the runner's app in the form in which they will be written, so that the next
// write loses nothing.
func FuzzBlob(f *testing.F) {
	const note = `{"app":"` + fuzzApp + `","applied":"0123456789ab",` +
		`"intent":{"at":"2026-03-01T10:00:00.123Z","over":"0123456789ab","by":"q3k5"},` +
		`"paused":{"at":"2026-03-01T09:59:00Z","by":"q3k5","confirmed":true,"until":"2026-03-01T12:00:00Z"},` +
		`"rotated":{"at":"2026-02-01T10:00:00Z","over":"ab0123456789","new":"0123456789ab"}}`
	for _, sample := range []string{note, "", " ", "{}", "null", note + "x", note + note, `{"app":7}`, `{"app":"x","unknown":1}`,
		`{"app":"x","APP":"y"}`, note[:40]} {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := parseContent(text)
		if err != nil {
			if read.App != "" || !read.Equal(rotate.Note{}) {
				t.Errorf("an error with a content: %+v", read)
			}
			return
		}
		written, err := json.Marshal(read)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := parseContent(written); err != nil || again.App != read.App || !again.Equal(read.Note) {
			t.Errorf("%s became %s: %v", text, written, err)
		}
	})
}

// FuzzResourceID: what is accepted as an app's ID is one, and puts nothing else into the path of a request.
func FuzzResourceID(f *testing.F) {
	for _, sample := range []string{
		fuzzApp, strings.ToUpper(fuzzApp), fuzzApp + "/", fuzzApp + "/revisions/x",
		"/subscriptions//resourceGroups/g/providers/Microsoft.App/containerApps/x", "/resourceGroups/g/providers/Microsoft.App/containerApps/x",
		"/subscriptions/s/resourceGroups/../providers/Microsoft.App/containerApps/..", "/subscriptions/s/providers/Microsoft.App/containerApps/x",
		strings.Replace(fuzzApp, "Microsoft.App/containerApps", "Microsoft.ContainerInstance/containerGroups", 1), "", "/",
	} {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseApp(text)
		if err != nil {
			if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "expected") &&
				!strings.Contains(err.Error(), "Container Instances") {
				t.Errorf("the error is %v", err)
			}
			return
		}
		again, err := parseApp(id.String())
		if err != nil || !strings.EqualFold(again.String(), id.String()) {
			t.Errorf("%q became %q: %v", id, again, err)
		}
		for _, part := range []string{id.SubscriptionID, id.ResourceGroupName, id.Name} {
			if part == "" || strings.Contains(part, "/") {
				t.Errorf("%q has the part %q", text, part)
			}
		}
	})
}
