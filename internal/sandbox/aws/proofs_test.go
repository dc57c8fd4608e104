package aws

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	awssecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// rotated does to the world what a rotation does, without a function.
func rotated(w *World) {
	w.Maia.FinishTasks(sandbox.AgentID)
	w.Maia.ConsoleRefresh(sandbox.AgentID)
	w.Secrets.Put(w.SecretARN, document(w.Maia.LiveSecret(sandbox.AgentID)))
	done := make(chan struct{})
	w.Journal.Listen(func(e sandbox.Event) {
		if e.Name == "task-stopped" {
			close(done)
		}
	})
	w.ECS.Deploy(Cluster, Service)
	<-done
}

// TestProofsCatch breaks one thing at a time: the proofs must see it.
func TestProofsCatch(t *testing.T) {
	const (
		refused   = "Maia refuses the old secret"
		accepted  = "Maia accepts the stored one"
		same      = "the store holds exactly what Maia holds"
		untouched = "every other byte of the stored document is untouched"
		connected = "the runner is connected"
		resumed   = "the runner is resumed"
		unlost    = "no pipeline was lost"
		unleaked  = "no secret leaked into output, labels or errors"
	)
	for name, test := range map[string]struct {
		do     func(w *World, printed *bytes.Buffer)
		broken []string
	}{
		"nothing broken": {func(w *World, _ *bytes.Buffer) { rotated(w) }, nil},
		"not rotated":    {func(*World, *bytes.Buffer) {}, []string{refused}},
		"not stored": {func(w *World, _ *bytes.Buffer) {
			w.Maia.FinishTasks(sandbox.AgentID)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
		}, []string{accepted, same, untouched, connected, resumed}},
		"not restarted": {func(w *World, _ *bytes.Buffer) {
			w.Maia.FinishTasks(sandbox.AgentID)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			w.Secrets.Put(w.SecretARN, document(w.Maia.LiveSecret(sandbox.AgentID)))
		}, []string{connected, resumed}},
		"encoded again": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Secrets.Put(w.SecretARN, strings.ReplaceAll(document(w.Maia.LiveSecret(sandbox.AgentID)), "12345678901234567890",
				"12345678901234567000"))
		}, []string{untouched}},
		"another client": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Secrets.Put(w.SecretARN, strings.ReplaceAll(document(w.Maia.LiveSecret(sandbox.AgentID)), sandbox.ClientID, "another"))
		}, []string{accepted, same, untouched}},
		"left paused": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			w.Maia.ConsolePause(sandbox.AgentID, sandbox.PipelineTime)
			w.Maia.SetStatus(sandbox.AgentID, "paused")
		}, []string{resumed}},
		"a pipeline lost": {func(w *World, _ *bytes.Buffer) {
			w.Maia.SetRunningTasks(sandbox.AgentID, 1)
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			rotated(w)
		}, []string{unlost}},
		"old secret printed": {func(w *World, printed *bytes.Buffer) {
			printed.WriteString("the secret was " + w.Maia.LiveSecret(sandbox.AgentID) + "!")
			rotated(w)
		}, []string{unleaked}},
		"new secret in a label": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			label, version := w.Maia.LiveSecret(sandbox.AgentID), labelsOf(w.Secrets.Versions(w.SecretARN)).current
			if _, err := w.client.UpdateSecretVersionStage(w.ctx, &awssecrets.UpdateSecretVersionStageInput{
				SecretId: &w.SecretARN, VersionStage: &label, MoveToVersionId: &version,
			}); err != nil {
				panic(err)
			}
		}, []string{unleaked}},
		"API credential in an answer": {func(w *World, _ *bytes.Buffer) {
			rotated(w)
			_, secret := w.Maia.APICredential()
			w.Keep([]byte(secret))
		}, []string{unleaked}},
		"token printed": {func(w *World, printed *bytes.Buffer) {
			rotated(w)
			if _, err := w.Maia.Client.Agent(w.ctx, sandbox.AgentID); err != nil {
				panic(err)
			}
			for secret, what := range w.Guarded.Known() {
				if strings.Contains(what, "token") {
					printed.WriteString(secret)
				}
			}
		}, []string{unleaked}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := New(t.Context(), Options{Binary: "not-needed"})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			var printed bytes.Buffer
			test.do(w, &printed)
			var broken []string
			for _, proof := range w.Proofs(&printed) {
				if !proof.OK {
					broken = append(broken, proof.Text)
					if proof.Detail == "" {
						t.Errorf("%s: does not say what is so instead", proof.Text)
					}
				}
			}
			if !slices.Equal(broken, test.broken) {
				t.Errorf("broken are %q, expected %q", broken, test.broken)
			}
		})
	}
}
