package aws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
	doctoraws "github.com/maia-rotate/maia-rotate/internal/doctor/aws"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// Diagnosis is what doctor and plan said of a setup, and what of it is not as it must be.
type Diagnosis struct {
	Setup  Setup
	Report doctor.Report
	Plan   doctoraws.Plan
	Wrong  []string // nothing if all of it is right
}

// Findings are those of the report that are not ok.
func (d Diagnosis) Findings() []doctor.Finding {
	return slices.DeleteFunc(slices.Clone(d.Report.Findings), func(f doctor.Finding) bool { return f.Level == doctor.OK })
}

// Diagnose starts the setup, has doctor and plan check it, and ends it. An error means that this could not be done.
func (s Setup) Diagnose(ctx context.Context) (Diagnosis, error) {
	diagnosis := Diagnosis{Setup: s}
	i, err := s.Install(ctx)
	if err != nil {
		return diagnosis, err
	}
	defer i.Close()
	changes := i.Changes()
	checker := doctoraws.New(i.AWS())
	if diagnosis.Report, err = checker.Check(ctx, i.SecretARN); err != nil {
		return diagnosis, fmt.Errorf("sandbox: %s: doctor: %w", s.Name, err)
	}
	if diagnosis.Plan, err = checker.Plan(ctx, i.SecretARN); err != nil {
		return diagnosis, fmt.Errorf("sandbox: %s: plan: %w", s.Name, err)
	}
	diagnosis.judge()
	for _, change := range i.Changes()[len(changes):] {
		diagnosis.Wrong = append(diagnosis.Wrong, "it called "+change)
	}
	printed, err := json.Marshal(diagnosis)
	if err != nil {
		return diagnosis, fmt.Errorf("sandbox: %w", err)
	}
	diagnosis.Wrong = append(diagnosis.Wrong, i.Leaks(bytes.NewBuffer(printed))...)
	return diagnosis, nil
}

// Install starts the setup. It must be closed.
func (s Setup) Install(ctx context.Context) (*Installation, error) {
	build := s.build
	if build == nil {
		build = func(*blueprint) {}
	}
	i, err := install(ctx, build)
	if err != nil {
		return nil, err
	}
	if s.after != nil {
		if err := s.after(ctx, i); err != nil {
			i.Close()
			return nil, fmt.Errorf("sandbox: %s: %w", s.Name, err)
		}
	}
	return i, nil
}

// judge compares what was found with what must be: just that, and the plan's answer.
func (d *Diagnosis) judge() {
	found := d.Findings()
	for _, want := range d.Setup.Wants {
		i := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Level == want.Level && f.Check == want.Check })
		if i < 0 {
			d.Wrong = append(d.Wrong, fmt.Sprintf("doctor did not find the %s %s", want.Level, want.Check))
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	for _, finding := range found {
		d.Wrong = append(d.Wrong, fmt.Sprintf("doctor found the %s %s, which is not there", finding.Level, finding.Check))
	}
	switch blocked := d.Plan.Error != nil; {
	case blocked && d.Setup.Plan == doctor.OK:
		d.Wrong = append(d.Wrong, "plan found something in the way: "+d.Plan.Error.Error())
	case !blocked && d.Setup.Plan != doctor.OK:
		d.Wrong = append(d.Wrong, "plan found nothing in the way")
	}
}

// reads are the operations of AWS that change nothing, by how their names begin.
var reads = []string{"Describe", "Get", "List", "Simulate"}

// Changes are the calls so far, to AWS and to Maia, that could have changed something.
func (i *Installation) Changes() []string {
	var all []string
	for _, call := range i.calls() {
		if !slices.ContainsFunc(reads, func(read string) bool { return strings.HasPrefix(call.Operation, read) }) {
			all = append(all, call.Service+" "+call.Operation)
		}
	}
	for _, call := range i.Maia.Calls() {
		if call.Method != http.MethodGet && call.Name != maiatest.Token {
			all = append(all, "Maia "+string(call.Name))
		}
	}
	return all
}

// Leaks names the secrets that are in what was printed.
func (i *Installation) Leaks(printed ...*bytes.Buffer) []string { return i.leaks(printed) }
