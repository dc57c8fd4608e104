package rotation

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"github.com/maia-rotate/maia-rotate/internal/function"
)

// NewLog writes lines as Cloud Logging reads them from the output of a function.
func NewLog(out io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.LevelKey:
			severity := a.Value.String()
			if severity == slog.LevelWarn.String() {
				severity = "WARNING"
			}
			return slog.String("severity", severity)
		case slog.MessageKey:
			a.Key = "message"
		}
		return a
	}}))
}

// traceID is the form of a trace's ID, in either header.
var traceID = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)

// withTrace adds the trace of a call to each line, so that Cloud Logging shows them together.
func withTrace(log *slog.Logger, request *http.Request, project string) *slog.Logger {
	trace, _, _ := strings.Cut(request.Header.Get("X-Cloud-Trace-Context"), "/")
	if trace == "" {
		trace = function.TraceID(request.Header.Get("traceparent"))
	}
	if !traceID.MatchString(trace) || project == "" {
		return log
	}
	return log.With("logging.googleapis.com/trace", "projects/"+project+"/traces/"+trace)
}

// logCall logs which job of Cloud Scheduler calls.
func logCall(ctx context.Context, log *slog.Logger, request *http.Request) {
	log.InfoContext(ctx, "called", "job", function.Abbreviate(request.Header.Get("X-CloudScheduler-JobName")), "scheduled",
		function.Abbreviate(request.Header.Get("X-CloudScheduler-ScheduleTime")))
}
