// Command prove turns the promises of the README into evidence. In every cloud it injects every fault into each call of a
// rotation by the compiled function, lets the platform try again as it would, and checks that the runner is back, nothing is lost
// and nothing has leaked. Then it explores a model of the engine, and rotates fleets of a thousand runners.
//
//	go run ./internal/prove                 everything, with the figures on standard output
//	go run ./internal/prove -run NAME       the scenarios whose names begin so
//	go run ./internal/prove -parts aws -list
//
// Scenarios are named CLOUD/CALL@PHASE#COUNT/WHAT: the call by its operation and resource, the phase of the rotation, the
// count among the calls of that name there, and what happens to it. Everything is on loopback, in real time, and many
// worlds at a time, for they mostly wait.
package main

import (
	"context"
	"errors"
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
	parts    string
	run      string
	document string
	parallel int
	seed     uint64
	list     bool
	verbose  bool
}

// The parts that are no clouds, and the packages whose tests they are.
var tested = []struct{ part, tests string }{
	{"model", "./internal/model"},
	{"load", "./internal/load"},
	{"suite", "./pkg/rotate/helmrelease"},
	{"states", "./internal/sandbox/aws"},
}

func main() {
	var o options
	flag.StringVar(&o.parts, "parts", "aws,azure,gcp,model,load,suite,states", "what to prove, comma-separated")
	flag.StringVar(&o.run, "run", "", "only the scenarios whose names begin with one of these, comma-separated")
	flag.StringVar(&o.document, "document", "", "the file in which to put the figures between their marks")
	flag.IntVar(&o.parallel, "parallel", 16, "worlds at a time in each cloud, not counting those that wait")
	flag.Uint64Var(&o.seed, "seed", 6, "of the sample of pairs")
	flag.BoolVar(&o.list, "list", false, "list the calls of a rotation and the scenarios, and play none")
	flag.BoolVar(&o.verbose, "v", false, "show what happened in every scenario")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := prove(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(1)
	}
}

func clouds() []cloud { return []cloud{&onAWS{}, &onAzure{}, &onGCP{}} }

// wanted reports whether a part is to be proved.
func (o options) wanted(part string) bool {
	if o.run != "" {
		return slices.ContainsFunc(strings.Split(o.run, ","), func(name string) bool { return strings.HasPrefix(name, part+"/") })
	}
	return slices.Contains(strings.Split(o.parts, ","), part)
}

// prove proves the parts: the clouds at the same time, for they mostly wait, and then what needs the machine.
func prove(ctx context.Context, o options, out io.Writer) error {
	began := time.Now()
	dir, err := os.MkdirTemp("", "maia-rotate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	figures := &figures{out: out}
	var proving sync.WaitGroup
	all := clouds()
	failed := make([]error, len(all))
	for i, in := range all {
		if o.wanted(in.name()) {
			proving.Go(func() { failed[i] = proveCloud(ctx, o, in, dir, figures) })
		}
	}
	proving.Wait()
	for _, t := range tested {
		if o.wanted(t.part) {
			failed = append(failed, proveTests(ctx, t.tests, figures))
		}
	}
	if n := figures.quirks.count(); n > 0 {
		figures.add("total", "quirks", n)
	}
	figures.add("total", "took", time.Since(began).Round(time.Second))
	if err := errors.Join(failed...); err != nil || o.document == "" {
		return err
	}
	return figures.write(o.document)
}
