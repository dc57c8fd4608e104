package aws

import (
	"net/http"
	"slices"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// watch makes events of what the function does to the services.
func (w *World) watch() {
	w.Secrets.OnCall(w.onSecrets)
	w.ECS.OnCall(w.onECS)
}

// labels are the versions that have Secrets Manager's own staging labels; pending only if it has a value.
type labels struct{ current, pending string }

func labelsOf(versions []secretsmanager.Version) labels {
	var found labels
	for _, version := range versions {
		if slices.Contains(version.Stages, "AWSCURRENT") {
			found.current = version.ID
		}
		if slices.Contains(version.Stages, "AWSPENDING") && !version.Empty {
			found.pending = version.ID
		}
	}
	return found
}

func (w *World) onSecrets(call awsjson.Call) {
	if call.Operation != "PutSecretValue" && call.Operation != "UpdateSecretVersionStage" {
		return
	}
	switch {
	case call.Fault == awsjson.DropAfter || call.Fault == awsjson.Status5xxAfter:
		w.Journal.Fail(sandbox.FromSecretsManager, "answer-lost", "%s is done, and its answer is lost", call.Operation)
	case call.Status/100 != 2:
		w.Journal.Fail(sandbox.FromSecretsManager, "call-failed", "%s fails: %s", call.Operation, call.Code)
	}
	w.onLabels()
}

// onLabels shows what changed in the labels.
func (w *World) onLabels() {
	now := labelsOf(w.Secrets.Versions(w.SecretARN))
	w.mu.Lock()
	before := w.labels
	w.labels = now
	w.mu.Unlock()
	if now.pending != before.pending && now.pending != "" && now.pending != now.current {
		w.Journal.Add(sandbox.FromSecretsManager, "stored", "AWSPENDING has a new value")
	}
	switch {
	case now.current == before.current:
	case now.current == before.pending:
		w.Journal.Add(sandbox.FromSecretsManager, "promoted", "AWSCURRENT moves to the pending version")
	default:
		w.Journal.Add(sandbox.FromSecretsManager, "promoted", "AWSCURRENT has a new value")
	}
}

func (w *World) onECS(call awsjson.Call) {
	switch {
	case call.Operation == "UpdateService" && call.Status == http.StatusOK:
		w.Journal.Add(sandbox.FromECS, "restart-ordered", "restart ordered")
	case call.Operation == "UpdateService":
		w.Journal.Fail(sandbox.FromECS, "restart-refused", "restart refused: %s", call.Code)
	case call.Operation == "DescribeServices":
		w.onDeployments()
	}
}

// onDeployments shows deployments that failed, once each.
func (w *World) onDeployments() {
	for _, deployment := range w.ECS.Service(Cluster, Service).Deployments {
		if deployment.RolloutState != "FAILED" {
			continue
		}
		w.mu.Lock()
		known := w.broken[deployment.ID]
		w.broken[deployment.ID] = true
		w.mu.Unlock()
		if !known {
			w.Journal.Fail(sandbox.FromECS, "deployment-failed", "the deployment failed: its task did not start")
		}
	}
}
