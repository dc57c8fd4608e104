package awsjson

import (
	"net/http"

	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// What can go wrong is the same for all emulators.
type (
	Kind  = wire.Kind
	Fault = wire.Fault
)

// The kinds of faults of the services of AWS, see package wire.
const (
	NoFault        = wire.NoFault
	DropBefore     = wire.DropBefore
	DropAfter      = wire.DropAfter
	Status5xx      = wire.Status5xx
	Status5xxAfter = wire.Status5xxAfter
	Throttle       = wire.Throttle     // ThrottlingException
	AccessDenied   = wire.AccessDenied // AccessDeniedException
	Slow           = wire.Slow
)

// refusal is the error of a kind that refuses the operation, or nil.
func (h *Handler) refusal(k Kind, operation, resource string) error {
	switch k {
	case Status5xx:
		return h.internal()
	case Throttle:
		return Errorf("ThrottlingException", "Rate exceeded")
	case AccessDenied:
		return Errorf("AccessDeniedException", "%s",
			Unauthorized("123456789012", "function", h.config.SigningName+":"+operation, resource))
	default:
		return nil
	}
}

func (h *Handler) internal() *Error {
	return &Error{Code: h.config.ServerError, Message: "An error occurred on the server side.", Status: http.StatusInternalServerError}
}
