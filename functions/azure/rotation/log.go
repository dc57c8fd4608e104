package rotation

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// NewLog writes lines of JSON, which the host puts into Application Insights as the messages of traces. The host takes the
// level of a line from where it was written, not from what it says: so it is standard output, where all are Information.
func NewLog(out io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(out, nil)) }

// of has each line of an invocation name it and its trace, as Application Insights names them.
func of(log *slog.Logger, request *http.Request) *slog.Logger {
	if id := request.Header.Get("X-Azure-Functions-InvocationId"); id != "" {
		log = log.With("invocation", abbreviate(id))
	}
	if parts := strings.Split(request.Header.Get("traceparent"), "-"); len(parts) == 4 {
		log = log.With("trace", abbreviate(parts[1]))
	}
	return log
}

// abbreviate bounds what a caller says.
func abbreviate(text string) string {
	const most = 64
	return text[:min(len(text), most)]
}
