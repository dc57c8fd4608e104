package azure

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/containerapps"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// Proofs checks whether all is as it must be after the calls: first what the fault is about, then what always holds. It
// ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed may be
// given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []sandbox.Proof {
	w.Journal.Stop()
	w.closeHosts()
	w.ProveFault()
	w.proveApp()
	w.Maia.Prove(w.ctx, w.Prove, w.Due(), w.fleet.connected())
	w.proveRights()
	var errors []byte
	for _, host := range w.hosts() {
		errors = append(errors, host.Errors()...)
	}
	w.Prove("nothing was printed to standard error, which the host would log as errors", len(errors) == 0, string(errors))
	apps, state := w.shown()
	return w.ProveUnleaked("no secret leaked into output, answers, blobs, or what the app shows", w.LeaksIn(map[string][]byte{
		"the function's output": w.Output(), "what the apps show": apps, "the blobs": state,
	}, printed))
}

// proveApp adds what must be true of the app.
func (w *World) proveApp() {
	clientID, secret := w.storedCredentials()
	w.Prove("Maia accepts the stored one", w.Maia.Accepts(sandbox.AgentID, clientID, secret), "it is not valid")
	w.Prove("the app holds exactly what Maia holds", w.storeIsMaia(), "it holds something else")
	reference := containerapps.Secret{Name: vaultSecret, KeyVaultURL: vaultURL, Identity: "system"}
	w.Prove("the reference to Key Vault is one still", w.vaultReference() == reference, "it is not")
	w.Prove("every other secret, tags, template, and the other app are untouched", w.untouched() == w.others, "something else changed")
	var idle []string
	for revision, restarts := range w.Apps.Restarts(App) {
		if restarts == 0 {
			idle = append(idle, revision)
		}
	}
	w.Prove("every active revision was restarted", len(idle) == 0, "not restarted: "+strings.Join(idle, ", "))
	w.Prove("every replica runs with the new secret", w.startedWith(w.Maia.LiveSecret(sandbox.AgentID)), "one does not")
}

// proveRights adds that the custom role is neither too small nor too large.
func (w *World) proveRights() {
	allowed, err := roleActions()
	if err != nil {
		w.Prove("the template has a custom role", false, err.Error())
	}
	missing, idle := compare(w.Apps.Calls(), allowed)
	w.Prove(fmt.Sprintf("the custom role of deploy/azure suffices, and each of its %d actions was needed", len(allowed)),
		len(allowed) > 0 && len(missing) == 0 && len(idle) == 0, fmt.Sprintf("missing %q, never needed %q", missing, idle))
	missing, _ = compare(w.State.Calls(), stateActions)
	w.Prove("in blob storage it needed no more than to read and write blobs, and to make the container", len(missing) == 0,
		fmt.Sprintf("missing %q", missing))
}

// compare compares the actions that calls needed with those that a role has.
func compare(calls []wire.Call, allowed []string) (missing, idle []string) {
	used := map[string]bool{}
	for _, call := range calls {
		name := call.Action
		if name == "" {
			name = call.Operation + " " + call.Resource
		}
		if !used[name] && !slices.Contains(allowed, name) {
			missing = append(missing, name)
		}
		if call.Status == http.StatusUnauthorized {
			missing = append(missing, "a valid token for "+call.Operation)
		}
		used[name] = true
	}
	return missing, slices.DeleteFunc(slices.Clone(allowed), func(action string) bool { return used[action] })
}
