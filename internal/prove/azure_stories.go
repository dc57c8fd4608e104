package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/maia-rotate/maia-rotate/internal/emulator/functionshost"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxazure "github.com/maia-rotate/maia-rotate/internal/sandbox/azure"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// place is a call of a clean rotation.
type place struct{ what, name, phase string }

// byGroup has the function find its apps in the resource group.
var byGroup = []string{"MAIA_CONTAINER_APPS=", "MAIA_RESOURCE_GROUPS=" + sandboxazure.Group}

// stories implements cloud: runs that overlap on one machine and on several, that are repeated, that are asked to end, and that
// wake up when others have done their work.
func (*onAzure) stories() (list []scenario) {
	add := func(name string, story func(context.Context, *azureWorld) error, env ...string) {
		list = append(list,
			scenario{name: "azure/story/" + name, env: env, story: func(ctx context.Context, w world) error { return story(ctx, w.(*azureWorld)) }})
	}
	for _, runs := range []int{2, 5} {
		add(fmt.Sprintf("%d-machines-at-once", runs), func(ctx context.Context, w *azureWorld) error { return w.atOnce(ctx, runs) })
		for _, at := range []place{
			{"the-pause", string(maiatest.Pause), "timer"},
			{"the-refresh", string(maiatest.RefreshCredentials), "timer " + paused},
			{"the-store", "PATCH app", "timer " + refreshed},
			{"the-restart", "POST restart", "timer " + stored},
			{"the-resume", string(maiatest.Resume), "timer " + restarted},
		} {
			add(fmt.Sprintf("%d-runs-on-one-machine@%s", runs, at.what),
				func(ctx context.Context, w *azureWorld) error { return w.concurrent(ctx, at, runs-1, false) })
			add(fmt.Sprintf("%d-runs-on-as-many-machines@%s", runs, at.what),
				func(ctx context.Context, w *azureWorld) error { return w.concurrent(ctx, at, runs-1, true) })
		}
	}
	add("once-more-afterwards", func(ctx context.Context, w *azureWorld) error { return w.repeated(ctx) })
	for _, at := range []place{
		{"before-the-lock", "asking for POST restart", "timer"},
		{"in-the-pause", string(maiatest.Pause), "timer"},
		{"when-drained", string(maiatest.GetCredentials), "timer " + paused},
		{"before-the-refresh", "renew lease", "timer " + paused},
		{"after-the-refresh", string(maiatest.RefreshCredentials), "timer " + paused},
		{"after-the-store", "PATCH app", "timer " + refreshed},
		{"after-the-restart", "POST restart", "timer " + stored},
		{"in-the-resume", string(maiatest.Resume), "timer " + restarted},
	} {
		add("asked-to-end-"+at.what, func(ctx context.Context, w *azureWorld) error { return w.askedToEnd(ctx, at) })
	}
	for _, at := range []place{
		{"before-the-pause", "asking for POST restart", "timer"},
		{"when-it-has-read-what-it-replaces", string(maiatest.GetCredentials), "timer " + paused},
		{"before-the-refresh", "renew lease", "timer " + paused},
		{"before-the-store", "POST listSecrets", "timer " + refreshed},
		{"before-the-restart", "POST listSecrets", "timer " + stored},
		{"before-the-resume", string(maiatest.GetCredentials), "timer " + restarted},
	} {
		add("wakes-up-"+at.what, func(ctx context.Context, w *azureWorld) error { return w.wakesUp(ctx, at, nil) })
	}
	add("wakes-up-before-the-store-when-all-has-changed", func(ctx context.Context, w *azureWorld) error {
		return w.wakesUp(ctx, place{"", "POST listSecrets", "timer " + refreshed}, func(machine *functionshost.Host) error {
			w.ConcurrentChange()
			w.Maia.ConsoleRefresh(sandbox.AgentID)
			w.Maia.Cut()
			if !w.CallOn(ctx, machine) {
				return errors.New("a refresh by a person was not healed")
			}
			return nil
		})
	})
	add("duplicate-deputy", func(ctx context.Context, w *azureWorld) error { return w.duplicateDeputy(ctx) }, byGroup...)
	add("deputy-instead", func(ctx context.Context, w *azureWorld) error { return w.deputyInstead(ctx) }, byGroup...)
	return list
}

// duplicateDeputy has an impostor name the runner's agent in an app of his own. The function finds both apps, and works on neither.
func (w *azureWorld) duplicateDeputy(ctx context.Context) error {
	if err := w.refuses(ctx); err != nil {
		return err
	}
	return w.rotate(ctx)
}

// deputyInstead has the function find the impostor's app instead of the runner's, while the runner's does not hold what Maia
// holds.
func (w *azureWorld) deputyInstead(ctx context.Context) error {
	if err := w.call(ctx); err != nil {
		return err
	}
	w.Maia.ConsoleRefresh(sandbox.AgentID)
	w.Maia.Cut()
	w.SetTagged(false)
	if err := w.refuses(ctx); err != nil {
		return err
	}
	w.SetTagged(true)
	return nil
}

