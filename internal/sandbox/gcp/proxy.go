package gcp

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Request is one that the function sent to the API server.
type Request struct {
	Verb        string // as a Role names it: get, list, create, update, patch, delete
	Group       string
	Resource    string // empty for discovery
	Namespace   string
	Name        string
	DryRun      bool
	Status      int // 0: no answer
	Received    time.Time
	Subresource string
}

// Changes reports whether the request changes something.
func (r Request) Changes() bool {
	return !r.DryRun && slices.Contains([]string{"create", "update", "patch", "delete"}, r.Verb) && r.Resource != "selfsubjectaccessreviews"
}

// proxy passes the function's requests on to the API server, as its user, and can fail them.
type proxy struct {
	next http.Handler

	mu       sync.Mutex
	requests []Request
	faults   []*requestFault
}

// requestFault is what goes wrong with requests.
type requestFault struct {
	of     func(Request) bool
	times  int           // so many of them
	before bool          // the server does not get them
	after  func(Request) // called for each; may be nil
}

func newProxy(user *rest.Config) (*proxy, error) {
	target, err := url.Parse(user.Host)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(user)
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport,
		// A caller who was killed, or a server that ends: there is nobody to answer.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return &proxy{next: forward}, nil
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	seen := RequestOf(request)
	fault := p.take(seen)
	status := &statusWriter{ResponseWriter: writer}
	if fault == nil {
		defer func() { p.record(seen, status.status) }()
		p.next.ServeHTTP(status, request)
		return
	}
	if !fault.before {
		// Whoever waits for the answer may be gone, and the change is made all the same.
		p.next.ServeHTTP(discarding{http.Header{}}, request.WithContext(context.WithoutCancel(request.Context())))
	}
	p.record(seen, 0)
	if fault.after != nil {
		fault.after(seen)
	}
	panic(http.ErrAbortHandler) // no answer
}

// take is the fault for a request; nil for none.
func (p *proxy) take(seen Request) *requestFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		if fault.times > 0 && fault.of(seen) {
			fault.times--
			return fault
		}
	}
	return nil
}

func (p *proxy) inject(fault requestFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &fault)
}

func (p *proxy) record(seen Request, status int) {
	seen.Status = status
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, seen)
}

func (p *proxy) seen() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

var (
	resourcePath = regexp.MustCompile(`^/(?:api|apis/([^/]+))/[^/]+(?:/namespaces/([^/]+))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?$`)
	verbs        = map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch",
		http.MethodDelete: "delete", http.MethodGet: "get"}
)

func RequestOf(request *http.Request) Request {
	seen := Request{Verb: verbs[request.Method], DryRun: request.URL.Query().Get("dryRun") != "", Received: time.Now()}
	if parts := resourcePath.FindStringSubmatch(request.URL.Path); parts != nil {
		seen.Group, seen.Namespace, seen.Resource, seen.Name, seen.Subresource = parts[1], parts[2], parts[3], parts[4], parts[5]
		if seen.Verb == "get" && seen.Name == "" {
			seen.Verb = "list"
		}
	}
	return seen
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// discarding is where answers go that nobody is to get.
type discarding struct{ header http.Header }

// Header implements http.ResponseWriter.
func (d discarding) Header() http.Header { return d.header }

// Write implements http.ResponseWriter.
func (discarding) Write(text []byte) (int, error) { return len(text), nil }

// WriteHeader implements http.ResponseWriter.
func (discarding) WriteHeader(int) {}
