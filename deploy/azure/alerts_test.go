package azure_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
	"github.com/maia-rotate/maia-rotate/internal/alerttest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// call is what Application Insights has of one call of the function.
type call struct {
	lines  []map[string]any
	failed bool
}

// played is a call about a runner.
func played(t *testing.T, c alerttest.Case) call {
	t.Helper()
	c.Log, c.AgentID, c.Target = rotation.NewLog, sandbox.AgentID, app
	lines, failed := alerttest.Call(t, c)
	return call{lines, failed}
}

// leftPaused is a call of which the line about its runner says, as that of a report with LeftPaused does, that the runner is paused.
func leftPaused(c call) call {
	var lines []map[string]any
	for _, line := range c.lines {
		if line = maps.Clone(line); line["msg"] == "runner" {
			line["left_paused"] = true
		}
		lines = append(lines, line)
	}
	return call{lines, c.failed}
}

// misconfigured is a call of a function app without settings, by the host.
func misconfigured(t *testing.T) (c call) {
	t.Helper()
	var out bytes.Buffer
	answer := httptest.NewRecorder()
	rotation.New(nil, &out).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/"+rotation.FunctionName,
		strings.NewReader(`{"Data":{"timer":{"IsPastDue":false}},"Metadata":{}}`)))
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		c.lines = append(c.lines, fields)
	}
	c.failed = answer.Code != http.StatusOK
	return c
}

// logged are the tables after calls, one after the other. The host writes between them.
func logged(t *testing.T, calls ...call) (all tables) {
	t.Helper()
	now := 0.0
	trace := func(message string) {
		now++
		all.traces = append(all.traces, row{"timestamp": now, "message": message})
	}
	for _, c := range calls {
		trace("Executing 'Functions.RotateRunnerSecrets' (Reason='Timer fired at …', Id=…)")
		for _, line := range c.lines {
			text, err := json.Marshal(line)
			if err != nil {
				t.Fatal(err)
			}
			trace(string(text))
		}
		trace(`{"msg":"not ours"}`)
		trace("null")
		now++
		all.requests = append(all.requests, row{"timestamp": now, "name": rotation.FunctionName, "success": !c.failed})
	}
	return all
}

// fires reports whether a rule fires with these tables in its window, and for which runners.
func (a alert) fires(t *testing.T, from tables) (fires bool, of []string) {
	t.Helper()
	rows := kql(t, a.query, from)
	threshold, err := strconv.ParseFloat(a.threshold, 64)
	if err != nil {
		t.Fatal(err)
	}
	value := float64(len(rows))
	if a.aggregation == "Total" {
		value = 0
		for _, r := range rows {
			value += r[a.column].(float64)
		}
	} else if a.aggregation != "Count" {
		t.Fatalf("the test does not know %s", a.aggregation)
	}
	switch a.operator {
	case "GreaterThan":
		fires = value > threshold
	case "LessThan":
		fires = value < threshold
	default:
		t.Fatalf("the test does not know %s", a.operator)
	}
	for _, dimension := range a.dimensions {
		name, _, _ := strings.Cut(dimension, "Include[*]")
		for _, r := range rows {
			text, ok := r[name].(string)
			if !ok {
				t.Fatalf("%v has no %s", r, name)
			}
			of = append(of, text)
		}
	}
	return fires, of
}

