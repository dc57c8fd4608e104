package iam

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	apiVersion = "2010-05-08"
	namespace  = "https://iam.amazonaws.com/doc/" + apiVersion + "/"

	// globalRegion is where IAM of the commercial partition lives.
	globalRegion = "us-east-1"

	maxRequest = 1 << 20
)

// Options are the settings of a [Server]. All may be left out.
type Options struct {
	Account string // "123456789012" if empty

	// Region is another region that requests may be signed for; "eu-west-1" if empty. The service's own is us-east-1, but an SDK
	// that is given an endpoint signs for the region that it is configured for.
	Region string

	// ResultsByAction answers the simulator's results as the API reference has
	// them since July 2026: one for each action, with ResourceSpecificResults.
	ResultsByAction bool
}

// Server is the service. It is an [http.Handler]; create it with [New].
type Server struct {
	options Options

	traffic wire.Traffic

	mu    sync.Mutex
	roles map[string]*role // by ARN
}

// New returns a service without roles.
func New(options Options) *Server {
	options.Account = cmp.Or(options.Account, "123456789012")
	options.Region = cmp.Or(options.Region, "eu-west-1")
	return &Server{options: options, roles: map[string]*role{}}
}

// operation does one operation; its answer is the content of the element {name}Result.
type operation func(*Server, form) (any, error)

var operations = map[string]operation{
	"SimulatePrincipalPolicy": (*Server).simulatePrincipalPolicy,
}

// Deny has all calls of an operation answered with AccessDenied, as if the caller's role did not allow it, until allow is called.
// It panics if the operation is none of this emulator.
func (s *Server) Deny(name string) (allow func()) {
	if operations[name] == nil {
		panic("iam: no operation " + name)
	}
	return s.traffic.Inject(wire.Fault{Operation: name, Kind: wire.AccessDenied})
}

// Calls returns all calls so far, the oldest first. A call's Resource is the PolicySourceArn.
func (s *Server) Calls() []awsjson.Call { return s.traffic.Calls() }

// ServeHTTP serves one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := awsjson.Call{Time: time.Now(), Service: "iam", RequestID: awsjson.NewID(), Status: http.StatusOK}
	out, err := s.serve(w, r, &call)

	var answer any = success{
		XMLName: xml.Name{Local: call.Operation + "Response"}, Namespace: namespace,
		Result: out, RequestID: call.RequestID,
	}
	if err != nil {
		e := toError(err)
		call.Status, call.Code = e.Status, e.Code
		answer = errorAnswer(e, call.RequestID)
	}
	body, failed := xml.Marshal(answer)
	if failed != nil {
		panic(fmt.Sprintf("iam: %s answers what has no XML: %v", call.Operation, failed))
	}
	s.traffic.Record(call) // first: who has the answer finds the call recorded
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	w.WriteHeader(call.Status)
	_, _ = w.Write(body) // the caller may be gone: that is its own business
}

// serve does one call, and writes into the record what it finds out of it.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, call *awsjson.Call) (any, error) {
	// Read to the end first, so that the connection stays usable.
	raw, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))

	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.URL.Path != "/" || media != "application/x-www-form-urlencoded" {
		return nil, failure(http.StatusNotFound, "InvalidAction", "the request is not a POST of a form to /")
	}
	var tooLarge *http.MaxBytesError
	if errors.As(readErr, &tooLarge) {
		return nil, failure(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the request is too large")
	}
	values, err := url.ParseQuery(string(raw))
	if readErr != nil || err != nil {
		return nil, failure(http.StatusBadRequest, "MalformedQueryString", "The query string contains a syntax error.")
	}
	f := newForm(values)
	action, version := f.value("Action"), f.value("Version")
	do := operations[action]
	switch {
	case action == "":
		return nil, failure(http.StatusBadRequest, "MissingAction", "The request is missing an Action.")
	case do == nil || version != apiVersion:
		return nil, failure(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s", action, version)
	}
	call.Operation, call.Resource = action, values.Get("PolicySourceArn")
	if err := s.checkSignature(r); err != nil {
		return nil, err
	}
	if s.traffic.Match(action, nil).Kind == wire.AccessDenied {
		message := awsjson.Unauthorized(s.options.Account, "caller", "iam:"+action, call.Resource)
		return nil, &awsjson.Error{Code: "AccessDenied", Message: message, Status: http.StatusForbidden}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return do(s, f)
}
