package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// planOf plans what is played in a cloud, by the calls of rotations to which nothing happens.
func planOf(ctx context.Context, o options, in cloud) (p plan, clean []call, err error) {
	calls := map[bool][]call{}
	for _, operator := range []bool{false, true} {
		r := play(ctx, in, scenario{name: in.name() + "/clean", operator: operator})
		if len(r.broken) > 0 {
			return p, nil, fmt.Errorf("a rotation to which nothing happens: %s\n%s", strings.Join(r.broken, "; "), r.story)
		}
		calls[operator] = r.rotation()
		if timed, ok := in.(interface{ withoutTimed([]call) []call }); ok {
			calls[operator] = timed.withoutTimed(calls[operator])
		}
	}
	prefix := in.name() + "/"
	for _, part := range []plan{singles(calls[false], prefix), operators(calls[true], prefix), {scenarios: in.stories()}, pairs(calls[false], prefix, in.pairs(), o.seed)} {
		p.scenarios = append(p.scenarios, part.scenarios...)
		p.folded = append(p.folded, part.folded...)
	}
	if more, ok := in.(interface{ folded() []string }); ok {
		p.folded = append(p.folded, more.folded()...)
	}
	return p, calls[false], nil
}

// rotation are the calls of the rotation, without those of the healing calls after it.
func (r result) rotation() []call {
	return slices.DeleteFunc(r.calls, func(c call) bool { return strings.HasPrefix(c.phase, "heal") })
}

// proveCloud plays the scenarios of a cloud.
func proveCloud(ctx context.Context, o options, in cloud, dir string, f *figures) error {
	began := time.Now()
	if err := in.build(ctx, dir); err != nil {
		return fmt.Errorf("%s: %w", in.name(), err)
	}
	defer in.close()
	p, clean, err := planOf(ctx, o, in)
	if err != nil {
		return fmt.Errorf("%s: %w", in.name(), err)
	}
	chosen := p.chosen(o.run)
	if o.list {
		for i, c := range clean {
			f.say("%s  %3d  %-22s  %-16s  #%d %s", in.name(), i+1, c.phase, c.source, c.nth, c.name)
		}
		for _, s := range chosen {
			f.say("%s", s.name)
		}
		return nil
	}
	changes := 0
	for _, c := range clean {
		if c.changes {
			changes++
		}
	}
	f.add(in.name(), "calls in a clean rotation", fmt.Sprintf("%d, of which %d change something", len(clean), changes))
	for _, folded := range p.folded {
		f.say("%s: folded: %s", in.name(), folded)
	}
	results := playAll(ctx, o, in, chosen, f)
	if err := ctx.Err(); err != nil {
		return err
	}
	f.add(in.name(), "took", time.Since(began).Round(time.Second))
	return summarize(in.name(), results, f)
}

// waiting is how many scenarios may wait at a time, beside those that are at work.
const waiting = 100

// waits says that a scenario does nothing for minutes: it is not known what became of a refresh, or a process is stopped.
func (s scenario) waits() bool {
	return strings.Contains(s.name, "RefreshCredentials") || strings.Contains(s.name, "wakes-up")
}

// playAll plays scenarios: those that wait beside the others.
func playAll(ctx context.Context, o options, in cloud, chosen []scenario, f *figures) []result {
	var mu sync.Mutex
	var results []result
	rooms := map[bool]chan struct{}{true: make(chan struct{}, waiting), false: make(chan struct{}, o.parallel)}
	var playing sync.WaitGroup
	for _, s := range chosen {
		playing.Go(func() {
			room := rooms[s.waits()]
			room <- struct{}{}
			defer func() { <-room }()
			if ctx.Err() != nil {
				return
			}
			r := play(ctx, in, s)
			switch {
			case len(r.broken) > 0:
				f.say("BROKEN %s\n  %s\n%s\n  repeat with: go run ./internal/prove -run '%s'", r.scenario, strings.Join(r.broken, "\n  "), r.story, r.scenario)
			case o.verbose:
				f.say("%s: %s\n%s", r.scenario, r.took.Round(time.Millisecond), r.story)
			}
			r.calls, r.story = nil, ""
			mu.Lock()
			defer mu.Unlock()
			if results = append(results, r); len(results)%100 == 0 {
				fmt.Fprintf(os.Stderr, "%s: %d of %d scenarios\n", in.name(), len(results), len(chosen))
			}
		})
	}
	playing.Wait()
	return results
}

// summarize makes the figures of a cloud.
func summarize(name string, results []result, f *figures) error {
	if len(results) == 0 {
		return errors.New(name + ": no scenario has that name")
	}
	broken, lost, beyond, leaks, unstruck := 0, 0, 0, 0, 0
	var dark, took time.Duration
	for _, r := range results {
		beyond += r.beyond
		dark, took = max(dark, r.dark), max(took, r.took)
		for _, count := range []struct {
			is bool
			n  *int
		}{{len(r.broken) > 0, &broken}, {r.lost, &lost}, {r.leaked, &leaks}, {r.unstruck, &unstruck}} {
			if count.is {
				*count.n++
			}
		}
	}
	f.add(name, "fault scenarios", len(results))
	f.add(name, "healed", len(results)-broken)
	f.add(name, "lost", lost)
	f.add(name, "refreshes beyond those due", beyond)
	f.add(name, "leaks", leaks)
	f.add(name, "pairs of which the second call never came", unstruck)
	f.add(name, "longest dark time", dark.Round(100*time.Millisecond))
	f.add(name, "longest scenario", took.Round(time.Second))
	if broken > 0 {
		return fmt.Errorf("%s: %d of %d scenarios broke a promise", name, broken, len(results))
	}
	return nil
}
