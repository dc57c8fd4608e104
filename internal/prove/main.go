// Command prove turns the promises of the README into evidence. It strikes every call of a rotation in every cloud, in every
// way, and looks whether the runner comes back.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

type options struct {
	clouds   string
	run      string
	parallel int
	seed     uint64
	list     bool
}

func main() {
	var o options
	flag.StringVar(&o.clouds, "cloud", "aws", "the clouds, comma-separated")
	flag.StringVar(&o.run, "run", "", "only the scenarios whose names begin so")
	flag.IntVar(&o.parallel, "parallel", 48, "worlds at a time: they mostly wait")
	flag.Uint64Var(&o.seed, "seed", 6, "of the sample of pairs")
	flag.BoolVar(&o.list, "list", false, "list the calls of a rotation and the scenarios, and play none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prove(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

func prove(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, name := range strings.Split(o.clouds, ",") {
		in, ok := map[string]cloud{"aws": &onAWS{}, "gcp": &onGCP{}}[name]
		if !ok {
			return fmt.Errorf("there is no cloud %q", name)
		}
		if err := proveCloud(ctx, o, in, dir, out); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

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
	sample := 500
	if own, ok := in.(interface{ sample() int }); ok {
		sample = own.sample()
	}
	prefix := in.name() + "/"
	for _, part := range []plan{singles(calls[false], prefix), operators(calls[true], prefix), {scenarios: in.stories()}, pairs(calls[false], prefix, sample, o.seed)} {
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

func proveCloud(ctx context.Context, o options, in cloud, dir string, out io.Writer) error {
	if err := in.build(ctx, dir); err != nil {
		return err
	}
	defer in.close()
	p, clean, err := planOf(ctx, o, in)
	if err != nil {
		return err
	}
	changes := 0
	for _, c := range clean {
		if c.changes {
			changes++
		}
	}
	fmt.Fprintf(out, "figure: %s, calls in a clean rotation: %d (%d that change something)\n", in.name(), len(clean), changes)
	chosen := p.chosen(o.run)
	if o.list {
		for i, c := range clean {
			fmt.Fprintf(out, "%3d  %-20s  %-16s  #%d %s\n", i+1, c.phase, c.source, c.nth, c.name)
		}
		for _, s := range chosen {
			fmt.Fprintln(out, s.name)
		}
		return nil
	}
	for _, folded := range p.folded {
		fmt.Fprintf(out, "%s: folded: %s\n", in.name(), folded)
	}
	var mu sync.Mutex
	var results []result
	free := make(chan struct{}, o.parallel)
	var playing sync.WaitGroup
	for _, s := range chosen {
		if ctx.Err() != nil {
			break
		}
		free <- struct{}{}
		playing.Go(func() {
			defer func() { <-free }()
			r := play(ctx, in, s)
			mu.Lock()
			defer mu.Unlock()
			r.calls = nil
			results = append(results, r)
			if len(r.broken) > 0 {
				fmt.Fprintf(out, "BROKEN %s\n  %s\n%s\n  repeat with: go run ./internal/prove -cloud %s -run '%s'\n", r.scenario, strings.Join(r.broken, "\n  "), r.story, in.name(), r.scenario)
			}
			if len(results)%100 == 0 {
				fmt.Fprintf(os.Stderr, "%s: %d of %d\n", in.name(), len(results), len(chosen))
			}
		})
	}
	playing.Wait()
	return summarize(in.name(), results, out)
}

// summarize prints the figures.
func summarize(name string, results []result, out io.Writer) error {
	slices.SortFunc(results, func(a, b result) int { return cmp.Compare(a.scenario, b.scenario) })
	broken, healed, lost, beyond, leaks, unstruck := 0, 0, 0, 0, 0, 0
	var dark, took time.Duration
	for _, r := range results {
		beyond += r.beyond
		dark, took = max(dark, r.dark), max(took, r.took)
		if len(r.broken) > 0 {
			broken++
		} else {
			healed++
		}
		if r.lost {
			lost++
		}
		if r.leaked {
			leaks++
		}
		if r.unstruck {
			unstruck++
		}
	}
	for _, f := range []struct {
		what  string
		value any
	}{
		{"fault scenarios", len(results)}, {"healed", healed}, {"lost", lost}, {"refreshes beyond those due", beyond}, {"leaks", leaks},
		{"pairs of which the second call did not come", unstruck}, {"longest dark time", dark.Round(time.Second)}, {"longest scenario", took.Round(time.Second)},
	} {
		fmt.Fprintf(out, "figure: %s, %s: %v\n", name, f.what, f.value)
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d scenarios broke a promise", broken, len(results))
	}
	return nil
}
