package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// someCalls are a few calls of a rotation.
var someCalls = []call{
	{source: sandbox.FromMaia, identity: identity{name: "GetAgent"}, nth: 1},
	{source: sandbox.FromMaia, identity: identity{name: "RefreshCredentials", changes: true}, phase: paused, nth: 1},
	{source: sandbox.FromSecretsManager, identity: identity{name: "PutSecretValue runner", changes: true}, phase: refreshed, nth: 1},
}

func TestEveryQuirkIsPlayed(t *testing.T) {
	for _, in := range clouds() {
		p := underQuirks(someCalls, in, 6)
		names := map[string]int{}
		pairs := 0
		for _, s := range p.scenarios {
			names[s.name]++
			if len(s.quirks) > 1 {
				pairs++
			}
		}
		if pairs != quirkPairs || len(names) != len(p.scenarios) {
			t.Errorf("%s: %d pairs of quirks, want %d; %d names of %d scenarios", in.name(), pairs, quirkPairs, len(names), len(p.scenarios))
		}
		for _, q := range append(in.quirks(), maiasQuirks()...) {
			prefix, faults := in.name()+"/quirk/"+q.String()+"/", 0
			for name := range names {
				if strings.HasPrefix(name, prefix) && strings.Contains(name, "@") {
					faults++
				}
			}
			switch {
			case q.Refused != "" && (names[prefix+"rotation"] != 1 || faults > 0):
				t.Errorf("%s: that %s has the rotation refused is not played, or more than that", in.name(), q)
			case q.Refused == "" && (names[prefix+"rotation-and-healing"] != 1 || faults != in.faults()):
				t.Errorf("%s: under %s there are %d faults, want %d, and a rotation with healing", in.name(), q, faults, in.faults())
			}
		}
		again, other := underQuirks(someCalls, in, 6), underQuirks(someCalls, in, 7)
		same := func(a, b scenario) bool { return a.name == b.name }
		if !slices.EqualFunc(p.scenarios, again.scenarios, same) || slices.EqualFunc(p.scenarios, other.scenarios, same) {
			t.Errorf("%s: the sample is not determined by its seed", in.name())
		}
	}
}

func TestHurriedQuirksAreQuirks(t *testing.T) {
	for name := range hurried {
		if !slices.ContainsFunc(allQuirks(), func(q named) bool { return q.String() == name }) {
			t.Errorf("there is no quirk %s", name)
		}
	}
	s := scenario{quirks: []named{{service: onECS, Quirk: quirk.Quirk{Name: "rollout-60m"}}}}
	if s.hurry(onECS) != 8 || s.hurry(onBlobs) != 1 {
		t.Errorf("ECS is %d times as fast, others %d times", s.hurry(onECS), s.hurry(onBlobs))
	}
}

// The page is written by make prove. After a change of the quirks it must be run again.
func TestPageHasEveryQuirk(t *testing.T) {
	page, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), beginQuirks)
	written, _, ended := strings.Cut(rest, endQuirks)
	if !ended {
		t.Fatal("the page has no table of quirks")
	}
	all := allQuirks()
	for _, q := range all {
		i := strings.Index(written, q.row())
		if i < 0 {
			t.Errorf("%s is missing, or is not as the emulator's table has it:\n%s", q, q.row())
			continue
		}
		outcome, _, _ := strings.Cut(written[i+len(q.row()):], "\n")
		if !strings.HasPrefix(outcome, " as expected") {
			t.Errorf("%s: the page says %q", q, outcome)
		}
	}
	if rows := strings.Count(written, "\n| "); rows != len(all)+1 {
		t.Errorf("the table has %d rows, want one for each of %d quirks and its head", rows, len(all))
	}
}

