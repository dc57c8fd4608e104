package maiatest

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Where the API and its tokens are below the address of a server.
const (
	basePath  = "/dpc"
	tokenPath = "/oauth/dpc/token"
)

// maxRequest bounds the body of a request.
const maxRequest = 1 << 16

// Name distinguishes the calls.
type Name string

// The calls that the fake knows.
const (
	Token              Name = "Token"
	ListAgents         Name = "ListAgents"
	GetAgent           Name = "GetAgent"
	GetCredentials     Name = "GetCredentials"
	RefreshCredentials Name = "RefreshCredentials"
	Pause              Name = "Pause"
	Resume             Name = "Resume"
	Restart            Name = "Restart"
	Unknown            Name = "Unknown" // another path, method or command
)

// Call is one request that the fake got.
type Call struct {
	Name    Name
	Method  string
	Path    string
	AgentID string    // "" where the path has none
	Status  int       // of the answer, 0 if the connection was dropped instead
	Time    time.Time // of the request's arrival
}

// Server is the fake. Use New to make one. All methods may be called at any time, by several goroutines; those that name an agent which was
// not added panic.
type Server struct {
	options options

	mu     sync.Mutex
	agents []*agent
	tokens map[string]time.Time // expiry
	recent []time.Time          // the calls of the last minute
	calls  []Call
	hooks  []func(Call)
	faults []*pendingFault
	late   []*time.Timer
	closed bool

	limitedUntil time.Time // for the quirk of long waits, as are:
	counted      int       // the calls that count towards the limit, so far
	limitedFor   time.Time // the last login that they followed
}

type options struct {
	clientID, clientSecret string
	perMinute              int
	tokenLifetime          time.Duration
	expiresIn              bool
	pauseLength            time.Duration
	readLag                time.Duration
	connectedLag           time.Duration
	behaviour              behaviour
}

// Option changes what New makes.
type Option func(*options)

// WithAPICredential sets the MAIA API credential that tokens are given for.
func WithAPICredential(clientID, clientSecret string) Option {
	return func(o *options) { o.clientID, o.clientSecret = clientID, clientSecret }
}

// WithRateLimit sets how many calls a minute are answered; the default is 1,000.
func WithRateLimit(perMinute int) Option { return func(o *options) { o.perMinute = perMinute } }

// WithTokenLifetime sets how long a token is good for; the default is 30 minutes.
func WithTokenLifetime(d time.Duration) Option { return func(o *options) { o.tokenLifetime = d } }

// WithExpiresIn sets whether the answer to a token request says how long the token lives; by default it does.
func WithExpiresIn(present bool) Option { return func(o *options) { o.expiresIn = present } }

// WithPauseLength sets how long after a PAUSE pausedUntil lies; the default is an hour.
func WithPauseLength(d time.Duration) Option { return func(o *options) { o.pauseLength = d } }

// WithReadLag makes reading credentials give the old secret for d after a refresh; the refresh's own answer has the new one.
func WithReadLag(d time.Duration) Option { return func(o *options) { o.readLag = d } }

// WithConnectedLag makes agents show their connection, and the status that depends on it, as it was d ago.
func WithConnectedLag(d time.Duration) Option { return func(o *options) { o.connectedLag = d } }

// New returns a fake without agents.
func New(opts ...Option) *Server {
	o := options{
		clientID: "maiatest-api-client", clientSecret: "maiatest-api-secret",
		perMinute: 1000, tokenLifetime: 30 * time.Minute, expiresIn: true, pauseLength: time.Hour,
	}
	for _, opt := range opts {
		opt(&o)
	}
	return &Server{options: o, tokens: map[string]time.Time{}}
}

// Close drops what is still to be carried out late. Every later call is answered with a 503.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, timer := range s.late {
		timer.Stop()
	}
}

// APIURL is the API's URL on a server at base, for example the URL of an httptest.Server.
func APIURL(base string) string { return base + basePath }

// TokenURL is the URL for tokens on a server at base.
func TokenURL(base string) string { return base + tokenPath }

// APICredential returns the MAIA API credential that tokens are given for.
func (s *Server) APICredential() (clientID, clientSecret string) {
	return s.options.clientID, s.options.clientSecret
}

// Client returns a client of the fake that uses its Transport.
func (s *Server) Client(t testing.TB) *maia.Client {
	t.Helper()
	client, err := maia.New(maia.Config{
		APIURL: APIURL("https://maia.test"), TokenURL: TokenURL("https://maia.test"),
		ClientID: s.options.clientID, ClientSecret: maia.NewSecret(s.options.clientSecret),
		HTTPClient: &http.Client{Transport: s.Transport()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Calls returns the calls so far, in the order in which they were answered.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// OnCall has hook called for each call when it has been carried out, or not, and before it is answered.
func (s *Server) OnCall(hook func(Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hooks = append(s.hooks, hook)
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{Method: r.Method, Path: r.URL.Path, Time: time.Now()}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		// The sender broke off: there is nothing to carry out and nobody to answer.
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call.Name, call.AgentID = route(r, body)

	fault := s.takeFault(call)
	if fault.Before != nil {
		fault.Before()
	}
	answer := s.answer(r, call, body, fault)
	call.Status = answer.status
	s.record(call)
	answer.write(w)
}

// record remembers the call and calls the hooks.
func (s *Server) record(call Call) {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	hooks := slices.Clone(s.hooks)
	s.mu.Unlock()
	for _, hook := range hooks {
		hook(call)
	}
}
