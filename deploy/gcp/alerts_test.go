package gcp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/internal/terraformtest"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
	"github.com/maia-rotate/maia-rotate/pkg/rotate/fleet"
)

// runner is a home in memory, whose restart brings it back or does not.
type runner struct {
	server *maiatest.Server
	breaks bool
	home   rotate.Home
	live   *maiatest.Instance
}

func (r *runner) AgentID() string                              { return sandbox.AgentID }
func (r *runner) Busy(context.Context) (string, bool, error)   { return "", false, nil }
func (r *runner) Observe(context.Context) (rotate.Home, error) { return r.home, nil }
func (r *runner) Check(context.Context) error                  { return nil }

func (r *runner) SaveNote(_ context.Context, note rotate.Note) error {
	r.home.Note = note
	return nil
}

func (r *runner) Store(_ context.Context, credentials maia.Credentials) error {
	r.home.Store, r.home.Instances.Read = credentials, rotate.ReadOlder
	return nil
}

func (r *runner) Restart(context.Context) error {
	r.home.Instances = rotate.Instances{State: rotate.Rolling, Read: rotate.ReadCurrent}
	if !r.breaks {
		r.connect()
	}
	return nil
}

func (r *runner) connect() {
	if r.live != nil {
		r.live.Close()
	}
	r.home.Instances = rotate.Instances{State: rotate.Steady, Read: rotate.ReadCurrent}
	r.live, _ = r.server.Connect(sandbox.AgentID, r.home.Store.ClientID, r.home.Store.ClientSecret.Reveal())
}

// logged is what one call of the function writes about a runner, line by line. It was rotated so many days ago.
func logged(t *testing.T, days int, every time.Duration, breaks bool) (lines []map[string]any) {
	synctest.Test(t, func(t *testing.T) {
		server := maiatest.New()
		defer server.Close()
		r := &runner{server: server, breaks: breaks}
		server.AddAgent(maiatest.AgentSpec{ID: sandbox.AgentID, Name: "runner", ClientID: "id"})
		r.home.Store = maia.Credentials{ClientID: "id", ClientSecret: maia.NewSecret(server.LiveSecret(sandbox.AgentID))}
		r.connect()
		fingerprint := r.home.Store.ClientSecret.Fingerprint()
		r.home.Note = rotate.Note{Applied: fingerprint, Rotated: &rotate.Rotation{At: time.Now().AddDate(0, 0, -days), New: fingerprint}}

		policy := rotate.DefaultPolicy()
		policy.Drain, policy.ConnectTimeout, policy.Every = rotate.DrainNone, 20*time.Minute, every
		var out lockedBuffer
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		client := server.Client(t)
		fleet.Fleet{Policy: policy, Log: rotation.NewLog(&out)}.Run(ctx, []fleet.Target{{Name: release, Open: func(context.Context) (fleet.Runner, *rotate.Rotator, error) {
			return r, &rotate.Rotator{Maia: client, Policy: policy}, nil
		}}})
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			lines = append(lines, fields)
		}
		if r.live != nil {
			r.live.Close()
		}
	})
	return lines
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(text)
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
		condition := attributes(instance, nested(t, module, "google_monitoring_alert_policy.log", "conditions", "condition_matched_log"))
		filters[name], labels[name] = condition["filter"].(string), condition["label_extractors"].(map[string]any)
	}
	filters["any"] = attributes(module, module.Blocks["google_logging_metric.runners"])["filter"].(string)
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
	condition := attributes(module, nested(t, module, address, "conditions", "condition_threshold"))
	if condition["comparison"] != "COMPARISON_LT" || condition["threshold_value"] != "1" || condition["evaluation_missing_data"] != "EVALUATION_MISSING_DATA_ACTIVE" {
		t.Errorf("got %v", condition)
	}
	if !strings.Contains(condition["filter"].(string), `"logging.googleapis.com/user/maia-rotate"`) {
		t.Errorf("got %v", condition["filter"])
	}
	aggregation := attributes(module, nested(t, module, address, "conditions", "condition_threshold", "aggregations"))
	every := terraformtest.Plain(module.Context.Variables["var"].GetAttr("call_every_minutes")).(string)
	if aggregation["alignment_period"] != "10800s" || every != "30" {
		t.Errorf("a call every %s minutes, and one line at least in %v", every, aggregation["alignment_period"])
	}
}
