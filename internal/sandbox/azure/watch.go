package azure

import (
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// watch makes events of what the function does to the services.
func (w *World) watch() {
	w.Apps.OnCall(w.onApps)
	w.State.OnCall(w.onState)
	w.Identity.OnCall(func(call wire.Call) {
		if call.Status != http.StatusOK {
			w.Journal.Fail(sandbox.FromHost, "no-token", "the identity endpoint gives no token (%d)", call.Status)
		}
	})
}

// The operations of the emulators that are shown.
const (
	opRead    = "read"
	opSecrets = "listSecrets/action"
	opWrite   = "write"
	opRestart = "revisions/restart/action"
	opAcquire = "acquire"
	opRelease = "release"
	opPut     = "put"
)

// asks reports whether a call asks only whether it would be allowed: what it wants cannot be done.
func asks(call wire.Call) bool {
	return call.Operation == opWrite && call.Code == "InvalidRequestContent" || call.Operation == opRestart && call.Code == "RevisionNotFound"
}

func (w *World) onApps(call wire.Call) {
	defer w.onStored()
	lost := call.Fault == wire.DropAfter || call.Fault == wire.Status5xxAfter
	switch name := operationNames[call.Operation]; {
	case asks(call):
	case lost:
		w.Journal.Fail(sandbox.FromContainerApps, "answer-lost", "%s is done, and its answer is lost", name)
	case call.Operation == opWrite && call.Status == http.StatusAccepted:
		w.Journal.Add(sandbox.FromContainerApps, "change-begun", "the app is being changed by a PATCH with all of its secrets")
	case call.Operation == opRestart && call.Status == http.StatusOK:
		w.Journal.Add(sandbox.FromContainerApps, "restart-ordered", "restart of the revision ordered")
	case call.Status/100 != 2 && call.Fault != wire.DropBefore:
		w.Journal.Fail(sandbox.FromContainerApps, "call-refused", "%s is refused: %d %s", name, call.Status, call.Code)
	}
}

var operationNames = map[string]string{
	"read": "reading the app", "list": "listing the apps", opSecrets: "listing the secrets", opWrite: "changing the app",
	"revisions/read": "listing the revisions", "revisions/replicas/read": "listing the replicas", opRestart: "restarting a revision",
}

// onStored reports a secret that has another value than before.
func (w *World) onStored() {
	now := w.Apps.Secret(App, Secret).Value
	w.mu.Lock()
	changed := now != w.stored
	w.stored = now
	w.mu.Unlock()
	if changed {
		w.Journal.Add(sandbox.FromContainerApps, "stored", "secret %s has a new value", Secret)
	}
}

func (w *World) onState(call wire.Call) {
	switch {
	case call.Operation == opAcquire && call.Status == http.StatusCreated:
		w.Journal.Add(sandbox.FromBlobs, "locked", "the runner's blob is leased")
	case call.Operation == opAcquire && call.Status == http.StatusConflict:
		w.Journal.Fail(sandbox.FromBlobs, "lock-held", "the runner's blob is leased by another")
	case call.Operation == opRelease && call.Status == http.StatusOK:
		w.Journal.Add(sandbox.FromBlobs, "unlocked", "the lease is given back")
	}
}
