package gcp

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/release"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// prove adds a proof.
func (w *World) prove(text string, ok bool, instead string) { w.trial.Add(text, ok, instead) }

// Proofs checks whether all is as it must be after the calls: first what the fault is about, then what always holds. It
// ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed may be
// given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []sandbox.Proof {
	w.journal.Stop()
	w.endFunction()
	if w.options.Fault.Name != "" {
		w.trial.ProveHappened()
	}
	w.Maia.ProveRevoked(w.prove)
	w.proveStore()
	w.Maia.Prove(w.ctx, w.prove, w.Due(), w.connected(w.ctx))
	w.proveCluster()
	w.proveUntouched()
	leaks, err := w.leaks(printed)
	w.prove("no secret leaked into output, answers, or what is not a Secret", err == nil && len(leaks) == 0,
		fmt.Sprint(strings.Join(leaks, "; "), err))
	return w.trial.All()
}

// proveStore adds what must be true of the release.
func (w *World) proveStore() {
	clientID, secret, err := w.liveSecret(w.ctx)
	w.prove("Maia accepts the stored one", err == nil && w.Maia.Accepts(sandbox.AgentID, clientID, secret), "it is not valid")
	w.prove("the Secret and the release's values hold exactly what Maia holds", w.storeIsMaia(w.ctx), "one of them holds something else")
	last, err := w.helm.Releases.Last(Release)
	state := fmt.Sprint(err)
	if err == nil {
		state = last.Info.Status.String()
	}
	w.prove("the newest revision of the release is deployed", state == release.StatusDeployed.String(), state)
	values, err := w.otherValues()
	w.prove("every other value, and the chart, are untouched", err == nil && values == w.values, "something else changed")
}

// proveUntouched adds what must be true of everything else.
func (w *World) proveUntouched() {
	others, err := w.untouched(w.ctx)
	w.prove("all else in the namespace is as it was, to the byte", err == nil && others == w.others, difference(w.others, others))
}

// difference shows where two texts begin to differ.
func difference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-80)
	return fmt.Sprintf("…%s… has become …%s…", a[from:min(len(a), i+80)], b[from:min(len(b), i+80)])
}

// proveCluster adds what must be true of the pods and of the function's user.
func (w *World) proveCluster() {
	w.prove("every pod runs with the new secret", w.startedWith(w.ctx, w.Maia.LiveSecret(sandbox.AgentID)), "one does not")
	d, err := w.deployment(w.ctx)
	replicas := int32(-1)
	if err == nil && d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	wanted := w.replicas()
	w.prove(fmt.Sprintf("the Deployment has its %d replicas, of which the chart knows nothing", wanted), int(replicas) == wanted,
		fmt.Sprintf("it has %d", replicas))
	var refused []string
	for _, request := range w.Requests() {
		if request.Status == http.StatusForbidden || request.Status == http.StatusUnauthorized {
			refused = append(refused, request.Verb+" "+request.Resource)
		}
	}
	w.prove("the Role of deploy/gcp suffices", len(refused) == 0, "refused were "+strings.Join(slices.Compact(refused), ", "))
}

// leaks names the secrets that are where none must be, and the place.
func (w *World) leaks(printed []*bytes.Buffer) ([]string, error) {
	w.Maia.Learn()
	shown, err := w.shown(w.ctx)
	if err != nil {
		return nil, err
	}
	var output []byte
	for _, buffer := range printed {
		output = append(output, buffer.Bytes()...)
	}
	printedByFunction := w.Output()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.secrets.Leaks(map[string][]byte{
		"the function's output":     printedByFunction,
		"the function's answers":    w.answers.Bytes(),
		"what Kubernetes shows":     shown,
		"the output of the sandbox": output,
	}), nil
}

// Due is how many refreshes may have been carried out.
func (w *World) Due() int { return w.options.Fault.Due(1) }
