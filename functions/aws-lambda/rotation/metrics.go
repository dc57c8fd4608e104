package rotation

import (
	"encoding/json"
	"io"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// metricsNamespace is the CloudWatch namespace of the function's metrics.
const metricsNamespace = "MaiaRotate"

type emfMetric struct {
	Name string
	Unit string
}

type emfDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []emfMetric
}

// writeMetrics writes one line in CloudWatch's embedded metric format: RotationDurationSeconds of the step,
// RotationOutcome (1, by the dimension Outcome), and RotationDarkSeconds where the run ended a dark time.
func writeMetrics(out io.Writer, step string, report rotate.Report) {
	line := map[string]any{
		"Runner":                  report.AgentID,
		"Step":                    step,
		"Outcome":                 report.Outcome,
		"RotationOutcome":         1,
		"RotationDurationSeconds": report.Took.Seconds(),
	}
	directives := []emfDirective{
		{metricsNamespace, [][]string{{"Runner", "Step"}}, []emfMetric{{"RotationDurationSeconds", "Seconds"}}},
		{metricsNamespace, [][]string{{"Runner", "Step", "Outcome"}}, []emfMetric{{"RotationOutcome", "Count"}}},
	}
	if report.Dark > 0 {
		line["RotationDarkSeconds"] = report.Dark.Seconds()
		directives = append(directives, emfDirective{metricsNamespace, [][]string{{"Runner"}}, []emfMetric{{"RotationDarkSeconds", "Seconds"}}})
	}
	line["_aws"] = map[string]any{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": directives}
	text, err := json.Marshal(line)
	if err != nil {
		return // strings and numbers only: cannot be
	}
	_, _ = out.Write(append(text, '\n'))
}
