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
	for _, part := range []plan{singles(calls[false], prefix), operators(calls[true], prefix), {scenarios: in.stories()},
		pairs(calls[false], prefix, in.pairs(), o.seed), underQuirks(calls[false], in, o.seed),
	} {
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
	f.quirks.take(in.name(), results)
	return summarize(in, results, f)
}

// So many scenarios that wait, and so many under quirks, are played at a time, along with those that are at work.
const (
	waiting = 100
	quirky  = 40
)

// waits reports whether a scenario does nothing for minutes: the outcome of a refresh is unknown, or a process is stopped.
func (s scenario) waits() bool {
	return strings.Contains(s.name, "RefreshCredentials") || strings.Contains(s.name, "wakes-up")
}

// room is where a scenario is played.
func (s scenario) room() string {
	switch {
	case len(s.quirks) > 0:
		return "quirky"
	case s.waits():
		return "waiting"
	}
	return "working"
}

// playAll plays scenarios, each in its room; the rooms work at the same time.
func playAll(ctx context.Context, o options, in cloud, chosen []scenario, f *figures) []result {
	var mu sync.Mutex
	var results []result
	rooms := map[string]chan struct{}{
		"waiting": make(chan struct{}, waiting),
		"quirky":  make(chan struct{}, min(quirky, 3*o.parallel)),
		"working": make(chan struct{}, o.parallel),
	}
	var playing sync.WaitGroup
	for _, s := range chosen {
		playing.Go(func() {
			room := rooms[s.room()]
			room <- struct{}{}
			defer func() { <-room }()
			if ctx.Err() != nil {
				return
			}
			r := play(ctx, in, s)
			switch {
			case len(r.broken) > 0:
				f.say("BROKEN %s\n  %s\n%s\n  repeat with: go run ./internal/prove -run '%s'",
					r.scenario, strings.Join(r.broken, "\n  "), r.story, r.scenario)
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
func summarize(in cloud, results []result, f *figures) error {
	name := in.name()
	if len(results) == 0 {
		return errors.New(name + ": no scenario has that name")
	}
	var faults, quirks sum
	for _, r := range results {
		if len(r.quirks) > 0 {
			quirks.add(r)
		} else {
			faults.add(r)
		}
	}
	if faults.played > 0 {
		faults.figures(name, "", f)
		f.add(name, "fault scenarios", faults.played)
		f.add(name, "healed", faults.played-faults.broken)
		f.add(name, "pairs of which the second call never came", faults.uninjected)
		f.add(name, "longest downtime", faults.downtime.Round(100*time.Millisecond))
	}
	if quirks.played > 0 {
		quirks.figures(name, "under quirks: ", f)
		f.add(name, "quirks", fmt.Sprintf("%d, of which %d are Maia's", len(quirks.quirks), quirks.of(onMaia)))
		f.add(name, "under quirks: scenarios", fmt.Sprintf("%d, of which %d under two", quirks.played, quirks.pairs))
		f.add(name, "under quirks: as expected", quirks.played-quirks.broken)
		f.add(name, "under quirks: faults whose call never came", quirks.uninjected)
	}
	if broken := faults.broken + quirks.broken; broken > 0 {
		return fmt.Errorf("%s: %d of %d scenarios broke a promise", name, broken, len(results))
	}
	return nil
}

// sum adds results up.
type sum struct {
	played, broken, lost, leaks, uninjected, resumed, beyond, pairs int
	downtime, took                                                  time.Duration
	quirks                                                          map[string]string // services by the quirk's full name
}

func (s *sum) add(r result) {
	s.played++
	for _, count := range []struct {
		is bool
		n  *int
	}{
		{len(r.broken) > 0, &s.broken}, {r.lost, &s.lost}, {r.leaked, &s.leaks}, {r.uninjected, &s.uninjected},
		{r.resumed, &s.resumed}, {len(r.quirks) > 1, &s.pairs},
	} {
		if count.is {
			*count.n++
		}
	}
	s.beyond += r.beyond
	s.downtime, s.took = max(s.downtime, r.downtime), max(s.took, r.took)
	for _, q := range r.quirks {
		if s.quirks == nil {
			s.quirks = map[string]string{}
		}
		s.quirks[q.String()] = q.service
	}
}

// of is how many quirks of a service there were.
func (s *sum) of(service string) (n int) {
	for _, of := range s.quirks {
		if of == service {
			n++
		}
	}
	return n
}

// figures are those that there are with and without quirks.
func (s *sum) figures(name, prefix string, f *figures) {
	f.add(name, prefix+"lost", s.lost)
	f.add(name, prefix+"refreshes beyond those due", s.beyond)
	f.add(name, prefix+"leaks", s.leaks)
	f.add(name, prefix+"left paused, as the error said, and resumed by a person", s.resumed)
	f.add(name, prefix+"longest scenario", s.took.Round(time.Second))
}
