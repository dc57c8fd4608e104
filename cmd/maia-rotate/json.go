package main

import (
	"encoding/json"
	"io"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// jsonPrinter shows a run to a machine, one object a line.
type jsonPrinter struct {
	out io.Writer
}

type jsonEvent struct {
	Type    string         `json:"type"` // event
	Elapsed int64          `json:"elapsed_ms"`
	Source  sandbox.Source `json:"source"`
	Event   string         `json:"event"`
	Text    string         `json:"text"`
	Failed  bool           `json:"failed,omitempty"`
}

type jsonProof struct {
	Type   string `json:"type"` // proof
	Text   string `json:"text"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

type jsonResult struct {
	Type      string  `json:"type"` // result
	OK        bool    `json:"ok"`
	Fault     string  `json:"fault,omitempty"`
	Rotations *int    `json:"rotations,omitempty"`
	Calls     *int    `json:"calls,omitempty"` // of the function by its schedule
	Refreshes int     `json:"refreshes"`
	Due       int     `json:"refreshes_due"`
	Took      int64   `json:"took_ms"`
	Downtimes []int64 `json:"downtime_ms"` // each time that the runner was cut off
	Proofs    int     `json:"proofs"`
	Broken    int     `json:"proofs_broken"`
}

type jsonFault struct {
	Type      string `json:"type"` // fault
	Name      string `json:"name"`
	What      string `json:"what"`
	Refreshes int    `json:"refreshes_due"`
}

func (p *jsonPrinter) line(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		return // texts and numbers only: cannot be
	}
	_, _ = p.out.Write(append(text, '\n'))
}

func (p *jsonPrinter) building(cloudSandbox, faultInfo) {}

func (p *jsonPrinter) item(string, string) {}

func (p *jsonPrinter) begin() {}

func (p *jsonPrinter) event(event sandbox.Event) {
	p.line(jsonEvent{"event", event.Elapsed.Milliseconds(), event.Source, event.Name, event.Text, event.Failed})
}

func (p *jsonPrinter) result(result result) {
	for _, proof := range result.proofs {
		p.line(jsonProof{"proof", proof.Text, proof.OK, proof.Detail})
	}
	line := jsonResult{
		Type: "result", OK: result.broken() == 0, Fault: result.fault,
		Refreshes: result.refreshes, Due: result.due, Took: result.took.Milliseconds(), Downtimes: milliseconds(result.downtimes),
		Proofs: len(result.proofs), Broken: result.broken(),
	}
	if result.runsWord == "rotation" {
		line.Rotations = &result.runs
	} else {
		line.Calls = &result.runs
	}
	p.line(line)
}

func (p *jsonPrinter) faults(faults []faultInfo) {
	for _, fault := range faults {
		p.line(jsonFault{"fault", fault.name, fault.what, fault.refreshes})
	}
}

func milliseconds(times []time.Duration) []int64 {
	all := make([]int64, len(times))
	for i, time := range times {
		all[i] = time.Milliseconds()
	}
	return all
}
