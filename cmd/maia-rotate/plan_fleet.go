package main

import (
	"io"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// showPlan prints what the next call of a function that serves a fleet would do, and returns what decides the exit code.
func showPlan(stdout io.Writer, asJSON bool, title string, plan doctor.Plan) error {
	if asJSON {
		(&jsonPrinter{out: stdout}).line(struct {
			OK bool `json:"ok"`
			doctor.Plan
		}{!plan.InTheWay(), plan})
	} else {
		show := textPrinter{out: stdout, colour: colours(stdout)}
		show.planOfFleet(title, plan)
	}
	if plan.InTheWay() {
		return errReported
	}
	return nil
}

func (p *textPrinter) planOfFleet(title string, plan doctor.Plan) {
	p.printf("%s\n", p.in(bold, title))
	if plan.Error != nil {
		p.printf("\n")
		p.inTheWay(plan.Error)
	}
	for _, target := range plan.Targets {
		p.printf("\n%s\n", target.Target)
		if report := target.Rotation; report != nil {
			p.item("runner", report.AgentID)
			p.item("due", due(*report, plan.Every))
			p.printf("\n")
			p.steps(*report)
		} else {
			p.printf("\n")
		}
		p.inTheWay(target.Error)
	}
}

// due says when a runner is.
func due(report rotate.Report, every time.Duration) string {
	if report.RotatedAt == nil {
		return "now: it was never rotated by this function, or that is not known"
	}
	at := report.RotatedAt.Add(every)
	if time.Now().Before(at) {
		return at.UTC().Format(time.RFC3339)
	}
	return "now, since " + at.UTC().Format(time.RFC3339)
}
