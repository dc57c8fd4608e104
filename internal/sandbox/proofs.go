package sandbox

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Proof is one thing that must be true at the end.
type Proof struct {
	Text   string
	OK     bool
	Detail string // what is so instead, if it is not true
}

func (w *World) prove(text string, ok bool, instead string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.proofs = append(w.proofs, newProof(text, ok, instead))
}

func newProof(text string, ok bool, instead string) Proof {
	if ok {
		instead = ""
	}
	return Proof{text, ok, instead}
}

// Proofs looks whether all is as it must be after the rotations: first what the fault is about, then what always holds.
// It ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed
// may be given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []Proof {
	w.journal.Stop()
	w.Function.Close()
	w.mu.Lock()
	proofs, struck, operators := append([]Proof(nil), w.proofs...), w.struck, w.operators
	w.mu.Unlock()
	if w.options.Fault.Name != "" {
		proofs = append(proofs, newProof("the fault happened", struck, "it did not"))
	}
	add := func(text string, ok bool, instead string) { proofs = append(proofs, newProof(text, ok, instead)) }

	live, revoked := w.Maia.LiveSecret(AgentID), w.Maia.Revoked(AgentID)
	refused := len(revoked) > 0
	for _, old := range revoked {
		refused = refused && !w.Maia.Accepts(AgentID, ClientID, old)
	}
	add("Maia refuses the old secret", refused, "it is still valid")
	stored, err := w.stored()
	add("Maia accepts the stored one", err == nil && w.Maia.Accepts(AgentID, stored.ClientID, stored.Secret), "it is not valid")
	add("the store holds exactly what Maia holds", w.storeIsMaia(), "it holds something else")
	text, err := w.Secrets.Value(w.SecretARN, "", "")
	add("every other byte of the stored document is untouched",
		err == nil && text == strings.Replace(w.Document, first(revoked, live), live, 1), "something else changed")

	agent, err := w.maia.Agent(w.ctx, AgentID)
	add("the runner is connected", err == nil && agent.Connected && w.fleet.connected(), "it is not")
	if operators.IsZero() {
		add("the runner is resumed", err == nil && agent.Status == maia.StatusRunning, "its status is "+string(agent.Status))
	} else {
		add("the operator's pause stands", err == nil && agent.Status == maia.StatusPaused && agent.PausedUntil.Equal(operators),
			"its status is "+string(agent.Status))
	}
	lost := w.Maia.Lost(AgentID)
	add("no pipeline was lost", lost == 0, fmt.Sprintf("%d were", lost))
	refreshes, due := w.Maia.Refreshes(AgentID), w.Due()
	text = fmt.Sprintf("%s for %s due", count(refreshes, "refresh", "refreshes"), count(due, "rotation that was", "rotations that were"))
	if people := len(revoked) - refreshes; people > 0 {
		text += fmt.Sprintf(", and %d by a person", people)
	}
	add(text, refreshes <= due, "too many")
	leaks := w.leaks(printed)
	add("no secret leaked into output, labels or errors", len(leaks) == 0, strings.Join(leaks, "; "))
	return proofs
}

// Due is how many refreshes may have been carried out: one for each rotation, unless the fault says how many of them
// had nothing to refresh.
func (w *World) Due() int {
	if w.options.Fault.Name != "" {
		return w.options.Fault.Refreshes
	}
	return w.Rotations()
}

func (w *World) storeIsMaia() bool {
	stored, err := w.stored()
	return err == nil && stored.ClientID == ClientID && stored.Secret == w.Maia.LiveSecret(AgentID)
}

func first(texts []string, otherwise string) string {
	if len(texts) == 0 {
		return otherwise
	}
	return texts[0]
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
