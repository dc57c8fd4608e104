package rotation

import (
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// MetricsNamespace is the CloudWatch namespace of the function's metrics.
const MetricsNamespace = "MaiaRotate"

// The metrics of the function. Each has the dimension sets [Function] and [Function, Runner] unless it says otherwise.
const (
	MetricOutcome   = "RotationOutcome"         // 1 for every run; [Function, Outcome] and [Function, Runner, Step, Outcome]
	MetricDuration  = "RotationDurationSeconds" // of every run; [Function, Runner, Step]
	MetricDowntime  = "RotationDowntimeSeconds" // from refresh to connected, when a run has ended the downtime
	MetricDownNow   = "DowntimeSeconds"         // for how long the runner has been down by a refresh of ours; 0: it is not
	MetricPaused    = "LeftPaused"              // 1 if the run left the runner paused and it is not known that it should be, else 0
	MetricAge       = "CredentialAgeDays"       // since the last rotation, or, before the first, since the stored value was made; by heal
	MetricConnected = "RunnerConnected"         // 1 or 0, as Maia says; by heal
)

// metrics writes lines in CloudWatch's embedded metric format.
type metrics struct {
	out      io.Writer
	function string
}

func newMetrics(environ []string, out io.Writer) metrics {
	m := metrics{out: out, function: "maia-rotate"}
	for _, variable := range environ {
		if name, ok := strings.CutPrefix(variable, "AWS_LAMBDA_FUNCTION_NAME="); ok {
			m.function = name
		}
	}
	return m
}

type emfMetric struct {
	Name string
	Unit string `json:",omitempty"`
}

type emfDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []emfMetric
}

var byRunner = [][]string{{"Function"}, {"Function", "Runner"}}

// run reports what came of a run.
func (m metrics) run(step string, report rotate.Report) {
	values := map[string]any{
		"Step": step, "Outcome": report.Outcome,
		MetricOutcome: 1, MetricDuration: report.Took.Seconds(),
	}
	directives := []emfDirective{
		{MetricsNamespace, [][]string{{"Function", "Runner", "Step"}}, []emfMetric{{MetricDuration, "Seconds"}}},
		{MetricsNamespace, [][]string{{"Function", "Outcome"}, {"Function", "Runner", "Step", "Outcome"}}, []emfMetric{{MetricOutcome, "Count"}}},
	}
	if report.State != rotate.NotObserved { // a runner that could not be observed is not reported to be back
		downtime := 0.0
		if report.DownSince != nil {
			downtime = time.Since(*report.DownSince).Seconds()
		}
		values[MetricDownNow], values[MetricPaused] = downtime, count(report.LeftPaused)
		directives = append(directives,
			emfDirective{MetricsNamespace, byRunner, []emfMetric{{MetricDownNow, "Seconds"}, {MetricPaused, "Count"}}})
	}
	if report.Downtime > 0 {
		values[MetricDowntime] = report.Downtime.Seconds()
		directives = append(directives, emfDirective{MetricsNamespace, byRunner, []emfMetric{{MetricDowntime, "Seconds"}}})
	}
	m.write(report.AgentID, values, directives)
}

// observed reports what a healing run saw of a runner.
func (m metrics) observed(agentID string, connected bool, age time.Duration) {
	values := map[string]any{MetricAge: age.Hours() / 24, MetricConnected: count(connected)}
	m.write(agentID, values, []emfDirective{{MetricsNamespace, byRunner, []emfMetric{{Name: MetricAge}, {MetricConnected, "Count"}}}})
}

func count(holds bool) int {
	if holds {
		return 1
	}
	return 0
}

func (m metrics) write(agentID string, values map[string]any, directives []emfDirective) {
	values["Function"], values["Runner"] = m.function, agentID
	values["_aws"] = map[string]any{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": directives}
	text, err := json.Marshal(values)
	if err != nil {
		return // strings and numbers only: cannot be
	}
	_, _ = m.out.Write(append(text, '\n'))
}
