package rotatetest

import (
	"fmt"
	"hash/fnv"
	"slices"
)

// Option chooses among the scenarios.
type Option func(*choice)

// choice is which calls are made to fail.
type choice struct {
	reads    func(Call) bool // nil: none is distinguished
	quirks   bool
	platform []Quirk
	part     int // of the scenarios with a fault or a quirk, one in so many is played; 0: all
}

// OnceEach has calls that change nothing fail once for each name, method of the Runner, and phase of a rotation (up to the
// pause, to the refresh, to the resume, after it), in fewer ways. It is for a platform whose calls are many and slow; say by
// reads which they are.
func OnceEach(reads func(Call) bool) Option {
	return func(c *choice) { c.reads = reads }
}

// Part plays all the stories and the contract, and of the scenarios with a fault or a quirk one in n, chosen by their names. It is for a
// platform whose scenarios are slow.
func Part(n int) Option {
	return func(c *choice) { c.part = n }
}

// shortPart is the part that go test -short plays.
const shortPart = 40

// plays reports whether a scenario with a fault or a quirk is in the part that is played.
func (c choice) plays(s scenario) bool {
	if c.part < 2 {
		return true
	}
	sum := fnv.New32a()
	sum.Write([]byte(s.name))
	return sum.Sum32()%uint32(c.part) == 0
}

// maxPolls is how many calls of one kind are made to fail while a run waits. The next ones would meet it in the same state.
const maxPolls = 8

// fold leaves out the calls of a run that waits beyond the first few of each name, and what OnceEach says, and returns how
// many these are.
func (c choice) fold(calls []Call) (kept []Call, folded int) {
	type read struct {
		name, during string
		phase        int
	}
	polls, once, phase := map[string]int{}, map[read]bool{}, 0
	for _, call := range calls {
		if slices.Contains([]string{maiaPause, maiaRefresh, maiaResume}, call.Name) {
			phase++
		}
		if c.reads != nil && c.reads(call) {
			this := read{call.Name, call.During, phase}
			if call.folds = true; once[this] {
				folded++
				continue
			}
			once[this] = true
		}
		if !call.polled() {
			clear(polls) // something was done: what is polled from here on is another state
		} else if polls[call.Name]++; polls[call.Name] > maxPolls {
			folded++
			continue
		}
		call.polls = polls[call.Name]
		kept = append(kept, call)
	}
	return kept, folded
}

// String says what was left out.
func (c choice) String() string {
	text := fmt.Sprintf("polled ones beyond the %dth in a row", maxPolls)
	if c.reads != nil {
		text += ", and reads beyond the first of each name, method and phase"
	}
	return text
}

// variants are the ways in which a call goes wrong.
func (c Call) variants() []variant {
	if !c.folds {
		return variants()
	}
	return slices.DeleteFunc(variants(), func(v variant) bool {
		return !slices.Contains([]string{"fail-before", "fail-before-once", "cut-after-at-once"}, v.name)
	})
}
