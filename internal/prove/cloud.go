package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// cloud is one of the three, with its function.
type cloud interface {
	name() string
	// build compiles the function, and whatever else the worlds need.
	build(ctx context.Context, dir string) error
	// open makes a new world, whose calls go over the wire.
	open(ctx context.Context, s scenario, w *wire, trace *trace) (world, error)
	// stories are the scenarios that are about more than calls: overlapping runs and the like.
	stories() []scenario
	// pairs is the number of scenarios with faults in two calls.
	pairs() int
	// quirks are those of the platform that a world plays, and faults is how many calls fail under each, one in a scenario.
	quirks() []named
	faults() int
	close()
}

// world is a runner with everything around it, and the compiled function.
type world interface {
	// rotate has the platform rotate once, and try again what fails, as it would by itself.
	rotate(ctx context.Context) error
	// heal has the platform's next regular call come, which finishes what is left. An error is the call's own.
	heal(ctx context.Context) error
	// due has the platform's next rotation come, after one that has refreshed nothing.
	due(ctx context.Context) error
	// back reports whether the store holds what Maia holds, and the runner is connected with it.
	back() bool
	// started is how many instances of the runner have ever started.
	started() int
	// restarts is how often the runner was restarted; of several services or revisions, the most often restarted one counts.
	restarts() int
	// unconfirmed reports whether the note claims a pause that no run has seen.
	unconfirmed() bool
	maia() *sandbox.Maia
	proofs() []sandbox.Proof
	output() []byte // of the function
	close()
}

// trace is what happened in a world, for the reader of a failure, and what the checks found meanwhile.
type trace struct {
	mu     sync.Mutex
	events []sandbox.Event
	broken []string
}

func (t *trace) event(event sandbox.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, event)
}

// breaks notes that something is not as it must be.
func (t *trace) breaks(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = append(t.broken, fmt.Sprintf(format, args...))
}

// succeeded is called when an invocation that says that the runner is back has ended without an error.
func (t *trace) succeeded(what string, w world) {
	if w != nil && !w.back() {
		t.breaks("%s is reported as a success, and the runner is not back", what)
	}
}

// result is what came of a scenario.
type result struct {
	scenario   string
	broken     []string
	quirks     []named
	lost       bool // in the end the store does not hold what Maia holds, or the runner is not connected
	uninjected bool // not everything that was to happen has
	resumed    bool // a person had to resume the runner, as a run said
	refreshes  int
	restarts   int
	beyond     int // refreshes beyond those that were due
	leaked     bool
	downtime   time.Duration // the longest
	took       time.Duration
	calls      []call
	story      string // what happened, and, if something is broken, what the function printed
}

const (
	// scenarioTime is longer than any scenario takes: the longest wait out the five minutes in which no other refresh is sent
	// after one of unknown outcome, and what overlaps with them.
	scenarioTime = 25 * time.Minute
	healPause    = 3 * time.Second // between two regular calls, which are half an hour apart
	healTime     = 12 * time.Minute
	// quirkTime is how much more of either there is under quirks: a rollout may be ordered twice, and take nine minutes.
	quirkTime = 15 * time.Minute
)

// course is a scenario that is being played.
type course struct {
	scenario
	in      world
	wire    *wire
	trace   *trace
	resumed bool
}

// patience is how long something may take in a scenario.
func (s scenario) patience(d time.Duration) time.Duration {
	if len(s.quirks) > 0 {
		d += quirkTime
	}
	return d
}

// play plays a scenario in a new world.
func play(ctx context.Context, in cloud, s scenario) (r result) {
	ctx, cancel := context.WithTimeout(ctx, s.patience(scenarioTime))
	defer cancel()
	began := time.Now()
	r.scenario, r.quirks = s.name, s.quirks
	injects := make([]*injection, len(s.injects))
	for i := range s.injects {
		one := s.injects[i]
		injects[i] = &one
	}
	wire, trace := newWire(injects), &trace{}
	var servers sandbox.Servers
	defer servers.Close()
	defer wire.end()
	wire.thief = &receiver{}
	url, err := servers.Serve(ctx, wire.thief)
	if err != nil {
		r.broken = append(r.broken, err.Error())
		return r
	}
	wire.thief.url = url
	w, err := in.open(ctx, s, wire, trace)
	if err != nil {
		r.broken = append(r.broken, "the world does not start: "+err.Error())
		return r
	}
	defer w.close()
	c := &course{scenario: s, in: w, wire: wire, trace: trace}
	if len(s.refusals()) > 0 {
		err = c.toTheRefusal(ctx)
		r.judgeRefusal(c)
	} else {
		err = c.toTheEnd(ctx)
		r.judge(c)
	}
	if err != nil {
		r.broken = append(r.broken, err.Error())
	}
	r.took = time.Since(began)
	r.story = trace.String() + "the calls:\n" + wire.reported()
	if len(r.broken) > 0 {
		r.story += "\nthe function's output:\n" + string(w.output())
	}
	return r
}

