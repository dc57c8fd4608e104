package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox/stage"
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
	// pairs is how many scenarios there are in which two calls are struck.
	pairs() int
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
	// back says that the store holds what Maia holds and that the runner is connected with it.
	back() bool
	// started is how many instances of the runner have ever started.
	started() int
	maia() *stage.Maia
	proofs() []stage.Proof
	output() []byte // of the function
	close()
}

// trace is what happened in a world, for the reader of a failure, and what the checks found meanwhile.
type trace struct {
	mu     sync.Mutex
	events []stage.Event
	broken []string
}

func (t *trace) event(event stage.Event) {
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
	scenario  string
	broken    []string
	lost      bool // in the end the store does not hold what Maia holds, or the runner is not connected
	unstruck  bool // not everything that was to happen has
	refreshes int
	beyond    int // refreshes beyond those that were due
	leaked    bool
	dark      time.Duration // the longest
	took      time.Duration
	calls     []call
	story     string // what happened, and, if something is broken, what the function printed
}

const (
	// scenarioTime is longer than any scenario takes: the longest wait out the five minutes in which no other refresh is sent
	// after one of unknown outcome, and what overlaps with them.
	scenarioTime = 25 * time.Minute
	healPause    = 3 * time.Second // between two regular calls, which are half an hour apart
	healTime     = 12 * time.Minute
)

// play plays a scenario in a new world.
func play(ctx context.Context, in cloud, s scenario) (r result) {
	ctx, cancel := context.WithTimeout(ctx, scenarioTime)
	defer cancel()
	began := time.Now()
	r.scenario = s.name
	strikes := make([]*strike, len(s.strikes))
	for i := range s.strikes {
		one := s.strikes[i]
		strikes[i] = &one
	}
	wire, trace := newWire(strikes), &trace{}
	var servers stage.Servers
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
	err = toTheEnd(ctx, w, s)
	r.judge(w, wire, trace, s)
	if err != nil {
		r.broken = append(r.broken, err.Error())
	}
	r.took = time.Since(began)
	r.story = trace.String() + "the calls:\n" + wire.told()
	if len(r.broken) > 0 {
		r.story += "\nthe function's output:\n" + string(w.output())
	}
	return r
}

// toTheEnd rotates, and lets the platform's regular calls come until the runner is back.
func toTheEnd(ctx context.Context, w world, s scenario) error {
	if s.story != nil {
		if err := s.story(ctx, w); err != nil {
			return err
		}
	} else if err := w.rotate(ctx); err != nil {
		return err
	}
	if err := healed(ctx, w); err != nil {
		return err
	}
	if w.maia().Refreshes(stage.AgentID) == 0 {
		if err := w.due(ctx); err != nil {
			return err
		}
		if err := healed(ctx, w); err != nil {
			return err
		}
	}
	refreshes, instances := w.maia().Refreshes(stage.AgentID), w.started()
	if err := w.heal(ctx); err != nil {
		return fmt.Errorf("when all was done, one more call failed: %w", err)
	}
	if w.maia().Refreshes(stage.AgentID) != refreshes || w.started() != instances {
		return errors.New("when all was done, one more call refreshed or restarted")
	}
	return nil
}

// healed lets regular calls come until one succeeds and the runner is back and works.
func healed(ctx context.Context, w world) error {
	ctx, cancel := context.WithTimeout(ctx, healTime)
	defer cancel()
	for {
		err := w.heal(ctx)
		if err == nil && w.back() && w.maia().Works(ctx) {
			return nil
		}
		select {
		case <-time.After(healPause):
		case <-ctx.Done():
			return fmt.Errorf("the regular calls have not brought the runner back within %s; the last one: %w", healTime, errors.Join(err, ctx.Err()))
		}
	}
}

// judge looks whether all is as it must be.
func (r *result) judge(w world, wire *wire, trace *trace, s scenario) {
	m := w.maia()
	for _, proof := range w.proofs() {
		if !proof.OK {
			r.broken = append(r.broken, fmt.Sprintf("not true: %s: %s", proof.Text, proof.Detail))
			r.leaked = r.leaked || strings.HasPrefix(proof.Text, "no secret leaked")
		}
	}
	r.lost = !w.back()
	if r.lost {
		r.broken = append(r.broken, "in the end the runner is not back")
	}
	r.refreshes = m.Refreshes(stage.AgentID)
	if r.beyond = max(0, r.refreshes-1); r.beyond > 0 || r.refreshes == 0 {
		r.broken = append(r.broken, fmt.Sprintf("%d refreshes for the one rotation that was due", r.refreshes))
	}
	r.unstruck = !wire.struck()
	if r.unstruck && len(s.strikes) < 2 {
		r.broken = append(r.broken, "what was to happen did not: there was no such call")
	}
	if got := wire.thief.bytes(); len(got) > 0 {
		r.broken = append(r.broken, fmt.Sprintf("a redirect was followed: %d bytes", len(got)))
		r.leaked = true
	}
	if bytes.Contains(w.output(), []byte(strangersSecret)) {
		r.broken = append(r.broken, "another runner's secret is in the output")
		r.leaked = true
	}
	for _, dark := range m.Dark() {
		r.dark = max(r.dark, dark)
	}
	r.calls = wire.made()
	trace.mu.Lock()
	defer trace.mu.Unlock()
	r.broken = append(r.broken, trace.broken...)
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