// The alerts match what the function really writes: each what it is for, and nothing of a runner that is well.
func TestAlerts(t *testing.T) {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	well, old := played(t, alerttest.Case{Days: 1, Every: year}), played(t, alerttest.Case{Days: 40, Every: year})
	rotated, down := played(t, alerttest.Case{Days: 40, Every: day}), played(t, alerttest.Case{Days: 40, Every: day, Breaks: true})
	busy, oldAndBusy := played(t, alerttest.Case{Days: 1, Every: day, Busy: true}), played(t, alerttest.Case{Days: 40, Every: day, Busy: true})
	never, first := played(t, alerttest.Case{Never: true, Every: day, Busy: true}), played(t, alerttest.Case{Never: true, Every: day})
	paused := leftPaused(well)
	blind, wrong := played(t, alerttest.Case{Days: 40, Every: day, Blind: true}), misconfigured(t)
	for name, test := range map[string]struct {
		calls []call
		want  []string
	}{
		"well":                           {[]call{well}, nil},
		"rotated":                        {[]call{rotated}, nil},
		"old":                            {[]call{old}, []string{"age"}},
		"down":                           {[]call{down}, []string{"down", "failure"}},
		"down, then back":                {[]call{down, well}, []string{"failure"}}, // in the window still
		"down, then not observed":        {[]call{down, blind}, []string{"down", "failure"}},
		"old, then rotated":              {[]call{old, rotated}, nil},
		"left paused":                    {[]call{paused}, []string{"paused"}},
		"left paused, then not observed": {[]call{paused, blind}, []string{"failure", "paused"}},
		"left paused, then resumed":      {[]call{paused, well}, nil},
		"left alone":                     {[]call{busy}, nil},
		"left alone, and old":            {[]call{oldAndBusy}, []string{"age"}},
		"never rotated":                  {[]call{never}, []string{"age"}},
		"the first rotation":             {[]call{never, first}, nil},
		"not observed":                   {[]call{blind}, []string{"failure"}},
		"misconfigured":                  {[]call{wrong}, []string{"failure", "silence"}},
		"stopped":                        {nil, []string{"silence"}},
	} {
		from := logged(t, test.calls...)
		for by, d := range both(t, plainVariant) {
			if names := slices.Sorted(maps.Keys(d.alerts)); !slices.Equal(names,
				[]string{"maia-rotate-age", "maia-rotate-down", "maia-rotate-failure", "maia-rotate-paused", "maia-rotate-silence"}) {
				t.Fatalf("%s: %v", by, names)
			}
			var fired []string
			for rule, alert := range d.alerts {
				fires, of := alert.fires(t, from)
				if fires {
					fired = append(fired, strings.TrimPrefix(rule, "maia-rotate-"))
				}
				if fires && len(alert.dimensions) > 0 && !slices.Equal(of, []string{sandbox.AgentID}) {
					t.Errorf("%s, %s: %s reports %v", name, by, rule, of)
				}
			}
			slices.Sort(fired)
			if !slices.Equal(fired, test.want) {
				t.Errorf("%s, %s: fired are %v, expected %v, after\n%v", name, by, fired, test.want, from)
			}
		}
	}

	// Whoever reads of a failure finds a line that says what it is, and no such line without a failure.
	for name, c := range map[string]call{"well": well, "rotated": rotated, "old": old, "never": never, "down": down, "blind": blind,
		"misconfigured": wrong} {
		logged := slices.ContainsFunc(c.lines, func(line map[string]any) bool { return line["level"] == "ERROR" && line["error"] != "" })
		if logged != c.failed {
			t.Errorf("%s: failed %t, and reported it %t:\n%v", name, c.failed, logged, c.lines)
		}
	}
}

var (
	frequencies = []string{"PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT45M", "PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D"}
	windows     = append(slices.Clone(frequencies[1:]), "P2D") // of rules that are not evaluated every minute
	iso         = regexp.MustCompile(`^PT(\d+)([MH])$`)
)

func minutes(t *testing.T, text string) int {
	t.Helper()
	found := iso.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("%q is no time", text)
	}
	n, _ := strconv.Atoi(found[1])
	if found[2] == "H" {
		n *= 60
	}
	return n
}

// What Azure allows of a rule is in its provider's documentation: these times, and no union and no search in a query.
func TestRulesAreAllowed(t *testing.T) {
	for name, variant := range variants {
		for by, d := range both(t, variant) {
			for rule, a := range d.alerts {
				where := fmt.Sprintf("%s, %s, %s", name, by, rule)
				if !slices.Contains(frequencies, a.every) || a.every == "PT1M" || !slices.Contains(windows, a.window) {
					t.Errorf("%s: every %s over %s is not allowed", where, a.every, a.window)
				}
				if minutes(t, a.every) > minutes(t, a.window) {
					t.Errorf("%s: every %s over %s: something is not read", where, a.every, a.window)
				}
				// The last line of each runner is in the window, even if a call takes as long as it may.
				if interval := 60; a.query != "requests\n| where success == false" && minutes(t, a.window) < 2*interval {
					t.Errorf("%s: over %s", where, a.window)
				}
				if regexp.MustCompile(`\b(union|search|limit|take)\b`).MatchString(a.query) {
					t.Errorf("%s: a rule must not have\n%s", where, a.query)
				}
				if a.severity < "0" || a.severity > "4" || len(a.severity) != 1 {
					t.Errorf("%s: severity %s", where, a.severity)
				}
				if len(a.title) > 200 || a.text == "" {
					t.Errorf("%s: %q, %q", where, a.title, a.text)
				}
			}
		}
	}
}

// Whoever is to be notified is notified of every alert.
func TestWhoIsNotified(t *testing.T) {
	for name, want := range map[string]struct{ groups, emails []string }{
		"an app": {nil, nil},
		"all":    {[]string{actionGroup, group + "/providers/Microsoft.Insights/actionGroups/maia-rotate"}, []string{"operations@example.com"}},
	} {
		for by, d := range both(t, variants[name]) {
			if !slices.Equal(d.emails, want.emails) {
				t.Errorf("%s, %s: e-mails to %v", name, by, d.emails)
			}
			for rule, a := range d.alerts {
				if !slices.Equal(a.notifies, want.groups) {
					t.Errorf("%s, %s: %s notifies %v, expected %v", name, by, rule, a.notifies, want.groups)
				}
			}
		}
	}
}
