package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	azuredeploy "github.com/maia-rotate/maia-rotate/deploy/azure"
	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// untouched is all that a rotation must not change: every other secret of the app, its tags, template and whatever else it
// shows, and the other app.
func (w *World) untouched() string {
	secrets := w.Apps.Secrets(App)
	for i := range secrets {
		if secrets[i].Name == Secret && secrets[i].KeyVaultURL == "" {
			secrets[i].Value = ""
		}
	}
	text, err := json.Marshal([]any{secrets, w.steady(App), w.Apps.Secrets(otherApp), w.steady(otherApp), w.Apps.Restarts(otherApp)})
	if err != nil {
		panic(fmt.Sprintf("sandbox: %v", err)) // plain data
	}
	return string(text)
}

// steady is what a GET shows of an app, without what any change changes.
func (w *World) steady(app string) map[string]any {
	document := w.Apps.Shown(app)
	delete(document, "systemData")
	delete(document["properties"].(map[string]any), "provisioningState")
	return document
}

// stored is what a replica that starts now would read.
func (w *World) storedCredentials() (clientID, secret string) {
	return w.Apps.Secret(App, clientIDSecret).Value, w.Apps.Secret(App, Secret).Value
}

// storeIsMaia reports whether the app holds what Maia holds.
func (w *World) storeIsMaia() bool {
	clientID, secret := w.storedCredentials()
	return clientID == sandbox.ClientID && secret == w.Maia.LiveSecret(sandbox.AgentID)
}

// startedWith reports whether all replicas were started with a secret.
func (w *World) startedWith(secret string) bool {
	return w.fleet.each(func(one replica) bool { return one.secret == secret })
}

// vaultReference is the secret that is one.
func (w *World) vaultReference() containerapps.Secret { return w.Apps.Secret(App, vaultSecret) }

// shown is what those can read who may not list secrets, and what the function has kept.
func (w *World) shown() (apps, state []byte) {
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	for _, app := range []string{App, otherApp} {
		_ = encoder.Encode(w.Apps.Shown(app)) // plain data
	}
	for name, content := range w.State.Blobs(StateContainer) {
		state = fmt.Appendf(state, "%s\n%s\n", name, content)
	}
	return document.Bytes(), state
}

// roleActions are the actions of the custom role that the template makes.
func roleActions() (actions []string, err error) {
	var template struct {
		Resources []struct {
			Type       string
			Properties struct {
				Permissions []struct{ Actions []string }
			}
		}
	}
	if err := json.Unmarshal(azuredeploy.Template, &template); err != nil {
		return nil, err
	}
	for _, resource := range template.Resources {
		if resource.Type != "Microsoft.Authorization/roleDefinitions" {
			continue
		}
		for _, permission := range resource.Properties.Permissions {
			actions = append(actions, permission.Actions...)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(actions))), nil
}

// stateActions are those that the function needs in its own storage account. Storage Blob Data Owner has them.
var stateActions = []string{
	"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read",
	"Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write",
	"Microsoft.Storage/storageAccounts/blobServices/containers/write",
}
