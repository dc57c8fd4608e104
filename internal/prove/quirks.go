package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// named is a quirk of a service.
type named struct {
	service string // one of the constants
	quirk.Quirk
}

// The services that have quirks, as the names of scenarios have them.
const (
	onMaia           = "maia"
	onECS            = "ecs"
	onSecretsManager = "secretsmanager"
	onContainerApps  = "containerapps"
	onBlobs          = "blobs"
	onKubernetes     = "kubernetes"
	onGoogle         = "googleapis"
)

// titles are the names of services for readers.
var titles = map[string]string{
	onMaia: "Maia", onECS: "ECS", onSecretsManager: "Secrets Manager", onContainerApps: "Container Apps", onBlobs: "Blob storage",
	onKubernetes: "Kubernetes, Helm", onGoogle: "Google's APIs",
}

// String names it as scenarios do.
func (n named) String() string { return n.service + "-" + n.Name }

// quirksOf are the quirks of a service. Their type is the emulators' own.
func quirksOf[Q ~struct{ Name, Behaviour, Source, Refused string }](service string, quirks []Q) (all []named) {
	for _, q := range quirks {
		all = append(all, named{service, quirk.Quirk(q)})
	}
	return all
}

func maiasQuirks() []named { return quirksOf(onMaia, maiatest.Quirks()) }

// namesFor are the names of those that a service is to play.
func (s scenario) namesFor(service string) (names []string) {
	for _, q := range s.quirks {
		if q.service == service {
			names = append(names, q.Name)
		}
	}
	return names
}

func (s scenario) plays(service, name string) bool { return slices.Contains(s.namesFor(service), name) }

// hurried are the quirks that take an hour or the like, and how many times faster they are played. What they are compared with is
// shorter here too: the connect time-out is one minute, in place of eight.
var hurried = map[string]int{
	onECS + "-rollout-60m":                                8,
	onContainerApps + "-rollout-60m":                      8,
	onKubernetes + "-rollout-60m":                         8,
	onKubernetes + "-records-refused-after-the-refresh":   8,
	onKubernetes + "-records-immutable-after-the-refresh": 8,
}

func (s scenario) hurry(service string) int {
	times := 1
	for _, q := range s.quirks {
		if q.service == service {
			times = max(times, hurried[q.String()])
		}
	}
	return times
}

// unclearPauses reports whether Maia may show no usable end of a pause, so that a run has to leave a pause to a person.
func (s scenario) unclearPauses() bool {
	return slices.ContainsFunc(s.namesFor(onMaia), func(name string) bool { return strings.HasPrefix(name, "paused-until") })
}

// refusals are the texts with which a rotation is refused under the quirks; none if it is not refused.
func (s scenario) refusals() (texts []string) {
	for _, q := range s.quirks {
		if q.Refused != "" {
			texts = append(texts, q.Refused)
		}
	}
	return texts
}

// maxRestarts is how many restarts each secret may take when something fails.
const maxRestarts = 2

// quirkPairs is how many pairs of quirks are played in a cloud.
const quirkPairs = 20

// underQuirks are the scenarios under quirks: for each quirk of the platform and of Maia, a rotation followed by the healing of a
// refresh in the console, and a sample of faults; and a rotation under each of a sample of pairs. The seed determines the
// samples.
func underQuirks(calls []call, in cloud, seed uint64) (p plan) {
	all := append(in.quirks(), maiasQuirks()...)
	add := func(what string, s scenario) {
		var names []string
		for _, q := range s.quirks {
			names = append(names, q.String())
		}
		s.name = in.name() + "/quirk/" + strings.Join(names, "+") + "/" + what
		p.scenarios = append(p.scenarios, s)
	}
	targets, _ := targets(calls)
	random := rand.New(rand.NewPCG(seed, 1))
	for _, q := range all {
		if q.Refused != "" {
			add("rotation", scenario{quirks: []named{q}})
			continue
		}
		add("rotation-and-healing", scenario{quirks: []named{q}, console: true})
		drawn := map[string]bool{}
		for len(drawn) < in.faults() {
			if s := oneOf(targets, random); !drawn[s.String()] {
				drawn[s.String()] = true
				add(s.String(), scenario{quirks: []named{q}, injects: []injection{s}})
			}
		}
	}
	known := map[string]bool{}
	for len(known) < quirkPairs {
		i, j := random.IntN(len(all)), random.IntN(len(all))
		key := fmt.Sprint(min(i, j), " ", max(i, j))
		if i == j || known[key] {
			continue
		}
		known[key] = true
		add("rotation", scenario{quirks: []named{all[min(i, j)], all[max(i, j)]}})
	}
	return p
}

// oneOf is a call of a rotation, and what happens to it, once.
func oneOf(targets []call, random *rand.Rand) injection {
	c := targets[random.IntN(len(targets))]
	kinds := kindsOf(c)
	return injection{name: c.name, phase: c.phase, nth: c.nth, kind: kinds[random.IntN(len(kinds))], times: 1}
}

// toTheRefusal has a rotation come that must be refused, and the next regular call.
func (c *course) toTheRefusal(ctx context.Context) error {
	if err := c.in.rotate(ctx); err != nil {
		return err
	}
	_ = c.in.heal(ctx) // where it rotates, too, it is refused again
	return ctx.Err()
}

// judgeRefusal notes it if something has changed, or the cause was not named.
func (r *result) judgeRefusal(c *course) {
	w := c.in
	r.judgeAlways(c)
	if r.beyond = r.refreshes; r.refreshes > 0 || r.restarts > 0 {
		r.broken = append(r.broken, fmt.Sprintf("%d refreshes and %d restarts though a quirk has the rotation refused", r.refreshes, r.restarts))
	}
	named := func(text string) bool { return bytes.Contains(w.output(), []byte(text)) }
	if texts := c.refusals(); !slices.ContainsFunc(texts, named) {
		r.broken = append(r.broken, fmt.Sprintf("the cause was not named: %q is not in the output", texts))
	}
	if r.lost = !w.back(); r.lost {
		r.broken = append(r.broken, "after a refusal the runner is not as it was")
	}
	r.prove(w, c.quirks)
}

// applies reports whether a proof applies to a world with such quirks.
func applies(proof sandbox.Proof, quirks []named) bool {
	refused := slices.ContainsFunc(quirks, func(q named) bool { return q.Refused != "" })
	for _, exempt := range []struct {
		text string
		is   bool
	}{
		{"Maia refuses the old secret", refused}, // there is none
		{"every active revision was restarted", refused},
		{"the custom role of deploy/azure suffices", refused}, // it was not needed in full
		{"the Role of deploy/gcp suffices", len(quirks) > 0},  // what is over a quota is forbidden, too
	} {
		if exempt.is && strings.HasPrefix(proof.Text, exempt.text) {
			return false
		}
	}
	return true
}