// refuses has the timer fire while there is an impostor's app: the call must fail, and do nothing.
func (w *azureWorld) refuses(ctx context.Context) error {
	secret, refreshes, instances := w.AddImpostor(), w.Maia.Refreshes(sandbox.AgentID), w.Started()
	if w.call(ctx) == nil {
		return errors.New("a call does not fail though an impostor's app names the agent")
	}
	if w.Apps.Secret(sandboxazure.Impostor, sandboxazure.Secret).Value != secret {
		return errors.New("the impostor's app was given a secret")
	}
	if w.Maia.Refreshes(sandbox.AgentID) != refreshes || w.Started() != instances {
		return errors.New("something was refreshed or restarted for an impostor")
	}
	for revision, restarts := range w.Apps.Restarts(sandboxazure.Impostor) {
		if restarts > 0 {
			return fmt.Errorf("the impostor's revision %s was restarted", revision)
		}
	}
	w.Apps.Remove(sandboxazure.Impostor)
	return nil
}

// machines starts further ones.
func (w *azureWorld) machines(ctx context.Context, n int) ([]*functionshost.Host, error) {
	made := make([]*functionshost.Host, n)
	for i := range made {
		var err error
		if made[i], err = w.Machine(ctx); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// atOnce has the timer fire on several machines at the same time.
func (w *azureWorld) atOnce(ctx context.Context, runs int) error {
	others, err := w.machines(ctx, runs-1)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, machine := range others {
		running.Go(func() { w.CallOn(ctx, machine) }) // it may be refused: how it all ends is what matters
	}
	return w.rotate(ctx)
}

// concurrent rotates, and at a call of the rotation has the timer fire so many more times, all at once: on the same machine, or
// elsewhere, each on one of its own.
func (w *azureWorld) concurrent(ctx context.Context, at place, times int, elsewhere bool) error {
	machines := make([]*functionshost.Host, times)
	for i := range machines {
		machines[i] = w.Host
	}
	if elsewhere {
		var err error
		if machines, err = w.machines(ctx, times); err != nil {
			return err
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	w.wire.add(&injection{name: at.name, phase: at.phase, nth: 1, kind: meanwhile, do: func() {
		for _, machine := range machines {
			running.Go(func() { w.CallOn(ctx, machine) })
		}
	}})
	return w.rotate(ctx)
}

// repeated rotates, and then has the timer fire again on the same machine and on another one.
func (w *azureWorld) repeated(ctx context.Context) error {
	others, err := w.machines(ctx, 1)
	if err != nil {
		return err
	}
	if err := w.rotate(ctx); err != nil {
		return err
	}
	for _, machine := range append(others, w.Host) {
		if !w.CallOn(ctx, machine) {
			return errors.New("a repeated call failed")
		}
	}
	return nil
}

// askedToEnd rotates, and sends the function a SIGTERM just before it gets the answer of a call. The answer comes when the
// function has noticed the signal.
func (w *azureWorld) askedToEnd(ctx context.Context, at place) error {
	w.wire.add(&injection{name: at.name, phase: at.phase, nth: 1, kind: halts, do: func() {
		if syscall.Kill(w.Host.PID(), syscall.SIGTERM) != nil {
			return
		}
		_ = await(ctx, func() (bool, error) { // until the scenario is over
			return bytes.Contains(w.Host.Output(), []byte("the function is ending")), nil
		})
	}})
	return w.rotate(ctx)
}

// wakesUp rotates, and stops the function's process just before it gets the answer of a call. Another machine waits for the end
// of the lease and does the work; more may be done then. At last the process goes on, and gets its answer.
func (w *azureWorld) wakesUp(ctx context.Context, at place, more func(*functionshost.Host) error) error {
	others, err := w.machines(ctx, 1)
	if err != nil {
		return err
	}
	halted, ended := make(chan int, 1), make(chan struct{})
	w.wire.add(&injection{name: at.name, phase: at.phase, nth: 1, kind: halts, do: func() {
		id := w.Host.PID()
		if err := halt(ctx, id); err != nil {
			w.trace.breaks("%v", err)
			return
		}
		halted <- id
	}})
	var failed error
	stores, instances := 0, 0
	var working sync.WaitGroup
	working.Go(func() {
		select {
		case id := <-halted:
			if !w.CallOn(ctx, others[0]) || !w.Back() {
				failed = errors.New("the other machine did not do the work")
			} else if more != nil {
				failed = more(others[0])
			}
			stores, instances = w.trace.count("stored"), w.Started()
			wake(id)
		case <-ended:
		}
	})
	err = w.rotate(ctx)
	close(ended)
	working.Wait()
	if failed == nil && (w.trace.count("stored") != stores || w.Started() != instances) {
		failed = errors.New("when the work was done, the run that woke up stored or restarted")
	}
	return errors.Join(err, failed)
}

// count is how many events of a name there were.
func (t *trace) count(name string) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.events {
		if e.Name == name {
			n++
		}
	}
	return n
}
