// Package doctor is what a check of an installation comes to, in whatever cloud it is. A package for each cloud
// does the checking; it changes nothing there, and what it reports holds no secret.
//
//	var report doctor.Report
//	report.OK("secret", "AWSCURRENT is there")
//	report.Problem("rotation", "enable it:\naws secretsmanager rotate-secret --secret-id …", "rotation is not enabled")
//	report.Skip("rotation is not enabled", "function", "role")
//	broken := report.Count(doctor.Problem) > 0
package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Level says how good or bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "ok"
	Warning Level = "warning" // works, or may work, and should be checked; also what could not be tested
	Problem Level = "problem" // keeps a rotation, or the healing after one, from working
)

// Finding is what one check found.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"` // the name of the check, which stays the same: for machines
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"` // how to repair it; a line after the first is a command
}

// Skipped are checks that were not made, because of what another one found.
type Skipped struct {
	Checks  []string `json:"checks"`
	Because string   `json:"because"`
}

// Report is all that was found, in the order of the checks. The zero Report is ready for use.
type Report struct {
	Findings   []Finding `json:"findings"`
	NotChecked []Skipped `json:"not_checked,omitempty"`
}

// OK adds that a check found what it wants.
func (r *Report) OK(check, format string, args ...any) { r.add(OK, check, "", format, args) }

// Warn adds a warning. The hint may be empty.
func (r *Report) Warn(check, hint, format string, args ...any) {
	r.add(Warning, check, hint, format, args)
}

// Problem adds a problem. The hint may be empty.
func (r *Report) Problem(check, hint, format string, args ...any) {
	r.add(Problem, check, hint, format, args)
}

func (r *Report) add(level Level, check, hint, format string, args []any) {
	r.Findings = append(r.Findings, Finding{level, check, fmt.Sprintf(format, args...), hint})
}

// Skip adds that checks were not made.
func (r *Report) Skip(because string, checks ...string) {
	r.NotChecked = append(r.NotChecked, Skipped{checks, because})
}

// Count is how many findings have the level.
func (r *Report) Count(level Level) (n int) {
	for _, finding := range r.Findings {
		if finding.Level == level {
			n++
		}
	}
	return n
}

// Found reports whether a finding of the level comes from one of the checks.
func (r *Report) Found(level Level, checks ...string) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == level && slices.Contains(checks, f.Check) })
}

// InWords is an error of a run for people, without its hint, which is shown apart.
func InWords(failed rotate.Error) string {
	failed.Hint = ""
	return failed.Error()
}

// Steps are the names of the steps of a report, but for the end.
func Steps(report rotate.Report) string {
	var names []string
	for _, step := range report.Steps {
		if step.Kind != rotate.Done {
			names = append(names, step.Kind.Text())
		}
	}
	return strings.Join(names, ", ")
}
