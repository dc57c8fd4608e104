package sandbox

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// watch makes events of what the function does to the services.
func (w *World) watch() {
	w.Maia.OnCall(w.onMaia)
	w.Secrets.OnCall(w.onSecrets)
	w.ECS.OnCall(w.onECS)
}

func (w *World) onMaia(call maiatest.Call) {
	done := call.Status/100 == 2
	switch {
	case call.Name == maiatest.RefreshCredentials:
		w.onRefresh(call.Status)
	case call.Name == maiatest.Pause && done:
		w.journal.Add(FromMaia, "paused", "paused: pipelines that run may finish, new ones wait")
	case call.Name == maiatest.Resume && done:
		w.journal.Add(FromMaia, "resumed", "resumed: pipelines run again")
	case call.Name == maiatest.Pause, call.Name == maiatest.Resume:
		w.journal.Fail(FromMaia, "command-failed", "%s is not answered with success (%d)", call.Name, call.Status)
	}
}

// onRefresh tells what became of a refresh by looking whether Maia has carried one more out. Status 0 is no answer.
func (w *World) onRefresh(status int) {
	carriedOut := w.Maia.Refreshes(AgentID)
	w.mu.Lock()
	done := carriedOut > w.refreshes
	w.refreshes = carriedOut
	w.mu.Unlock()
	switch {
	case done && status != 0:
		w.journal.Add(FromMaia, "refreshed", "refreshed: the old secret is revoked, the runner is cut off")
	case done:
		w.journal.Fail(FromMaia, "refreshed", "refreshed, and nobody gets the answer: the runner is cut off")
	case status == 0:
		w.journal.Fail(FromMaia, "refresh-dropped", "a refresh is asked for, and the connection drops")
	default:
		w.journal.Fail(FromMaia, "refresh-refused", "a refresh is refused (%d)", status)
	}
	if done {
		w.fleet.cut()
	}
}

// tap looks at what passes between the function and Maia: tokens, which are secrets too, and the status that Maia
// reports, from which a drained runner can be told.
func (w *World) tap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token != "" {
			w.learn(token, "a bearer token of the Maia API")
		}
		reply := &tapped{ResponseWriter: rw}
		next.ServeHTTP(reply, r)
		var agent struct {
			Status string `json:"agentStatus"`
		}
		if json.Unmarshal(reply.body.Bytes(), &agent) == nil && agent.Status != "" {
			w.onStatus(agent.Status)
		}
	})
}

type tapped struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (t *tapped) Write(p []byte) (int, error) {
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (t *tapped) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (w *World) onStatus(status string) {
	w.mu.Lock()
	before := w.agentStatus
	w.agentStatus = status
	w.mu.Unlock()
	if status == string(maia.StatusPaused) && before == string(maia.StatusPausing) {
		w.journal.Add(FromMaia, "drained", "drained: no pipeline runs any more")
	}
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
		w.journal.Fail(FromSecretsManager, "answer-lost", "%s is done, and its answer is lost", call.Operation)
	case call.Status/100 != 2:
		w.journal.Fail(FromSecretsManager, "call-failed", "%s fails: %s", call.Operation, call.Code)
	}
	w.onLabels()
}

// onLabels tells what changed in the labels.
func (w *World) onLabels() {
	now := labelsOf(w.Secrets.Versions(w.SecretARN))
	w.mu.Lock()
	before := w.labels
	w.labels = now
	w.mu.Unlock()
	if now.pending != before.pending && now.pending != "" && now.pending != now.current {
		w.journal.Add(FromSecretsManager, "stored", "AWSPENDING has a new value")
	}
	switch {
	case now.current == before.current:
	case now.current == before.pending:
		w.journal.Add(FromSecretsManager, "promoted", "AWSCURRENT moves to the pending version")
	default:
		w.journal.Add(FromSecretsManager, "promoted", "AWSCURRENT has a new value")
	}
}

func (w *World) onECS(call awsjson.Call) {
	switch {
	case call.Operation == "UpdateService" && call.Status == http.StatusOK:
		w.journal.Add(FromECS, "restart-ordered", "restart ordered")
	case call.Operation == "UpdateService":
		w.journal.Fail(FromECS, "restart-refused", "restart refused: %s", call.Code)
	case call.Operation == "DescribeServices":
		w.onDeployments()
	}
}

// onDeployments tells of deployments that failed, once each.
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
			w.journal.Fail(FromECS, "deployment-failed", "the deployment failed: its task did not start")
		}
	}
}
