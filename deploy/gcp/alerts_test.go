package gcp_test

import (
	"fmt"
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

// logged is what one call of the function writes about a runner, line by line. It was rotated so many days ago.
func logged(t *testing.T, days int, every time.Duration, breaks bool) []map[string]any {
	lines, _ := alerttest.Call(t, alerttest.Case{Log: rotation.NewLog, AgentID: sandbox.AgentID, Target: release, Days: days, Every: every, Breaks: breaks})
	return lines
}

var (
	severities = map[string]int{"INFO": 200, "WARNING": 400, "ERROR": 500}
	comparison = regexp.MustCompile(`(severity|jsonPayload\.\w+)(>=|>|=)("[^"]*"|[\w.]+)`)
)

// matches says that a line has what a filter asks of severity and payload. The rest of the filter names the function.
func matches(t *testing.T, filter string, line map[string]any) bool {
	t.Helper()
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
			holds = ok && fmt.Sprintf("%q", value) == want
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

// The alerts look at what the function really writes: each at the line that it is for, and at none of a runner that is well.
func TestAlerts(t *testing.T) {
	module := load(t, given())
	filters, labels := map[string]string{}, map[string]map[string]any{}
	for name, instance := range module.Each("google_monitoring_alert_policy.log") {
		condition := instance.Attributes(module.Nested("google_monitoring_alert_policy.log", "conditions", "condition_matched_log"))
		filters[name], labels[name] = condition["filter"].(string), condition["label_extractors"].(map[string]any)
	}
	filters["any"] = module.Attributes(module.Blocks["google_logging_metric.runners"])["filter"].(string)
	const year = 365 * 24 * time.Hour
	for name, test := range map[string]struct {
		lines []map[string]any
		want  map[string]bool
	}{
		"well":    {logged(t, 1, year, false), map[string]bool{"any": true}},
		"rotated": {logged(t, 40, 24*time.Hour, false), map[string]bool{"any": true}},
		"old":     {logged(t, 40, year, false), map[string]bool{"any": true, "age": true}},
		"dark":    {logged(t, 40, 24*time.Hour, true), map[string]bool{"any": true, "age": true, "dark": true, "failure": true}},
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
				t.Errorf("%s: the alert %q is told %d times of\n%v", name, alert, found, test.lines)
			}
		}
	}
	for name, filter := range filters {
		if want := `resource.type="cloud_run_revision" AND resource.labels.service_name="maia-rotate" AND resource.labels.location="europe-west1"`; !strings.Contains(filter, want) {
			t.Errorf("%s looks at other logs: %s", name, filter)
		}
	}
	for _, address := range module.Resources("google_monitoring_alert_policy") {
		if module.Blocks[address].Body.Attributes["notification_channels"] == nil {
			t.Errorf("%s tells nobody", address)
		}
	}
}

// Without a line for three hours somebody is told, whether the metric is then zero or has no value.
func TestSilence(t *testing.T) {
	module := load(t, given())
	const address = "google_monitoring_alert_policy.silence"
	condition := module.Attributes(module.Nested(address, "conditions", "condition_threshold"))
	if condition["comparison"] != "COMPARISON_LT" || condition["threshold_value"] != "1" || condition["evaluation_missing_data"] != "EVALUATION_MISSING_DATA_ACTIVE" {
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
