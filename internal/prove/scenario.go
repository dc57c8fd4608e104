package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// scenario is one rotation to which something happens.
type scenario struct {
	name    string
	injects []injection
	// operator has an operator pause the runner before.
	operator bool
	// console has a person refresh in Maia's console when the rotation is complete.
	console bool
	quirks  []named  // under which it is played
	env     []string // of the function, in addition to the usual
	// long has pipelines take their time to end, and instances to start.
	long bool
	// story is what else happens while the function is called; nil is nothing.
	story func(context.Context, world) error
}

// plan is what is played in a cloud.
type plan struct {
	scenarios []scenario
	folded    []string // what was left out, and why
}

// singles are the scenarios with a fault in one call: of every kind, once and twice in a row, in each call that changes
// something and in one read for each name and phase.
func singles(calls []call, prefix string) (p plan) {
	targets, repeated := targets(calls)
	p.folded = append(p.folded,
		fmt.Sprintf("%d reads that repeat one of the same operation, resource and phase", repeated),
		"of reads: answer-lost, killed-after and late, which for a read are refused and killed-before; twice in a row but for refused and "+
			"killed-before")
	add := func(c call, k kind, times int) {
		s := injection{name: c.name, phase: c.phase, nth: c.nth, kind: k, times: times}
		p.scenarios = append(p.scenarios, scenario{name: prefix + s.String(), injects: []injection{s}})
	}
	for _, c := range targets {
		for _, k := range kindsOf(c) {
			add(c, k, 1)
			if c.changes || k == refused || k == killedBefore {
				add(c, k, 2)
			}
		}
		if c.source != sandbox.FromMaia {
			continue
		}
		for _, k := range hostile {
			times := 3 // outlasts what a client tries again
			if c.changes {
				times = 1
			}
			if k != strangers || c.credentials() {
				add(c, k, times)
			}
		}
	}
	return p
}

// operators are the scenarios of a runner that an operator has paused: the two worst faults, in each call that changes something.
func operators(calls []call, prefix string) (p plan) {
	changes, _ := targets(calls)
	for _, c := range changes {
		for _, k := range []kind{lost, killedAfter} {
			if c.changes {
				s := injection{name: c.name, phase: c.phase, nth: c.nth, kind: k, times: 1}
				p.scenarios = append(p.scenarios, scenario{name: prefix + "operator-paused/" + s.String(), injects: []injection{s}, operator: true})
			}
		}
	}
	return p
}

// targets are the calls that get faults: those that change something, and the first read of each name and phase.
func targets(calls []call) (found []call, repeated int) {
	for _, c := range calls {
		switch {
		case c.changes || c.nth == 1:
			found = append(found, c)
		default:
			repeated++
		}
	}
	return found, repeated
}

func kindsOf(c call) []kind {
	if c.changes {
		return changing
	}
	return reading
}

// pairs are n scenarios with faults in two different calls, a sample that the seed determines.
func pairs(calls []call, prefix string, n int, seed uint64) (p plan) {
	targets, _ := targets(calls)
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func() injection {
		c := targets[random.IntN(len(targets))]
		kinds := kindsOf(c)
		return injection{name: c.name, phase: c.phase, nth: c.nth, kind: kinds[random.IntN(len(kinds))], times: 1 + random.IntN(2)}
	}
	known := map[string]bool{}
	for len(p.scenarios) < n {
		one, two := pick(), pick()
		if one.name == two.name && one.phase == two.phase && one.nth == two.nth {
			continue
		}
		name := prefix + "pair/" + one.String() + "+" + two.String()
		if !known[name] {
			known[name] = true
			p.scenarios = append(p.scenarios, scenario{name: name, injects: []injection{one, two}})
		}
	}
	return p
}

// chosen are the scenarios whose names begin with one of the given texts, which are comma-separated; all for none.
func (p plan) chosen(names string) []scenario {
	if names == "" {
		return p.scenarios
	}
	return slices.DeleteFunc(slices.Clone(p.scenarios), func(s scenario) bool {
		return !slices.ContainsFunc(strings.Split(names, ","), func(name string) bool { return strings.HasPrefix(s.name, name) })
	})
}
