package doctor_test

import (
	"encoding/json"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/doctor"
)

func TestReport(t *testing.T) {
	var report doctor.Report
	report.OK("one", "%d is fine", 1)
	report.Warn("two", "", "check it")
	report.Problem("three", "correct it:\ncommand", "%s broken", "100%")
	report.Skip("three is broken", "four", "five")
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"findings":[{"level":"ok","check":"one","text":"1 is fine"},{"level":"warning","check":"two","text":"check it"},` +
		`{"level":"problem","check":"three","text":"100% broken","hint":"correct it:\ncommand"}],` +
		`"not_checked":[{"checks":["four","five"],"because":"three is broken"}]}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	for level, n := range map[doctor.Level]int{doctor.OK: 1, doctor.Warning: 1, doctor.Problem: 1} {
		if report.Count(level) != n {
			t.Errorf("%d findings of level %s, want %d", report.Count(level), level, n)
		}
	}
	if !report.Found(doctor.Problem, "two", "three") || report.Found(doctor.Warning, "three") {
		t.Error("Found mistakes a level or a check")
	}
}
