package lambdaapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/awsjson"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Options are the settings of a [Server]. All may be left out.
type Options struct {
	Region  string // "eu-west-1" if empty
	Account string // "123456789012" if empty
}

// Server is the service. It is an [http.Handler]; create it with [New].
type Server struct {
	options Options

	traffic wire.Traffic

	mu        sync.Mutex
	functions map[string]*Function // by name
}

// New returns a service without functions.
func New(options Options) *Server {
	options.Region = cmp.Or(options.Region, "eu-west-1")
	options.Account = cmp.Or(options.Account, "123456789012")
	return &Server{options: options, functions: map[string]*Function{}}
}

// operation is one operation: a GET of /{version}/functions/{FunctionName}/{name}.
type operation struct {
	name      string
	qualified bool // has the parameter Qualifier
	do        func(*Server, reference) (any, error)
}

// operations by their path, without the function.
var operations = map[[2]string]operation{
	{"2015-03-31", "configuration"}: {"GetFunctionConfiguration", true, (*Server).getFunctionConfiguration},
	{"2015-03-31", "policy"}:        {"GetPolicy", true, (*Server).getPolicy},
	{"2019-09-30", "concurrency"}:   {"GetFunctionConcurrency", false, (*Server).getFunctionConcurrency},
}

// Deny has all calls of an operation answered with AccessDeniedException, as if the caller's role did not allow it, until allow
// is called. It panics if the operation is none of this service.
func (s *Server) Deny(name string) (allow func()) {
	known := false
	for _, op := range operations {
		known = known || op.name == name
	}
	if !known {
		panic("lambdaapi: no operation " + name)
	}
	return s.traffic.Inject(wire.Fault{Operation: name, Kind: wire.AccessDenied})
}

// Calls returns all calls so far, the oldest first. A call's Resource is the FunctionName as the caller gave it.
func (s *Server) Calls() []awsjson.Call { return s.traffic.Calls() }

// ServeHTTP serves one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := awsjson.Call{Time: time.Now(), Service: "lambda", RequestID: awsjson.NewID(), Status: http.StatusOK}
	out, err := s.serve(r, &call)

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", call.RequestID)
	if err != nil {
		call.Status, call.Code = err.Status, err.Code
		w.Header().Set("X-Amzn-Errortype", err.Code)
		out = errorBody(err)
	}
	body, failed := json.Marshal(out)
	if failed != nil {
		panic(fmt.Sprintf("lambdaapi: %s answers what has no JSON: %v", call.Operation, failed))
	}
	s.traffic.Record(call) // first: who has the answer finds the call recorded
	w.WriteHeader(call.Status)
	_, _ = w.Write(body) // the caller may be gone: that is its own business
}

// serve does one call, and writes into the record what it finds out of it.
func (s *Server) serve(r *http.Request, call *awsjson.Call) (any, *awsjson.Error) {
	op, name, ok := route(r)
	if !ok {
		return nil, failure(http.StatusForbidden, "AccessDeniedException", "Unable to determine service/operation name to be authorized")
	}
	call.Operation, call.Resource = op.name, name
	if err := checkSignature(r, s.options.Region); err != nil {
		return nil, err
	}
	ref, err := s.resolve(name, r.URL.Query(), op)
	if err != nil {
		return nil, err
	}
	// Another account's function is refused as if the caller had no right to it.
	if s.traffic.Match(op.name, nil).Kind == wire.AccessDenied || ref.account != s.options.Account {
		message := awsjson.Unauthorized(s.options.Account, "caller", "lambda:"+op.name, s.arn(ref))
		return nil, &awsjson.Error{Code: "AccessDeniedException", Message: message, Status: http.StatusForbidden}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out, failed := op.do(s, ref)
	if failed != nil {
		return nil, toError(failed)
	}
	return out, nil
}

// route finds the operation and the function's name.
func route(r *http.Request) (op operation, name string, ok bool) {
	// A name holds colons, which are escaped, and may not hold slashes.
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if r.Method != http.MethodGet || len(parts) != 4 || parts[1] != "functions" {
		return op, "", false
	}
	name, err := url.PathUnescape(parts[2])
	if err != nil {
		return op, "", false
	}
	op, ok = operations[[2]string{parts[0], parts[3]}]
	return op, name, ok
}