// toTheEnd rotates, and lets the platform's regular calls come until the runner is back.
func (c *course) toTheEnd(ctx context.Context) error {
	w := c.in
	if c.story != nil {
		if err := c.story(ctx, w); err != nil {
			return err
		}
	} else if err := w.rotate(ctx); err != nil {
		return err
	}
	if err := c.healed(ctx); err != nil {
		return err
	}
	if w.maia().Refreshes(sandbox.AgentID) == 0 {
		if err := w.due(ctx); err != nil {
			return err
		}
		if err := c.healed(ctx); err != nil {
			return err
		}
	}
	if c.console {
		w.maia().ConsoleRefresh(sandbox.AgentID)
		w.maia().Cut()
		if err := c.healed(ctx); err != nil {
			return err
		}
	}
	refreshes, instances := w.maia().Refreshes(sandbox.AgentID), w.started()
	if err := w.heal(ctx); err != nil {
		return fmt.Errorf("when all was done, one more call failed: %w", err)
	}
	if w.maia().Refreshes(sandbox.AgentID) != refreshes || w.started() != instances {
		return errors.New("when all was done, one more call refreshed or restarted")
	}
	return nil
}

// healed lets regular calls come until one succeeds and the runner is back and works.
func (c *course) healed(ctx context.Context) error {
	limit := c.patience(healTime)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := c.in.heal(ctx)
		if err == nil && c.in.back() && c.in.maia().Works(ctx) {
			return nil
		}
		if leftPaused(err) {
			c.resume(err)
		}
		select {
		case <-time.After(healPause):
		case <-ctx.Done():
			return fmt.Errorf("the regular calls have not brought the runner back within %s; the last one: %w", limit, errors.Join(err, ctx.Err()))
		}
	}
}

// leftPaused reports whether a call has left the runner paused because it does not know whose the pause is, and says how a
// person resumes it.
func leftPaused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "the runner is left paused") && strings.Contains(err.Error(), `{"command":"RESUME"}`)
}

// resume has a person resume the runner, as the call asked. A call may leave the runner paused only where it cannot know whose
// the pause is: a function was killed between sending the pause and noting that it was seen, or Maia does not show the end of a
// pause.
func (c *course) resume(asked error) {
	switch {
	case !c.unclearPauses() && !(c.wire.hasKilled() && c.in.unconfirmed()):
		c.trace.breaks("the runner is left paused, though the note says whose the pause is: %v", asked)
	case !bytes.Contains(c.in.output(), []byte("left_paused")):
		c.trace.breaks("the runner is left paused, and no report says so: %v", asked)
	}
	c.resumed = true
	c.in.maia().ConsoleResume(sandbox.AgentID)
}

// judge notes what is not as it must be at the end of a scenario.
func (r *result) judge(c *course) {
	w := c.in
	m := w.maia()
	r.judgeAlways(c)
	r.prove(w, c.quirks)
	r.lost = !w.back()
	if r.lost {
		r.broken = append(r.broken, "in the end the runner is not back")
	}
	if r.beyond = max(0, r.refreshes-1); r.beyond > 0 || r.refreshes == 0 {
		r.broken = append(r.broken, fmt.Sprintf("%d refreshes for the one rotation that was due", r.refreshes))
	}
	if limit := maxRestarts * len(m.Revoked(sandbox.AgentID)); len(c.quirks) > 0 && r.restarts > limit {
		r.broken = append(r.broken, fmt.Sprintf("%d restarts, %d at most for each secret", r.restarts, maxRestarts))
	}
	r.uninjected = !c.wire.injected()
	if r.uninjected && len(c.injects) < 2 && len(c.quirks) == 0 {
		r.broken = append(r.broken, "what was to happen did not: there was no such call")
	}
	for _, downtime := range m.Downtimes() {
		r.downtime = max(r.downtime, downtime)
	}
}

// prove takes over the world's proofs, without those that do not apply under such quirks.
func (r *result) prove(w world, quirks []named) {
	for _, proof := range w.proofs() {
		if proof.OK || !applies(proof, quirks) {
			continue
		}
		r.broken = append(r.broken, fmt.Sprintf("not true: %s: %s", proof.Text, proof.Detail))
		r.leaked = r.leaked || strings.HasPrefix(proof.Text, "no secret leaked")
	}
}

// judgeAlways notes what must never be, however a scenario ends.
func (r *result) judgeAlways(c *course) {
	w := c.in
	r.refreshes, r.restarts, r.resumed = w.maia().Refreshes(sandbox.AgentID), w.restarts(), c.resumed
	if got := c.wire.thief.bytes(); len(got) > 0 {
		r.broken = append(r.broken, fmt.Sprintf("a redirect was followed: %d bytes", len(got)))
		r.leaked = true
	}
	if bytes.Contains(w.output(), []byte(strangersSecret)) {
		r.broken = append(r.broken, "another runner's secret is in the output")
		r.leaked = true
	}
	r.calls = c.wire.made()
	c.trace.mu.Lock()
	defer c.trace.mu.Unlock()
	r.broken = append(r.broken, c.trace.broken...)
}

// String is for the reader of a failure.
func (t *trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var text strings.Builder
	for _, e := range t.events {
		fmt.Fprintf(&text, "%7.1f s  %-15s  %s: %s\n", e.Elapsed.Seconds(), e.Source, e.Name, e.Text)
	}
	return text.String()
}
