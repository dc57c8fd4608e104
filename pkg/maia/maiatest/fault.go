package maiatest

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind is what goes wrong.
type Kind int

// The kinds of faults. Those in the first group leave the call undone, those in the second carry it out (if it is one that the fake
// accepts).
const (
	NoFault     Kind = iota // only the callbacks of the Fault
	DropBefore              // the connection is dropped
	Status5xx               // a problem document with Fault.Status, 503 if that is 0; any status is allowed
	RateLimited             // 429, with Fault.RetryAfter if it is set
	Redirect                // 307 to Fault.Location

	DropAfter      // the answer is lost
	Status5xxAfter // the answer is as that of Status5xx
	Slow           // the answer comes after Fault.Delay
	Late           // the connection is dropped now, the call carried out after Fault.Delay
	Garbage        // the body is not JSON any more, but has all of the original in it
	Truncated      // the connection is dropped in the middle of the body
	HTML           // a page with all of the original in it
	Masked         // the secret is shown as stars
	Empty          // no body
	WrongAgent     // the agent's ID, or the client ID, is another one
	CustomBody     // Fault.Body, of Fault.ContentType (JSON if empty), with Fault.Status (200 if 0)
)

// Fault makes calls fail.
type Fault struct {
	Call        Name // "" is any call
	Nth         int  // which one among these from now on, from 1; 0 is each of them
	Kind        Kind
	Status      int
	RetryAfter  string
	Delay       time.Duration
	Location    string
	Body        []byte
	ContentType string

	Before func() // called when the request has come, before anything is done
	After  func() // called when the request has been carried out, before it is answered; not called if it is not carried out
}

// pendingFault counts the calls into which a fault may be injected.
type pendingFault struct {
	Fault
	seen int
}

// Inject adds a fault. Of several that fit one call, the first added counts.
func (s *Server) Inject(fault Fault) {
	switch fault.Call {
	case "", Token, ListAgents, GetAgent, GetCredentials, RefreshCredentials, Pause, Resume, Restart, Unknown:
	default:
		panic(fmt.Sprintf("maiatest: Inject: unknown call %q", fault.Call))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &pendingFault{Fault: fault})
}

// takeFault returns the fault of this call, or what a quirk does to it; the zero Fault if there is neither.
func (s *Server) takeFault(call Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var injects Fault
	found := false
	for _, pending := range s.faults {
		if pending.Call != "" && pending.Call != call.Name {
			continue
		}
		pending.seen++
		if !found && (pending.Nth == 0 || pending.Nth == pending.seen) {
			injects, found = pending.Fault, true
		}
	}
	if a := s.find(call.AgentID); a != nil && !found {
		injects = s.options.behaviour.fault(call.Name, a.asked[call.Name])
		a.asked[call.Name]++
	}
	return injects
}

// answer carries the call out, or not, as the fault has it.
func (s *Server) answer(r *http.Request, call Call, body []byte, fault Fault) reply {
	failure := problem(cmp.Or(fault.Status, http.StatusServiceUnavailable), call.Path, "injected by the test")
	if fault.RetryAfter != "" {
		failure = failure.with("Retry-After", fault.RetryAfter)
	}
	switch fault.Kind {
	case DropBefore:
		return dropped()
	case Status5xx:
		return failure
	case RateLimited:
		limited := problem(http.StatusTooManyRequests, call.Path, "injected by the test")
		if fault.RetryAfter != "" {
			limited = limited.with("Retry-After", fault.RetryAfter)
		}
		return limited
	case Redirect:
		return reply{status: http.StatusTemporaryRedirect, header: map[string]string{"Location": fault.Location}}
	}

	carryOut := s.accept(r, call, body)
	if fault.Kind == Late {
		s.later(fault.Delay, func() {
			carryOut()
			if fault.After != nil {
				fault.After()
			}
		})
		return dropped()
	}
	answer := carryOut()
	if fault.After != nil {
		fault.After()
	}
	switch fault.Kind {
	case DropAfter:
		return dropped()
	case Status5xxAfter:
		return failure
	case Slow:
		timer := time.NewTimer(fault.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return dropped()
		}
	case Garbage:
		answer.body = append([]byte("\x00{{"), answer.body...)
	case Truncated:
		answer.truncate = true
	case HTML:
		answer.body = []byte("<html><body>Please log in.<!-- " + string(answer.body) + " --></body></html>")
		answer.header["Content-Type"] = "text/html; charset=utf-8"
	case Masked:
		return answer.edit(map[string]string{"clientSecret": strings.Repeat("*", 12)})
	case Empty:
		answer.body = nil
	case WrongAgent:
		return answer.edit(map[string]string{"agentId": "ffffffff-0000-4000-8000-000000000000", "clientId": "another-client"})
	case CustomBody:
		return reply{
			status: cmp.Or(fault.Status, http.StatusOK),
			header: map[string]string{"Content-Type": cmp.Or(fault.ContentType, "application/json")},
			body:   fault.Body,
		}
	}
	return answer
}

// later carries something out after a while, unless the server is closed first.
func (s *Server) later(delay time.Duration, do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.late = append(s.late, time.AfterFunc(delay, do))
	}
}
