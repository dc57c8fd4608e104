package aws

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// prove adds a proof.
func (w *World) prove(text string, ok bool, instead string) { w.trial.Add(text, ok, instead) }

// Proofs checks whether all is as it must be after the rotations: first what the fault is about, then what always holds.
// It ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed
// may be given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []sandbox.Proof {
	w.journal.Stop()
	w.Function.Close()
	if w.options.Fault.Name != "" {
		w.trial.ProveHappened()
	}
	add := w.prove
	w.Maia.ProveRevoked(add)
	live := w.Maia.LiveSecret(sandbox.AgentID)
	stored, err := w.stored()
	add("Maia accepts the stored one", err == nil && w.Maia.Accepts(sandbox.AgentID, stored.ClientID, stored.Secret), "it is not valid")
	add("the store holds exactly what Maia holds", w.storeIsMaia(), "it holds something else")
	text, err := w.Secrets.Value(w.SecretARN, "", "")
	add("every other byte of the stored document is untouched",
		err == nil && text == strings.Replace(w.Document, first(w.Maia.Revoked(sandbox.AgentID), live), live, 1), "something else changed")

	add("the API credential, and the service's replicas and task definition, are untouched", w.others() == w.untouched,
		"something else changed")

	w.Maia.Prove(w.ctx, add, w.Due(), w.connected())
	leaks := w.leaks(printed)
	add("no secret leaked into output, labels or errors", len(leaks) == 0, strings.Join(leaks, "; "))
	return w.trial.All()
}

// Due is how many refreshes may have been carried out: one for each rotation, unless the fault says how many of them
// had nothing to refresh.
func (w *World) Due() int { return w.options.Fault.Due(w.Rotations()) }

// others is all that a rotation must not change apart from the document.
func (w *World) others() string {
	service := w.ECS.Service(Cluster, Service)
	return fmt.Sprintf("%+v %d %s", w.Secrets.Versions(w.credentialARN), service.Desired, service.TaskDefinition)
}

func (w *World) storeIsMaia() bool {
	stored, err := w.stored()
	return err == nil && stored.ClientID == sandbox.ClientID && stored.Secret == w.Maia.LiveSecret(sandbox.AgentID)
}

func first(texts []string, otherwise string) string {
	if len(texts) == 0 {
		return otherwise
	}
	return texts[0]
}
