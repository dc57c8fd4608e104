package rotation

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ecsemulator "github.com/maia-rotate/maia-rotate/internal/emulator/ecs"
	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	smemulator "github.com/maia-rotate/maia-rotate/internal/emulator/secretsmanager"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// healUntilBack runs the healing schedule until the runner is back, for some hours at most.
func (w *world) healUntilBack() {
	w.t.Helper()
	for range 8 {
		agent := w.agent()
		if agent.Connected && agent.Status == maia.StatusRunning && strings.Contains(w.current(), w.maia.LiveSecret(agentID)) {
			return
		}
		time.Sleep(30 * time.Minute)
		if err := w.healOnce(); err != nil {
			w.mu.Lock()
			w.errors = append(w.errors, "heal: "+errorText(err))
			w.mu.Unlock()
		}
	}
}

// healOnce is a healing event, in a new process.
func (w *world) healOnce() error {
	return w.invoke(w.t.Context(), "", []byte(`{"action":"heal","secret":"`+w.arn+`"}`))
}

// Under each quirk of the services either the rotation, with the healing events after it, brings the runner back without needless
// restarts, or it is refused before the refresh, with the cause named, and the runner runs on.
func TestRotationUnderEachQuirk(t *testing.T) {
	play := func(quirks []quirk.Quirk, how func(w *world, name string) error) {
		for _, q := range quirks {
			t.Run(q.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "runner-b", TaskDefinition: "runner", DesiredCount: 1})
					if err := how(w, q.Name); err != nil {
						t.Fatal(err)
					}
					end := w.rotate()
					if q.Refused != "" {
						w.mustHaveRefused(end, q.Refused)
						return
					}
					w.healUntilBack()
					w.mustBeBack(1)
				})
			})
		}
	}
	play(ecsemulator.Quirks(), func(w *world, name string) error { return w.ecs.Play(name) })
	play(smemulator.Quirks(), func(w *world, name string) error { return w.secrets.Play(name) })
}

// mustHaveRefused checks what is true after a rotation that was refused before its refresh.
func (w *world) mustHaveRefused(end, says string) {
	w.t.Helper()
	if end == smemulator.RotationSucceeded || !strings.Contains(strings.Join(w.errors, "\n"), says) {
		w.t.Errorf("%s, want a refusal that says %q; errors\n%s", end, says, strings.Join(w.errors, "\n"))
	}
	if w.maia.Refreshes(agentID) > 0 || w.deployments() > 0 {
		w.t.Errorf("%d refreshes and %d restarts although it was refused", w.maia.Refreshes(agentID), w.deployments())
	}
	if agent := w.agent(); !agent.Connected || agent.Status != maia.StatusRunning {
		w.t.Errorf("the agent is %q, connected %t", agent.Status, agent.Connected)
	}
	w.mustNotLeak()
}

// The same under every pair of quirks.
func TestRotationUnderPairsOfQuirks(t *testing.T) {
	type played struct {
		quirk.Quirk
		play func(w *world, name string) error
	}
	var all []played
	for _, q := range ecsemulator.Quirks() {
		all = append(all, played{q, func(w *world, name string) error { return w.ecs.Play(name) }})
	}
	for _, q := range smemulator.Quirks() {
		all = append(all, played{q, func(w *world, name string) error { return w.secrets.Play(name) }})
	}
	for i, one := range all {
		for _, other := range all[:i] {
			if one.Refused != "" || other.Refused != "" {
				continue // which of two causes is named is not said
			}
			t.Run(one.Name+"+"+other.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.ecs.CreateService(ecsemulator.ServiceSpec{Cluster: "matillion", Name: "runner-b", TaskDefinition: "runner", DesiredCount: 1})
					for _, p := range []played{one, other} {
						if err := p.play(w, p.Name); err != nil {
							t.Fatal(err)
						}
					}
					w.rotate()
					w.healUntilBack()
					w.mustBeBack(1)
				})
			})
		}
	}
}
