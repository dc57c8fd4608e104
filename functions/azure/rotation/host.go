package rotation

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function"
	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	longestBody = 1 << 20  // of an invocation, bytes; a timer's has some hundred
	longestRead = 64 << 20 // of one that is refused, so that its sender gets the answer
)

// ListenAndServe serves the host on 127.0.0.1 at a port until the context has ended and the invocation at work is answered. It logs
// what ended it.
func (h *Handler) ListenAndServe(ctx context.Context, port string) {
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		_ = refuse(ctx, h.log, settings.Errorf("FUNCTIONS_CUSTOMHANDLER_PORT is %q, expected a port", port).
			WithHint("nothing in Azure: the host sets it; elsewhere set it"))
		return
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		_ = refuse(ctx, h.log, err)
		return
	}
	h.Serve(ctx, listener)
}

// Serve is ListenAndServe on a listener, which it closes.
func (h *Handler) Serve(ctx context.Context, listener net.Listener) {
	// The host never cancels an invocation. A connection that ends means that the host is gone, and the invocation goes on.
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		h.ServeHTTP(writer, request.WithContext(ctx))
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		_ = refuse(ctx, h.log, err)
		return
	case <-ctx.Done():
	}
	h.log.WarnContext(ctx, "the function is ending")
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), FunctionTimeout)
	defer cancel()
	_ = server.Shutdown(last) // waits for the run, which ends as soon as it safely can
}

// answer is what the host expects: without a body it would wait for ever.
type answer struct {
	Outputs     struct{}
	Logs        []string
	ReturnValue *string
}

// ServeHTTP implements http.Handler: the protocol of custom handlers. Failures are logged, because the host throws away their bodies.
func (h *Handler) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	status, lines := h.serve(request)
	writer.Header().Set("Content-Type", "application/json")
	writer.WriteHeader(status)
	_ = json.NewEncoder(writer).Encode(answer{Logs: append([]string{}, lines...)}) // the host may have gone
}

func (h *Handler) serve(request *http.Request) (status int, lines []string) {
	ctx, log := request.Context(), of(h.log, request)
	switch path := request.URL.Path; {
	case path == "/":
		return http.StatusOK, nil // ready
	case path != "/"+FunctionName:
		err := settings.Errorf("there is no function %q, expected %s", function.Abbreviate(path[1:]), FunctionName)
		return http.StatusNotFound, []string{refuse(ctx, log, err).Error()}
	case request.Method != http.MethodPost:
		err := settings.Errorf("%s was called by %s, expected POST", FunctionName, request.Method)
		return http.StatusMethodNotAllowed, []string{refuse(ctx, log, err).Error()}
	}
	body, err := readBody(request.Body)
	if err != nil {
		return http.StatusRequestEntityTooLarge, []string{refuse(ctx, log, err).Error()}
	}
	invoked, err := parseInvocation(body)
	if err != nil {
		return http.StatusBadRequest, []string{refuse(ctx, log, err).Error()}
	}
	if invoked.retries > 0 {
		log = log.With("retry", invoked.retry, "retries", invoked.retries)
	}
	lines, err = h.invoke(ctx, log, invoked.timer)
	if err != nil {
		return http.StatusInternalServerError, []string{err.Error()}
	}
	return http.StatusOK, lines
}

// readBody refuses one that is too long.
func readBody(from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, longestBody+1))
	if err != nil {
		return nil, rotate.Errorf(rotate.NotReady, "the invocation could not be read")
	}
	if len(body) > longestBody {
		_, _ = io.CopyN(io.Discard, from, longestRead)
		return nil, settings.Errorf("the invocation has more than %d bytes, expected that of a timer", longestBody)
	}
	return body, nil
}
