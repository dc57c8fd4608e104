package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	sandboxaws "github.com/maia-rotate/maia-rotate/internal/sandbox/aws"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// setupsAtOnce is how many installations are up at a time.
const setupsAtOnce = 4

// setupPrinter shows a run with --doctor, for people or for machines.
type setupPrinter interface {
	setups(n int)
	setup(sandboxaws.Diagnosis)
	diagnosed(setupsResult)
}

// setupsResult is what came of all installations.
type setupsResult struct {
	setups, broken int // how many there were, and of how many something else was said than is true
	took           time.Duration
}

// sandboxDoctor has doctor and plan check all installations, and shows what they say in the order of the list.
func sandboxDoctor(ctx context.Context, options sandboxOptions, stdout io.Writer) error {
	if options.fault != "" {
		return usageError{errors.New("--doctor and --fault are both set, expected one of the two")}
	}
	var show setupPrinter = &textPrinter{out: stdout, colour: colours(stdout)}
	if options.json {
		show = &jsonPrinter{out: stdout}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sandboxTimeout, fmt.Errorf("not done within %s", sandboxTimeout))
	defer cancel()
	type outcome struct {
		diagnosis sandboxaws.Diagnosis
		err       error
	}
	began := time.Now()
	setups := sandboxaws.Setups()
	outcomes := make([]chan outcome, len(setups))
	free := make(chan struct{}, setupsAtOnce)
	for i, setup := range setups {
		done := make(chan outcome, 1)
		outcomes[i] = done
		go func() {
			free <- struct{}{}
			defer func() { <-free }()
			diagnosis, err := setup.Diagnose(ctx)
			done <- outcome{diagnosis, err}
		}()
	}
	show.setups(len(setups))
	result := setupsResult{setups: len(setups)}
	var failed error
	for _, done := range outcomes {
		// All are waited for, so that none is left behind; one that fails ends the others.
		outcome := <-done
		switch {
		case failed != nil:
		case outcome.err != nil:
			if failed = outcome.err; ctx.Err() != nil {
				failed = context.Cause(ctx)
			}
			cancel()
		default:
			show.setup(outcome.diagnosis)
			if len(outcome.diagnosis.Wrong) > 0 {
				result.broken++
			}
		}
	}
	if failed != nil {
		return failed
	}
	result.took = time.Since(began)
	show.diagnosed(result)
	if result.broken > 0 {
		return errReported
	}
	return nil
}

func (p *textPrinter) setups(n int) {
	p.printf("%s\n\n", p.in(bold, fmt.Sprintf("What doctor and plan say of %d installations on this machine", n)))
}

func (p *textPrinter) setup(diagnosis sandboxaws.Diagnosis) {
	mark := p.in(green, "✓")
	if len(diagnosis.Wrong) > 0 {
		mark = p.in(red, "✗")
	}
	p.printf("%s %s\n", mark, p.in(bold, diagnosis.Setup.Name))
	p.wrapped("    ", "    ", diagnosis.Setup.What)
	for _, finding := range diagnosis.Findings() {
		colour := yellow
		if finding.Level == doctor.Problem {
			colour = red
		}
		p.printf("    %s\n", p.in(colour, string(finding.Level)+" "+finding.Check))
		p.wrapped("      ", "      ", finding.Text)
		p.hint("      ", finding.Hint)
	}
	if len(diagnosis.Findings()) == 0 {
		p.printf("    doctor: no problem, no warning in %d findings\n", len(diagnosis.Report.Findings))
	}
	if plan := diagnosis.Plan; plan.Error != nil {
		p.wrapped("    plan: ", "      ", "in the way: "+plan.Error.Error())
	} else {
		names := make([]string, len(plan.Report.Steps))
		for i, step := range plan.Report.Steps {
			names[i] = step.Kind.Text()
		}
		p.wrapped("    plan: ", "      ", strings.Join(names, ", "))
	}
	for _, wrong := range diagnosis.Wrong {
		p.wrapped("    ! ", "      ", wrong)
	}
	p.printf("\n")
}

func (p *textPrinter) diagnosed(result setupsResult) {
	verdict := p.in(green, "Each finding says what is wrong, and nothing was changed.")
	if result.broken > 0 {
		verdict = p.in(red, fmt.Sprintf("Of %d something else was said than is true.", result.broken))
	}
	p.printf("%d installations in %.1f s. %s\n", result.setups, result.took.Seconds(), verdict)
}

type jsonSetup struct {
	Type     string            `json:"type"` // setup
	Name     string            `json:"name"`
	What     string            `json:"what"`
	OK       bool              `json:"ok"`
	Expected []sandboxaws.Want `json:"expected"`
	Findings []doctor.Finding  `json:"findings"` // that are not ok
	InTheWay *rotate.Error     `json:"in_the_way,omitempty"`
	Wrong    []string          `json:"wrong,omitempty"`
}

type jsonSetupsResult struct {
	Type   string `json:"type"` // result
	OK     bool   `json:"ok"`
	Setups int    `json:"setups"`
	Broken int    `json:"broken"`
	Took   int64  `json:"took_ms"`
}

func (p *jsonPrinter) setups(int) {}

func (p *jsonPrinter) setup(diagnosis sandboxaws.Diagnosis) {
	setup := diagnosis.Setup
	p.line(jsonSetup{
		Type: "setup", Name: setup.Name, What: setup.What, OK: len(diagnosis.Wrong) == 0,
		Expected: append([]sandboxaws.Want{}, setup.Wants...), Findings: append([]doctor.Finding{}, diagnosis.Findings()...),
		InTheWay: diagnosis.Plan.Error, Wrong: diagnosis.Wrong,
	})
}

func (p *jsonPrinter) diagnosed(result setupsResult) {
	p.line(jsonSetupsResult{"result", result.broken == 0, result.setups, result.broken, result.took.Milliseconds()})
}
