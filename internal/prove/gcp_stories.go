package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	sandboxgcp "github.com/maia-rotate/maia-rotate/internal/sandbox/gcp"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// gcpStory is one in a world of Google Cloud.
type gcpStory func(context.Context, gcpWorld) error

// moment is a point of a rotation: a call has been carried out, and its answer has not come.
type moment struct {
	name string
	call injection
}

func after(name, call, phase string, nth int) moment {
	return moment{name, injection{name: call, phase: phase, nth: nth, kind: halts}}
}

// then has something be done at the moment.
func (w gcpWorld) then(m moment, do func()) {
	at := m.call
	at.do = do
	w.wire.add(&at)
}

var (
	beforePause   = after("before-the-pause", noteWrite+"paused-applied", "", 1)
	drained       = after("drained", noteWrite+"confirmed-intent-applied", paused, 1)
	lastRead      = after("at-the-last-read-before-the-refresh", string(maiatest.GetCredentials), paused, 1)
	justRefreshed = after("right-after-the-refresh", string(maiatest.RefreshCredentials), paused, 1)
	begunUpgrade  = after("in-the-upgrade-that-has-begun", "create revision", refreshed, 1)
	beforeStored  = after("in-the-upgrade-right-before-the-secret-is-stored", "get Secret", refreshed, 2)
	storedSecret  = after("in-the-upgrade-when-the-secret-is-stored", "patch Secret", refreshed, 1)
	superseded    = after("in-the-upgrade-when-the-old-revision-is-superseded", "update revision-1", refreshed, 1)
	upgraded      = after("when-the-upgrade-is-complete", "update revision-2", refreshed, 1)
	beforeRestart = after("right-before-the-restart", "list secrets", refreshed, 4)
	justRestarted = after("after-the-restart", "restart Deployment", refreshed, 1)
	justResumed   = after("after-the-resume", string(maiatest.Resume), restarted, 1)
)

// stories implements cloud.
func (*onGCP) stories() (all []scenario) {
	add := func(name string, story gcpStory) *scenario {
		all = append(all,
			scenario{name: "gcp/story/" + name, story: func(ctx context.Context, w world) error { return story(ctx, w.(gcpWorld)) }})
		return &all[len(all)-1]
	}
	for _, n := range []int{2, 5} {
		add(fmt.Sprintf("%d-calls-of-one-instance", n), func(ctx context.Context, w gcpWorld) error { return w.overlap(ctx, n, w.same) })
		add(fmt.Sprintf("%d-calls-of-as-many-instances", n), func(ctx context.Context, w gcpWorld) error { return w.overlap(ctx, n, w.Another) })
	}
	for _, m := range []moment{beforePause, drained, lastRead, justRefreshed, storedSecret, beforeRestart, justRestarted, justResumed} {
		add("called-again-"+m.name, func(ctx context.Context, w gcpWorld) error { return w.calledAgain(ctx, m, w.same) })
		add("called-again-at-another-instance-"+m.name, func(ctx context.Context, w gcpWorld) error { return w.calledAgain(ctx, m, w.Another) })
		add("asked-to-end-"+m.name, func(ctx context.Context, w gcpWorld) error { return w.askedToEnd(ctx, m) })
	}
	add("called-again-when-all-is-done", func(ctx context.Context, w gcpWorld) error { return w.calledAgainAfter(ctx) })
	for _, m := range []moment{drained, lastRead, justRefreshed, begunUpgrade, beforeStored, storedSecret, superseded, upgraded, beforeRestart,
		justRestarted} {
		add("wakes-up-"+m.name, func(ctx context.Context, w gcpWorld) error { return w.wakesUp(ctx, m, nil) })
		add("wakes-up-"+m.name+"-and-a-person-has-refreshed",
			func(ctx context.Context, w gcpWorld) error { return w.wakesUp(ctx, m, w.refreshedInConsole) })
	}
	// The Lease is renewed while pipelines end, and while pods start.
	for _, s := range []injection{{name: noteWrite + "confirmed-applied", phase: paused, nth: 2},
		{name: noteWrite + "confirmed-ordered-rotated-applied", phase: restarted, nth: 2}} {
		for _, k := range changing {
			for _, s.times = range []int{1, 2} {
				s.kind = k
				story := add("renewal/"+s.String(), func(ctx context.Context, w gcpWorld) error { return w.rotate(ctx) })
				story.injects, story.long = []injection{s}, true
			}
		}
	}
	add("confused-deputy", func(ctx context.Context, w gcpWorld) error { return w.confusedDeputy(ctx) })
	return all
}

func (w gcpWorld) same() *sandboxgcp.Function { return w.Function }

