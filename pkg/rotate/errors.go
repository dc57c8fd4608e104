package rotate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Kind sorts errors by who can mend them.
type Kind string

// The kinds of an [*Error].
const (
	Configuration  Kind = "configuration"   // a person must change the configuration
	Permission     Kind = "permission"      // a person must grant a right
	NotReady       Kind = "not ready"       // passes by itself: try later
	UnknownOutcome Kind = "unknown outcome" // a refresh may or may not have been carried out
	Vendor         Kind = "vendor"          // Maia, or the runner, does not do what it should
	Internal       Kind = "internal"        // a fault of this program or of a cloud service
)

// State says where a run left the runner.
type State string

// The states, in the words of the reports.
const (
	NotObserved State = "nothing changed by this run"
	Unchanged   State = "not refreshed, nothing changed"
	NotStored   State = "not stored: Maia holds the valid secret, the next run brings it to the runner"
	OnlyStaged  State = "staged, not current"
	NotMoved    State = "stored, not restarted"
	NotBack     State = "restarted, not connected"
	StillPaused State = "connected, still paused by us"
	PausedOnly  State = "not refreshed; a pause of ours stands, or may still take effect"
	Down        State = "not connected"
	Back        State = "connected"
	Unresolved  State = "a refresh was sent and its outcome is not known yet: no other is sent meanwhile"
)

// ErrStopped is wrapped by the refusal of a runner that is scaled to zero: there is nothing to bring back.
var ErrStopped = errors.New("the runner is scaled to zero")

// ErrStarting is wrapped by the refusal of a run whose time was up while instances that were ordered were on their way: a later
// run waits on.
var ErrStarting = errors.New("the instances are still starting")

// Error is an error of a run.
type Error struct {
	Kind  Kind
	State State  // empty where the place that failed cannot tell; Run fills it
	What  string // what happened, in the caller's words, without secrets
	Hint  string // what to do next; empty if there is nothing to add
	Err   error
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

// Error implements error.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(string(e.Kind) + ": " + e.What)
	if e.State != "" {
		text.WriteString("; state: " + string(e.State))
	}
	if e.Hint != "" {
		text.WriteString("; what to do: " + e.Hint)
	}
	return text.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf tells the kind of any error that a Runner or the Maia client may return.
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
	var typed *Error
	if !errors.As(err, &typed) {
		return &Error{Kind: KindOf(err), State: state, What: err.Error(), Hint: hint(err), Err: err}
	}
	with := *typed
	prefix, _ := strings.CutSuffix(err.Error(), typed.Error())
	with.What, with.Err = prefix+typed.What, err
	if with.State == "" {
		with.State = state
	}
	return &with
}

// todo is the advice for an error of the Maia client, or of a run whose time was up.
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
	return "try again; if this repeats, look at the function's log"
}
