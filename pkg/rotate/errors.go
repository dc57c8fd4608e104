package rotate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Kind sorts errors by who can repair them.
type Kind string

// The kinds of an [*Error].
const (
	Configuration  Kind = "configuration"   // a person must change the configuration
	Permission     Kind = "permission"      // a person must grant a right
	NotReady       Kind = "not_ready"       // passes by itself: try later
	UnknownOutcome Kind = "unknown_outcome" // a refresh may or may not have been carried out
	Vendor         Kind = "vendor"          // Maia, or the runner, does not do what it should
	Internal       Kind = "internal"        // a fault of this program or of a cloud service
)

// Text is the kind in words.
func (k Kind) Text() string { return words(k) }

// State says where a run left the runner.
type State string

// The states.
const (
	NotObserved State = "not_observed"
	Unchanged   State = "not_refreshed"
	NotStored   State = "not_stored"
	OnlyStaged  State = "staged"
	NotMoved    State = "stored"
	NotBack     State = "restarted"
	StillPaused State = "still_paused"
	PausedOnly  State = "paused"
	Down        State = "not_connected"
	Back        State = "connected"
	Unresolved  State = "outcome_unknown"
)

// Text is the state in words.
func (s State) Text() string {
	switch s {
	case NotObserved:
		return "nothing changed by this run"
	case Unchanged:
		return "not refreshed, nothing changed"
	case NotStored:
		return "not stored: Maia holds the valid secret, the next run brings it to the runner"
	case OnlyStaged:
		return "staged, not current"
	case NotMoved:
		return "stored, not restarted"
	case NotBack:
		return "restarted, not connected"
	case StillPaused:
		return "connected, still paused by us"
	case PausedOnly:
		return "not refreshed; a pause of ours stands, or may still take effect"
	case Unresolved:
		return "a refresh was sent and its outcome is not known yet: no other is sent meanwhile"
	}
	return words(s)
}

// words is a token as a person writes it.
func words[T ~string](token T) string { return strings.ReplaceAll(string(token), "_", " ") }

// ErrStopped is wrapped by the refusal of a runner that is scaled to zero: there is nothing to bring back.
var ErrStopped = errors.New("the runner is scaled to zero")

// ErrHeld is wrapped by the refusal of a rotation that is due and held by an operator.
var ErrHeld = errors.New("a rotation is due")

// ErrStarting is wrapped by the refusal of a run whose time was up while instances that were ordered were on their way: a later
// run waits on.
var ErrStarting = errors.New("the instances are still starting")

// Error is an error of a run. Its parts stay apart to the edge: [Error.Error] is for people.
type Error struct {
	Kind  Kind   `json:"kind"`
	State State  `json:"state,omitempty"` // empty where the place that failed does not know it; Run fills it
	What  string `json:"what"`            // what happened, in the caller's words, without secrets
	Hint  string `json:"hint,omitempty"`  // what to do next; empty if there is nothing to add
	Err   error  `json:"-"`
}

// Errorf makes an error of a kind. As with fmt.Errorf, %w wraps.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, What: err.Error(), Err: errors.Unwrap(err)}
}

// Recover makes a panic the error of the function that defers it.
func Recover(err *error) {
	if value := recover(); value != nil {
		*err = panicError(value)
	}
}

// panicError has the type only: the value may hold anything, also a secret.
func panicError(value any) *Error { return Errorf(Internal, "panic of type %T", value) }

// WithHint returns the error with advice for the reader.
func (e *Error) WithHint(format string, args ...any) *Error {
	with := *e
	with.Hint = fmt.Sprintf(format, args...)
	return &with
}

// Within returns the error with the place where it happened before its text; an [*Error] keeps its other parts.
func Within(where string, err error) error {
	if !errors.As(err, new(*Error)) {
		return fmt.Errorf("%s: %w", where, err)
	}
	parts := partsOf(err)
	parts.What = where + ": " + parts.What
	return parts
}

// Error implements error.
func (e *Error) Error() string { return e.Kind.Text() + ": " + e.Message() }

// Message is the text of the error without its kind, for a place that shows the kind by itself.
func (e *Error) Message() string {
	text := e.What
	if e.State != "" {
		text += "; state: " + e.State.Text()
	}
	if e.Hint != "" {
		text += "; what to do: " + e.Hint
	}
	return text
}

// LogError is an error as the fields of a log line: kind, error, and of an [*Error] state and hint. Of nil there are none.
func LogError(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	parts := partsOf(err)
	fields := []slog.Attr{slog.Any("kind", parts.Kind), slog.String("error", parts.What)}
	if parts.State != "" {
		fields = append(fields, slog.Any("state", parts.State))
	}
	if parts.Hint != "" {
		fields = append(fields, slog.String("hint", parts.Hint))
	}
	return slog.Attr{Value: slog.GroupValue(fields...)}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of any error that a Runner or the Maia client may return.
func KindOf(err error) Kind {
	var typed *Error
	switch {
	case errors.As(err, &typed):
		return typed.Kind
	case errors.Is(err, maia.ErrOutcomeUnknown):
		return UnknownOutcome
	case errors.Is(err, maia.ErrUnauthorized), errors.Is(err, maia.ErrForbidden):
		return Permission
	case errors.Is(err, maia.ErrNotFound):
		return Configuration
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return NotReady
	case errors.Is(err, maia.ErrRateLimited), errors.Is(err, maia.ErrUnavailable):
		return NotReady
	case errors.Is(err, maia.ErrInvalidReply), errors.Is(err, maia.ErrRejected):
		return Vendor
	}
	return Internal
}

// AsError makes any error an *Error, with this state if it has none of its own.
func AsError(err error, state State) *Error {
	parts := partsOf(err)
	parts.State = cmp.Or(parts.State, state)
	if !errors.As(err, new(*Error)) {
		parts.Hint = hint(err)
	}
	return parts
}

// partsOf makes any error an *Error, with nothing that it has not itself.
func partsOf(err error) *Error {
	parts := &Error{Kind: KindOf(err), What: what(err), Err: err}
	var typed *Error
	if errors.As(err, &typed) {
		parts.State, parts.Hint = typed.State, typed.Hint
	}
	return parts
}

// what is the text of an error without the other parts of an [*Error], or of those that are joined in it.
func what(err error) string {
	switch err := err.(type) {
	case *Error:
		return err.What
	case interface{ Unwrap() []error }:
		var texts []string
		for _, one := range err.Unwrap() {
			texts = append(texts, what(one))
		}
		return strings.Join(texts, "; ")
	}
	return err.Error()
}

// hint is the advice for an error of the Maia client, or of a run whose time was up.
func hint(err error) string {
	for _, advice := range []struct {
		is   error
		hint string
	}{
		{maia.ErrUnauthorized, "check the Maia API credential that the function is configured with"},
		{maia.ErrForbidden, "give the Maia API credential the role Admin"},
		{maia.ErrNotFound, "check the agent ID, and that account and region are the agent's"},
		{maia.ErrInvalidReply, "check that Maia itself answers, not a proxy; if it does, ask Matillion"},
		{maia.ErrRejected, "check that the agent can be managed by this API credential; if it can, ask Matillion"},
		{maia.ErrRateLimited, "nothing: the next run tries again"},
		{maia.ErrUnavailable, "nothing: the next run tries again"},
		{context.DeadlineExceeded, "nothing: the next run goes on; if this repeats, check the function's routes to its cloud and to Maia"},
		{context.Canceled, "nothing: the next run goes on"},
	} {
		if errors.Is(err, advice.is) {
			return advice.hint
		}
	}
	return "try again; if this repeats, check the function's log"
}
