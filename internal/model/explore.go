package model

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Logic is rotate.Next, or something that stands in for it.
type Logic func(rotate.Observation, rotate.Policy, time.Time) rotate.Step

// Model explores one kind of platform.
type Model struct {
	staged     bool // else it stores at once
	budget     int8 // of disturbances
	concurrent int8 // what a concurrent run costs
	next       Logic
	blind      func(*rotate.Observation, *rotate.Policy) // what a mutant does not see; nil: it sees all
	alone      bool                                      // a mutant: the first service that cannot be restarted ends a restart
	policy     rotate.Policy

	decisions map[question]decision
	violation string                // of the transition that is being taken
	taken     func(rotate.StepKind) // called with every step that is decided; nil: nothing is
}

// New makes a model of a platform that stages first, or stores at once, with so many disturbances. Without a lock, as on the platform
// that stages, a concurrent run uses up all of a budget of 2.
func New(staged bool, budget int, next Logic) *Model {
	p := rotate.DefaultPolicy()
	p.DrainTimeout, p.ConnectTimeout, p.QuietTime = drainTicks*tick, connectTicks*tick, quietTicks*tick
	if !staged {
		p.Every = everyTicks * tick
	}
	concurrent := int8(1)
	if staged {
		concurrent = 2
	}
	return &Model{staged: staged, budget: int8(budget), concurrent: concurrent, next: next, policy: p, decisions: map[question]decision{}}
}

// starts are the worlds to begin with. Those that are like another but for one thing have fewer disturbances.
func (m *Model) starts() map[string]World {
	fresh := World{Maia: 1, Store: 1, Instance: 1, Age: everyTicks, Budget: m.budget}
	foreign := fresh
	foreign.Foreign, foreign.Instance = true, 0
	apart := fresh
	apart.Maia, apart.Before, apart.Instance = 2, 1, 2
	duplicate := apart
	duplicate.Instance, duplicate.Duplicate = 1, true
	rare := fresh
	rare.Budget = min(m.budget, 1)
	if m.staged {
		rare.Budget = max(m.budget-1, 0)
	}
	held := rare
	held.Held = true
	two := rare
	two.Two, two.Other, two.Stuck = true, 1, true
	starts := map[string]World{
		"a runner that was never touched":                                   fresh,
		"a store that names another client":                                 foreign,
		"a connected runner whose store never agreed with what Maia holds":  apart,
		"another target, of which it is not known whether it is the runner": duplicate,
		"a runner that is held":                                             held,
		"two services, of which the first cannot be restarted":              two,
	}
	for form, name := range map[int8]string{
		formMoves: "an end of pauses that moves at every read", formAbsent: "pauses of which no end is shown",
		formReconnects: "an end of pauses that changes when the runner reconnects",
	} {
		w := rare
		w.Form = form
		starts[name] = w
	}
	return starts
}

// Result is what an exploration found.
type Result struct {
	States, Transitions, Depth int
	Rotations                  int            // refreshes of ours that were carried out on the way to a state, at most
	Ends                       map[string]int // by how the run of things ends from a state
	Violation                  string         // the first; empty: none
	Trace                      []string       // how it came to it
}

func (r Result) String() string {
	return fmt.Sprintf("%s\n  %s", r.Violation, strings.Join(r.Trace, "\n  "))
}

// Explore visits every state that can be reached, breadth first, and stops at the first violation, to which the trace is
// then as short as one can be.
func (m *Model) Explore() Result {
	result := Result{Ends: map[string]int{}}
	visited := map[World]int32{}
	type origin struct {
		from int32
		name string
	}
	var origins []origin
	var level []World
	starts := m.starts()
	var order []string
	for name := range starts {
		order = append(order, name)
	}
	slices.Sort(order)
	for _, name := range order {
		w := starts[name]
		visited[w] = int32(len(origins))
		origins = append(origins, origin{-1, name})
		level = append(level, w)
	}
	trace := func(at int32, last string) (names []string) {
		if last != "" {
			names = append(names, last)
		}
		for ; at >= 0; at = origins[at].from {
			names = append(names, origins[at].name)
		}
		slices.Reverse(names)
		return names
	}
	fair := m.fairness()
	for len(level) > 0 {
		var nextLevel []World
		for _, w := range level {
			at := visited[w]
			result.Rotations = max(result.Rotations, int(w.Refreshes))
			end, wrong := fair.end(w)
			result.Ends[end]++
			if wrong != nil {
				result.Violation, result.Trace = end, append(trace(at, ""), wrong...)
				result.States = len(origins)
				return result
			}
			m.moves(&w, func(name string, to *World) {
				result.Transitions++
				if m.violation != "" {
					if result.Violation == "" {
						result.Violation, result.Trace = m.violation, append(trace(at, name), to.String())
					}
					m.violation = ""
					return
				}
				to.Settled = 0
				if _, seen := visited[*to]; !seen {
					visited[*to] = int32(len(origins))
					origins = append(origins, origin{at, name})
					nextLevel = append(nextLevel, *to)
				}
			})
			if result.Violation != "" {
				result.States = len(origins)
				return result
			}
		}
		level = nextLevel
		result.Depth++
	}
	result.States = len(origins)
	return result
}