// overlap has several calls come at the same time.
func (w gcpWorld) overlap(ctx context.Context, n int, instance func() *sandboxgcp.Function) error {
	var calling sync.WaitGroup
	for range n {
		at := instance()
		calling.Go(func() { _ = w.callAt(ctx, at) }) // what comes of it is checked, and who fails is no matter
	}
	calling.Wait()
	return ctx.Err()
}

// calledAgain has a call come a second time while it is at work.
func (w gcpWorld) calledAgain(ctx context.Context, m moment, instance func() *sandboxgcp.Function) error {
	var calling sync.WaitGroup
	w.then(m, func() {
		at := instance()
		calling.Go(func() {
			if err := w.callAt(ctx, at); err != nil && at == w.Function {
				w.trace.breaks("a duplicate at the same instance fails: %v", err)
			}
		})
	})
	err := w.callAt(ctx, w.Function)
	calling.Wait()
	return errors.Join(err, ctx.Err())
}

// calledAgainAfter has the call come again when all is done.
func (w gcpWorld) calledAgainAfter(ctx context.Context) error {
	if err := w.callAt(ctx, w.Function); err != nil {
		return err
	}
	refreshes, pods := w.Maia.Refreshes(sandbox.AgentID), w.Started()
	for _, at := range []*sandboxgcp.Function{w.Function, w.Another()} {
		if err := w.callAt(ctx, at); err != nil {
			return err
		}
	}
	if w.Maia.Refreshes(sandbox.AgentID) != refreshes || w.Started() != pods {
		return errors.New("a duplicate has refreshed or restarted")
	}
	return nil
}

// askedToEnd has the platform end the instance with SIGTERM. The next call goes to a new one.
func (w gcpWorld) askedToEnd(ctx context.Context, m moment) error {
	w.then(m, w.Function.Terminate)
	return w.rotate(ctx)
}

// wakesUp stops the instance while another one does its work, and then lets it go on: what the other has done must stay.
func (w gcpWorld) wakesUp(ctx context.Context, m moment, then func(context.Context, *sandboxgcp.Function) error) error {
	var others error
	stopped, at := 0, m.call
	at.do = func() {
		stopped = w.Function.Process()
		others = halt(ctx, stopped)
	}
	at.then = func() { // the answer lies ready for when it wakes up
		if others != nil {
			return
		}
		defer wake(stopped)
		another := w.Another()
		if others = w.untilBack(ctx, another); others == nil && then != nil {
			others = then(ctx, another)
		}
	}
	w.wire.add(&at)
	_ = w.callAt(ctx, w.Function) // it may say that others were at work
	if others == nil && !w.back() {
		w.trace.breaks("the run that woke up has undone what others had done")
	}
	return errors.Join(others, ctx.Err())
}

// untilBack has an instance called until it says that the runner is back.
func (w gcpWorld) untilBack(ctx context.Context, at *sandboxgcp.Function) error {
	for {
		err := w.callAt(ctx, at)
		if err == nil && w.back() && w.Maia.Refreshes(sandbox.AgentID) > 0 {
			return nil
		}
		select {
		case <-time.After(schedulerPause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// refreshedInConsole has a person refresh, and the next call bring that to the runner.
func (w gcpWorld) refreshedInConsole(ctx context.Context, at *sandboxgcp.Function) error {
	w.Maia.ConsoleRefresh(sandbox.AgentID)
	w.Maia.Cut()
	return w.untilBack(ctx, at)
}

// confusedDeputy has an attacker, who may change the Deployment and nothing else, name another runner there: its credentials
// must not be asked for.
func (w gcpWorld) confusedDeputy(ctx context.Context) error {
	w.Maia.AddAgent(maiatest.AgentSpec{ID: strangersAgent, Name: "another runner", ClientID: sandbox.ClientID, Secret: strangersSecret})
	name := func(agent string) error {
		patch := fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":"dpc-agent","env":[{"name":"AGENT_ID","value":%q}]}]}}}}`,
			agent)
		_, err := w.Clients.AppsV1().Deployments(w.Namespace()).Patch(ctx, sandboxgcp.Deployment, types.StrategicMergePatchType, patch,
			metav1.PatchOptions{})
		return err
	}
	if err := name(strangersAgent); err != nil {
		return err
	}
	if status, _ := w.CallAt(ctx, w.Function); status == http.StatusOK {
		w.trace.breaks("a runner that is not allowed is served")
	}
	if slices.ContainsFunc(w.Maia.Calls(), func(c maiatest.Call) bool { return c.AgentID == strangersAgent }) {
		w.trace.breaks("Maia is asked about a runner that is not allowed")
	}
	if err := name(sandbox.AgentID); err != nil {
		return err
	}
	return w.rotate(ctx)
}
