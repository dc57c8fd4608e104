package gcp_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/alerttest"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
)

// logged is what one call of the function writes about a runner, line by line.
func logged(t *testing.T, c alerttest.Case) []map[string]any {
	c.Log, c.AgentID, c.Target = rotation.NewLog, sandbox.AgentID, release
	lines, _ := alerttest.Call(t, c)
	return lines
}

var (
	severities = map[string]int{"INFO": 200, "WARNING": 400, "ERROR": 500}
	comparison = regexp.MustCompile(`(severity|jsonPayload\.\w+)(>=|>|=)("[^"]*"|[\w.]+)`)
	either     = regexp.MustCompile(`\((jsonPayload\.[^() ]+) OR (jsonPayload\.[^() ]+)\)`)
)

// matches reports whether a line has the severity and payload that a filter asks for. The rest of the filter names the function.
func matches(t *testing.T, filter string, line map[string]any) bool {
	t.Helper()
	for _, pair := range either.FindAllStringSubmatch(filter, -1) {
		if !matches(t, pair[1], line) && !matches(t, pair[2], line) {
			return false
		}
		filter = strings.Replace(filter, pair[0], "", 1)
	}
	terms := comparison.FindAllStringSubmatch(filter, -1)
	if len(terms) == 0 {
		t.Fatalf("%s asks for nothing", filter)
	}
	for _, term := range terms {
		field, operator, want := strings.TrimPrefix(term[1], "jsonPayload."), term[2], term[3]
		value, ok := line[field]
		holds := false
		switch {
		case field == "severity":
			holds = severities[value.(string)] >= severities[want]
		case operator == "=":
			text, err := json.Marshal(value)
			holds = ok && err == nil && string(text) == want
		default:
			number, isNumber := value.(float64)
			bound, err := strconv.ParseFloat(want, 64)
			holds = err == nil && isNumber && number > bound
		}
		if !holds {
			return false
		}
	}
	return true
}

// leftPaused has the line of the runner say, as package fleet does, that it was left paused.
func leftPaused(lines []map[string]any) []map[string]any {
	for _, line := range lines {
		if line["message"] == "runner" {
			line["left_paused"] = true
		}
	}
	return lines
}

// The alerts match what the function really writes: each the line that it is for, and none of a runner that is well.
func TestAlerts(t *testing.T) {
	module := load(t, given())
	filters, labels := map[string]string{}, map[string]map[string]any{}
	for name, instance := range module.Each("google_monitoring_alert_policy.log") {
		condition := instance.Attributes(module.Nested("google_monitoring_alert_policy.log", "conditions", "condition_matched_log"))
		filters[name], labels[name] = condition["filter"].(string), condition["label_extractors"].(map[string]any)
	}
	filters["any"] = module.Attributes(module.Blocks["google_logging_metric.runners"])["filter"].(string)
	metric := module.Attributes(module.Blocks["google_logging_metric.left_paused"])
	filters["left_paused metric"], labels["left_paused metric"] = metric["filter"].(string), metric["label_extractors"].(map[string]any)
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	for name, test := range map[string]struct {
		lines []map[string]any
		want  map[string]bool
	}{
		"well":    {logged(t, alerttest.Case{Days: 1, Every: year}), map[string]bool{"any": true}},
		"rotated": {logged(t, alerttest.Case{Days: 40, Every: day}), map[string]bool{"any": true}},
		"left paused": {leftPaused(logged(t, alerttest.Case{Days: 1, Every: year})), map[string]bool{"any": true,
			"left_paused": true, "left_paused metric": true}},
		"old":                 {logged(t, alerttest.Case{Days: 40, Every: year}), map[string]bool{"any": true, "age": true}},
		"left alone":          {logged(t, alerttest.Case{Days: 1, Every: day, Busy: true}), map[string]bool{"any": true}},
		"left alone, and old": {logged(t, alerttest.Case{Days: 40, Every: day, Busy: true}), map[string]bool{"any": true, "age": true}},
		"never rotated":       {logged(t, alerttest.Case{Never: true, Every: day, Busy: true}), map[string]bool{"any": true, "age": true}},
		"the first rotation":  {logged(t, alerttest.Case{Never: true, Every: day}), map[string]bool{"any": true}},
		"down": {logged(t, alerttest.Case{Days: 40, Every: day, Breaks: true}),
			map[string]bool{"any": true, "down": true, "failure": true}},
	} {
		for alert, filter := range filters {
			found := 0
			for _, line := range test.lines {
				if !matches(t, filter, line) {
					continue
				}
				found++
				for label, from := range labels[alert] {
					field := strings.TrimSuffix(strings.TrimPrefix(from.(string), "EXTRACT(jsonPayload."), ")")
					if value, ok := line[field].(string); !ok || value == "" {
						t.Errorf("%s, %s: the label %s is taken from %s, which the line does not have", name, alert, label, from)
					}
				}
			}
			if (found > 0) != test.want[alert] || found > 1 {
				t.Errorf("%s: the alert %q matches %d lines of\n%v", name, alert, found, test.lines)
			}
		}
	}
	for name, filter := range filters {
		want := `resource.type="cloud_run_revision" AND resource.labels.service_name="maia-rotate" AND resource.labels.location="europe-west1"`
		if !strings.Contains(filter, want) {
			t.Errorf("%s reads other logs: %s", name, filter)
		}
	}
	for _, address := range module.Resources("google_monitoring_alert_policy") {
		if module.Blocks[address].Body.Attributes["notification_channels"] == nil {
			t.Errorf("%s notifies nobody", address)
		}
	}
}

// Without a line for three hours the alert fires, whether the metric is then zero or has no value.
func TestSilence(t *testing.T) {
	module := load(t, given())
	const address = "google_monitoring_alert_policy.silence"
	condition := module.Attributes(module.Nested(address, "conditions", "condition_threshold"))
	if condition["comparison"] != "COMPARISON_LT" || condition["threshold_value"] != "1" ||
		condition["evaluation_missing_data"] != "EVALUATION_MISSING_DATA_ACTIVE" {
		t.Errorf("got %v", condition)
	}
	if !strings.Contains(condition["filter"].(string), `"logging.googleapis.com/user/maia-rotate"`) {
		t.Errorf("got %v", condition["filter"])
	}
	aggregation := module.Attributes(module.Nested(address, "conditions", "condition_threshold", "aggregations"))
	every := terraformtest.Plain(module.Context.Variables["var"].GetAttr("call_every_minutes")).(string)
	if aggregation["alignment_period"] != "10800s" || every != "30" {
		t.Errorf("a call every %s minutes, and one line at least in %v", every, aggregation["alignment_period"])
	}
}