func TestTableOfQuirks(t *testing.T) {
	one := named{onMaia, quirk.Quirk{Name: "one"}}
	two := named{onECS, quirk.Quirk{Name: "rollout-60m", Behaviour: "slow", Source: "a page", Refused: "never"}}
	var seen table
	seen.take("azure", []result{{quirks: []named{one}}, {quirks: []named{one}, broken: []string{"all"}}, {quirks: []named{one, two}}, {}})
	seen.take("aws", []result{{quirks: []named{one}}, {quirks: []named{two}}})
	if seen.count() != 2 {
		t.Errorf("%d quirks were played", seen.count())
	}
	for q, want := range map[named]string{
		one:                                 "as expected: aws 1 of 1, azure 1 of 2",
		two:                                 "as expected: aws 1 of 1 (8 times as fast)",
		{onMaia, quirk.Quirk{Name: "none"}}: "not played in this run",
		elsewhere()[0]:                      "as expected, in the tests of `functions/gcp/rotation` alone",
	} {
		if got := seen.outcome(q); got != want {
			t.Errorf("%s: %q, want %q", q, got, want)
		}
	}
	if got, want := two.row(), "| ECS | `rollout-60m` | slow | a page | refused: `never` |"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFiguresOfQuirks(t *testing.T) {
	q := maiasQuirks()[0]
	f := &figures{out: new(bytes.Buffer)}
	err := summarize(&onAWS{}, []result{
		{}, {quirks: []named{q}, resumed: true}, {quirks: []named{q, {service: onECS}}, broken: []string{"all"}, downtime: time.Hour},
	}, f)
	if err == nil || !strings.Contains(err.Error(), "1 of 3") {
		t.Errorf("err = %v", err)
	}
	for _, want := range []row{
		{"aws", "fault scenarios", "1"}, {"aws", "healed", "1"}, {"aws", "longest downtime", "0s"},
		{"aws", "quirks", "2, of which 1 are Maia's"}, {"aws", "under quirks: scenarios", "2, of which 1 under two"},
		{"aws", "under quirks: as expected", "1"}, {"aws", "under quirks: left paused, as the error said, and resumed by a person", "1"},
	} {
		if !slices.Contains(f.rows, want) {
			t.Errorf("%v is missing in %v", want, f.rows)
		}
	}
}

// pausedWorld is one whose runner is paused.
type pausedWorld struct {
	world
	server  *sandbox.Maia
	claimed bool
	printed string
}

func (w *pausedWorld) maia() *sandbox.Maia { return w.server }
func (w *pausedWorld) unconfirmed() bool   { return w.claimed }
func (w *pausedWorld) output() []byte      { return []byte(w.printed) }

// A person may be asked to resume the runner only where no run can know whose the pause is.
func TestRunnerThatIsLeftPaused(t *testing.T) {
	asks := errors.New(`the runner is left paused: …; what to do: … {"command":"RESUME"}`)
	if !leftPaused(asks) || leftPaused(nil) || leftPaused(errors.New(`the runner may be left paused: … {"command":"RESUME"}`)) {
		t.Error("quirks that leave a pause to a person are not kept apart from those that do not")
	}
	unclear := named{onMaia, quirk.Quirk{Name: "paused-until-moves"}}
	for name, test := range map[string]struct {
		killed, claimed bool
		quirks          []named
		printed         string
		broken          string
	}{
		"killed before the note":        {killed: true, claimed: true, printed: `"left_paused":true`},
		"an end that moves":             {quirks: []named{unclear}, printed: `"left_paused":true`},
		"nothing was killed":            {claimed: true, printed: `"left_paused":true`, broken: "the note says whose"},
		"the note was confirmed":        {killed: true, printed: `"left_paused":true`, broken: "the note says whose"},
		"the report is silent about it": {killed: true, claimed: true, broken: "no report says so"},
	} {
		t.Run(name, func(t *testing.T) {
			server := &sandbox.Maia{Server: maiatest.New()}
			server.AddAgent(maiatest.AgentSpec{ID: sandbox.AgentID, ClientID: sandbox.ClientID, Secret: "of-the-runner-and-long-enough"})
			if _, err := server.Connect(sandbox.AgentID, sandbox.ClientID, "of-the-runner-and-long-enough"); err != nil {
				t.Fatal(err)
			}
			server.ConsolePause(sandbox.AgentID, time.Hour)
			c := &course{
				scenario: scenario{quirks: test.quirks}, in: &pausedWorld{server: server, claimed: test.claimed, printed: test.printed},
				wire: newWire(nil), trace: &trace{},
			}
			if test.killed {
				c.wire.killFunction()
			}
			c.resume(asks)
			if got := strings.Join(c.trace.broken, "; "); (got != "") != (test.broken != "") || !strings.Contains(got, test.broken) {
				t.Errorf("broken: %q, want %q", got, test.broken)
			}
			if status, _ := server.Actual(sandbox.AgentID); status != maia.StatusRunning || !c.resumed {
				t.Errorf("the runner is %s", status)
			}
		})
	}
}

// The judge sees it if a quirk that should have a rotation refused does not, and if one that should not does.
func TestJudgeSeesARefusalThatIsNone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	in := &onAWS{}
	if err := in.build(ctx, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		quirk  named
		broken string
	}{
		{named{onMaia, quirk.Quirk{Name: "paused-until-seconds", Refused: "by nobody"}}, "1 refreshes and 1 restarts though"},
		{named{onECS, quirk.Quirk{Name: "canary", Refused: "by nobody"}}, "the cause was not named"},
	} {
		r := play(ctx, in, scenario{name: "aws/quirk/x", quirks: []named{test.quirk}})
		if !slices.ContainsFunc(r.broken, func(text string) bool { return strings.Contains(text, test.broken) }) {
			t.Errorf("%q is missing in %q", test.broken, r.broken)
		}
	}
}
