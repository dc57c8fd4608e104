package awsjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// maxRequest is the largest request body in bytes; the services' own limits are at or below it.
const maxRequest = 1 << 20

// Config says how a service differs from the others on the wire.
type Config struct {
	SigningName  string // service in the credential scope: "secretsmanager", "ecs"
	TargetPrefix string // X-Amz-Target before the dot
	Region       string // region in the credential scope

	// ErrorMember is "Message" or "message": the services do not agree, and clients read the one of their service only.
	ErrorMember string
	// ServerError is the code of a 5xx, such as "InternalServiceError".
	ServerError string
	// ResourceMembers are the members of a request that name its resource; the first one present is recorded in [Call.Resource].
	ResourceMembers []string
}

// Handler serves one service. Create it with [New]; it is safe for use by several goroutines.
type Handler struct {
	config     Config
	operations map[string]operation

	answersMu       sync.Mutex
	throttled, slow bool // quirks, see [Handler.PlayAnswers]
	calls           int  // that the quirks have seen

	wire.Traffic
}

// operation does one operation on the raw request.
type operation func(raw []byte) (any, error)

// New returns a handler without operations.
func New(config Config) *Handler {
	return &Handler{config: config, operations: map[string]operation{}}
}

// Register adds an operation. In is a struct whose JSON names are the members of the request, spelled exactly; what do returns is
// the answer's JSON, or an [*Error]. Any other error is answered as the service's own 5xx. All operations are registered before
// the first request.
func Register[In, Out any](h *Handler, name string, do func(*In) (Out, error)) {
	h.operations[name] = func(raw []byte) (any, error) {
		in := new(In)
		if err := decode(raw, in); err != nil {
			return nil, err
		}
		return do(in)
	}
}

// Close ends the waits of slow calls; from then on every connection is closed without an answer.
func (h *Handler) Close() { h.End() }

// ServeHTTP serves one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.Ended() {
		panic(http.ErrAbortHandler)
	}
	id := NewID()
	w.Header().Set("X-Amzn-Requestid", id)
	call := Call{Time: time.Now(), Service: h.config.SigningName, RequestID: id}

	raw, name, err := h.receive(w, r)
	call.Operation = name
	call.Resource = resource(raw, h.config.ResourceMembers)
	if err != nil {
		h.answer(w, call, nil, err)
		return
	}
	f := h.Match(name, raw)
	if f.Kind == NoFault {
		varied := h.varied()
		f.Kind, f.Delay = varied.Kind, varied.Delay
	}
	call.Fault = f.Kind
	f.Begin()
	switch f.Kind {
	case DropBefore:
		f.End()
		h.Record(call)
		panic(http.ErrAbortHandler)
	case Slow:
		h.Wait(f.Delay)
	}
	// A 5xx "after" is done and then denied; the other refusals are not done.
	out, err := any(nil), h.refusal(f.Kind, name, call.Resource)
	if err == nil {
		out, err = h.operations[name](raw)
	}
	f.End()
	switch f.Kind {
	case DropAfter:
		call.Status, call.Code = status(err), code(err, h.config)
		h.Record(call)
		panic(http.ErrAbortHandler)
	case Status5xxAfter:
		out, err = nil, h.internal()
	}
	h.answer(w, call, out, err)
}

// receive checks what the protocol asks of every request, in the order of the
// real front ends: the target, then the signature, then the body.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request) (raw []byte, name string, err error) {
	// Read to the end first, so that the connection stays usable.
	raw, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))

	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.URL.Path != "/" || media != "application/x-amz-json-1.1" {
		return nil, "", &Error{Code: "UnknownOperationException", Status: http.StatusNotFound}
	}
	prefix, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if _, ok := h.operations[name]; !ok || prefix != h.config.TargetPrefix {
		return nil, name, &Error{Code: "UnknownOperationException"}
	}
	if err := CheckSignature(r, h.config.SigningName, h.config.Region); err != nil {
		return nil, name, err
	}
	var tooLarge *http.MaxBytesError
	if errors.As(readErr, &tooLarge) {
		return nil, name, &Error{Code: "RequestEntityTooLargeException", Message: "the request is too large",
			Status: http.StatusRequestEntityTooLarge}
	}
	if readErr != nil {
		return nil, name, &Error{Code: "SerializationException", Message: "the request body could not be read"}
	}
	return raw, name, nil
}

// answer records the call and writes the answer, in this order: who has the answer finds the call recorded.
func (h *Handler) answer(w http.ResponseWriter, call Call, out any, err error) {
	call.Status, call.Code = status(err), code(err, h.config)
	h.Record(call)

	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		e := toError(err, h.config)
		w.Header().Set("X-Amzn-Errortype", e.Code)
		out = map[string]string{"__type": e.Code, h.config.ErrorMember: e.Message}
	}
	body, err := json.Marshal(out)
	if err != nil {
		panic(fmt.Sprintf("awsjson: %s answers what has no JSON: %v", call.Operation, err))
	}
	w.WriteHeader(call.Status)
	_, _ = w.Write(body) // the caller may be gone: that is its own business
}
