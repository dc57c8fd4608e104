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

// Proofs checks whether all is as it must be after the calls: first what the fault is about, then what always holds. It
// ends the events, and the function, so that all that it printed is there to be searched. Whatever else was printed may be
// given, to be searched for secrets too.
func (w *World) Proofs(printed ...*bytes.Buffer) []sandbox.Proof {
	w.Journal.Stop()
	w.endFunction()
	w.ProveFault()
	w.proveStore()
	w.Maia.Prove(w.ctx, w.Prove, w.Due(), w.connected(w.ctx))
	w.proveCluster()
	w.proveUntouched()
	shown, err := w.shown(w.ctx)
	if err != nil {
		w.Prove("what Kubernetes shows can be read", false, err.Error())
	}
	return w.ProveUnleaked("no secret leaked into output, answers, or what is not a Secret", w.LeaksIn(map[string][]byte{
		"the function's output": w.Output(), "what Kubernetes shows": shown,
	}, printed))
}

// proveStore adds what must be true of the release.
func (w *World) proveStore() {
	clientID, secret, err := w.liveSecret(w.ctx)
	w.Prove("Maia accepts the stored one", err == nil && w.Maia.Accepts(sandbox.AgentID, clientID, secret), "it is not valid")
	w.Prove("the Secret and the release's values hold exactly what Maia holds", w.storeIsMaia(w.ctx), "one of them holds something else")
	last, err := w.helm.Releases.Last(Release)
	state := fmt.Sprint(err)
	if err == nil {
		state = last.Info.Status.String()
	}
	w.Prove("the newest revision of the release is deployed", state == release.StatusDeployed.String(), state)
	values, err := w.otherValues()
	w.Prove("every other value, and the chart, are untouched", err == nil && values == w.values, "something else changed")
}

// proveUntouched adds what must be true of everything else.
func (w *World) proveUntouched() {
	others, err := w.untouched(w.ctx)
	w.Prove("all else in the namespace is as it was, to the byte", err == nil && others == w.others, difference(w.others, others))
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
	w.Prove("every pod runs with the new secret", w.startedWith(w.ctx, w.Maia.LiveSecret(sandbox.AgentID)), "one does not")
	d, err := w.deployment(w.ctx)
	replicas := int32(-1)
	if err == nil && d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	wanted := w.replicas()
	w.Prove(fmt.Sprintf("the Deployment has its %d replicas, of which the chart knows nothing", wanted), int(replicas) == wanted,
		fmt.Sprintf("it has %d", replicas))
	var refused []string
	for _, request := range w.Requests() {
		if request.Status == http.StatusForbidden || request.Status == http.StatusUnauthorized {
			refused = append(refused, request.Verb+" "+request.Resource)
		}
	}
	w.Prove("the Role of deploy/gcp suffices", len(refused) == 0, "refused were "+strings.Join(slices.Compact(refused), ", "))
}
