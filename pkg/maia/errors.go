package maia

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Kind says what a caller can do about an Error. Each kind is an error itself, for errors.Is.
type Kind string

// Error returns the kind in words.
func (k Kind) Error() string { return string(k) }

// The kinds. An Error has at most one; a call that the caller itself cancelled has none, unless Maia had answered a try before.
const (
	// ErrOutcomeUnknown: a refresh may have been carried out, now or later. It must not be repeated; read the credentials instead.
	ErrOutcomeUnknown Kind = "outcome unknown: the refresh may have been carried out; do not repeat it, read the credentials"
	// ErrUnauthorized: 401, or the token endpoint refused the credential.
	ErrUnauthorized Kind = "MAIA API credential not accepted"
	// ErrForbidden: 403.
	ErrForbidden Kind = "MAIA API credential not permitted: it needs the role Admin (or Super Admin)"
	// ErrNotFound: 404 on an agent.
	ErrNotFound Kind = "agent not found in this account and region"
	// ErrRateLimited: 429. The limit is shared by everything that uses the account.
	ErrRateLimited Kind = "rate limited"
	// ErrRejected: any other 4xx.
	ErrRejected Kind = "request rejected"
	// ErrInvalidReply: an answer came and cannot be used.
	ErrInvalidReply Kind = "invalid reply"
	// ErrUnavailable: 5xx, no connection, no answer in time.
	ErrUnavailable Kind = "Maia is unavailable"
)

// Error is what every call to Maia fails with. It contains no secret, no token and no body of a credentials or token call.
type Error struct {
	Op         string        // what was being done, for example "get agent"
	AgentID    string        // "" for calls that are about no single agent
	Kind       Kind          // the sentinel that errors.Is finds; "" if the caller cancelled
	StatusCode int           // of the answer; 0 if there was none
	Title      string        // of the problem document (RFC 7807), cleaned and cut; the error code of a token refused
	Detail     string        // likewise
	Reason     string        // what this package has to add
	RetryAfter time.Duration // how long Maia asked to wait; 0 if it did not

	cause     error // a network or context error that is safe to print
	stopped   error // the caller's context error, if that ended a wait before one more try
	retry     bool  // one more try may help and does no harm to an idempotent call
	ambiguous bool  // the request may have been carried out all the same
	noTime    bool  // there was no more try for want of the caller's time
}

// Error says what was being done to which agent, what went wrong and how Maia put it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("maia: " + e.Op)
	if e.AgentID != "" {
		b.WriteString(" " + e.AgentID)
	}
	if e.Kind != "" {
		b.WriteString(": " + string(e.Kind))
	}
	if e.StatusCode != 0 {
		fmt.Fprintf(&b, ": status %d", e.StatusCode)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, ": retry after %v", e.RetryAfter.Round(time.Second))
	}
	for _, part := range []string{e.Title, e.Detail, e.Reason} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	for _, err := range []error{e.cause, e.stopped} {
		if err != nil {
			b.WriteString(": " + err.Error())
		}
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As the kind and, if there are any, the network and context errors behind it.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Kind != "" {
		errs = append(errs, e.Kind)
	}
	for _, err := range []error{e.cause, e.stopped} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (e *Error) addReason(reason string) {
	if e.Reason != "" {
		reason = e.Reason + "; " + reason
	}
	e.Reason = reason
}

// after returns e, a try without an answer, as what a call came to whose try before was answered: what Maia said says more than that it
// said nothing the next time. Only a try that may have been carried out stays what it is, as that counts more.
func (e *Error) after(answered *Error) *Error {
	if e.ambiguous {
		e.addReason(fmt.Sprintf("the try before was answered with status %d", answered.StatusCode))
		return e
	}
	said := *answered
	said.RetryAfter, said.Reason = 0, "" // it was waited for
	said.addReason("tried again: " + e.Reason)
	said.cause, said.retry, said.ambiguous = e.cause, e.retry, e.ambiguous
	return &said
}

// statusError turns an answer that is not a 2xx into an Error, in which the secrets are not, whatever the answer repeats.
func statusError(status int, header http.Header, secrets ...Secret) *Error {
	e := &Error{StatusCode: status, RetryAfter: retryAfter(header)}
	switch {
	case status >= 300 && status < 400:
		e.Kind, e.ambiguous = ErrInvalidReply, true
		e.Reason = redirectReason(header, secrets...)
	case status == http.StatusUnauthorized:
		e.Kind = ErrUnauthorized
	case status == http.StatusForbidden:
		e.Kind = ErrForbidden
	case status == http.StatusNotFound:
		e.Kind = ErrNotFound
	case status == http.StatusTooManyRequests:
		e.Kind, e.retry = ErrRateLimited, true
	case status == http.StatusRequestTimeout:
		// A proxy may say so after it has passed the request on.
		e.Kind, e.ambiguous = ErrUnavailable, true
	case status >= 400 && status < 500:
		e.Kind = ErrRejected
	case status >= 500:
		e.Kind, e.ambiguous = ErrUnavailable, true
		e.retry = status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
	default:
		e.Kind, e.ambiguous = ErrInvalidReply, true
	}
	return e
}

// connectionError turns a request without an answer into an Error. ctx is the caller's context, not that of the attempt.
func connectionError(ctx context.Context, err error) *Error {
	switch ctx.Err() {
	case nil:
		return &Error{Kind: ErrUnavailable, Reason: "no complete answer", cause: safeCause(err), retry: true, ambiguous: true}
	case context.DeadlineExceeded:
		return &Error{Kind: ErrUnavailable, Reason: "no answer in time", cause: context.DeadlineExceeded, ambiguous: true}
	default:
		return &Error{Reason: "cancelled", cause: ctx.Err(), ambiguous: true}
	}
}

// safeCause keeps of err what is known not to quote what a server sent. net/http's own errors do quote it (a malformed status line
// or header, word for word), and url.Error repeats the URL.
func safeCause(err error) error {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &record):
		return record
	case errors.As(err, &alert):
		return alert
	case errors.As(err, &errno):
		return errno
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	}
	return errConnection
}

var (
	errTimeout    = errors.New("timed out")
	errConnection = errors.New("the connection failed")
)
