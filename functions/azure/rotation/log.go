package rotation

import (
	"io"
	"log/slog"
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/function"
)

// NewLog writes lines of JSON, which the host puts into Application Insights as the messages of traces. The host derives the
// level of a line from the stream, not from its text: all lines go to standard output, where each is Information.
func NewLog(out io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(out, nil)) }

// of adds the invocation and its trace to each line, by the names that Application Insights has for them.
func of(log *slog.Logger, request *http.Request) *slog.Logger {
	if id := request.Header.Get("X-Azure-Functions-InvocationId"); id != "" {
		log = log.With("invocation", function.Abbreviate(id))
	}
	if id := function.TraceID(request.Header.Get("traceparent")); id != "" {
		log = log.With("trace", function.Abbreviate(id))
	}
	return log
}
