package azure

import (
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
)

// Tag marks the apps that are taken where a resource group is configured.
const Tag, tagValue = "maia-rotate", "enabled"

// Impostor is the resource ID of an app whose owner names another runner's agent in it.
const Impostor = Group + "/providers/Microsoft.App/containerApps/impostor"

// AddImpostor has another person make such an app, with a secret of his own, which is returned.
func (w *World) AddImpostor() (secret string) {
	secret = w.newSecret("the secret of the impostor's app")
	app := runnerApp(secret, "an impostor's")
	app.ID, app.Revisions = Impostor, nil
	w.Apps.Add(app)
	return secret
}

// AddSibling adds another active revision of the runner's app.
func (w *World) AddSibling() {
	w.fleet.want(Replicas)
	w.Apps.AddRevision(App, containerapps.Revision{Name: AppName + "--0000002", Replicas: Replicas})
}

// SetTagged has another writer take the tag away from the runner's app, or give it back.
func (w *World) SetTagged(tagged bool) {
	value := ""
	if tagged {
		value = tagValue
	}
	w.Apps.SetTag(App, Tag, value)
}

// ConcurrentChange has another person change another secret of the app, which must stay as it is from then on.
func (w *World) ConcurrentChange() {
	before, after := w.Apps.Secret(App, otherSecret).Value, w.newSecret("another secret of the app")
	w.Apps.SetSecret(App, otherSecret, after)
	w.others = strings.Replace(w.others, before, after, 1)
}
