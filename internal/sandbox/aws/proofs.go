package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// Proofs checks whether all is as it must be after the rotations: first what the fault is about, then what always holds.
// It ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed
// may be given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []sandbox.Proof {
	w.Journal.Stop()
	w.Function.Close()
	w.ProveFault()
	live := w.Maia.LiveSecret(sandbox.AgentID)
	stored, err := w.stored()
	w.Prove("Maia accepts the stored one", err == nil && w.Maia.Accepts(sandbox.AgentID, stored.ClientID, stored.Secret), "it is not valid")
	w.Prove("the store holds exactly what Maia holds", w.storeIsMaia(), "it holds something else")
	text, err := w.Secrets.Value(w.SecretARN, "", "")
	w.Prove("every other byte of the stored document is untouched",
		err == nil && text == strings.Replace(w.Document, first(w.Maia.Revoked(sandbox.AgentID), live), live, 1), "something else changed")

	w.Prove("the API credential, and the service's replicas and task definition, are untouched", w.others() == w.untouched,
		"something else changed")

	w.Maia.Prove(w.ctx, w.Prove, w.Due(), w.connected())
	return w.ProveUnleaked("no secret leaked into output, labels or errors", w.leaks(printed))
}

// leaks names the secrets that are where none must be, and the place.
func (w *World) leaks(printed []*bytes.Buffer) []string {
	var labels []string
	for _, version := range w.Secrets.Versions(w.SecretARN) {
		labels = append(labels, version.Stages...)
	}
	return w.LeaksIn(map[string][]byte{
		"the function's output": w.Output(), "the staging labels": []byte(strings.Join(labels, "\n")),
	}, printed)
}

// Due is how many refreshes may have been carried out: one for each rotation, unless the fault says how many of them
// had nothing to refresh.
func (w *World) Due() int { return w.Fault.Due(w.Runs()) }

// others is all that a rotation must not change apart from the document.
func (w *World) others() string {
	service := w.ECS.Service(Cluster, Service)
	return fmt.Sprintf("%+v %d %s", w.Secrets.Versions(w.credentialARN), service.Desired, service.TaskDefinition)
}

// storedCredentials is what a task would read now.
type storedCredentials struct {
	ClientID string `json:"client_id"`
	Secret   string `json:"client_secret"`
}

func (w *World) stored() (storedCredentials, error) {
	var stored storedCredentials
	text, err := w.Secrets.Value(w.SecretARN, "", "")
	if err != nil {
		return stored, err
	}
	return stored, json.Unmarshal([]byte(text), &stored)
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
