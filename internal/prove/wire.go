package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
)

// service is one that the function calls.
type service struct {
	source sandbox.Source
	// identify says what a request is.
	identify func(request *http.Request, body []byte) identity
	// refuse is the service's answer that it is unavailable (5xx), or that there are too many requests.
	refuse func(tooMany bool, request *http.Request) answer
}

type identity struct {
	name    string // operation and resource, such as "PutSecretValue runner"
	changes bool
	begins  string // the phase of the rotation that begins with it; "" for none
	ignored bool   // it is not the function's
}

// call is one request of the function.
type call struct {
	source sandbox.Source
	identity
	phase string
	nth   int // among the calls of its name in its phase, from 1
}

// wire is between the function and all services: it counts the calls, and injects the faults.
type wire struct {
	kill  func()    // kills the function, at work as it is
	thief *receiver // where a redirect leads to

	mu      sync.Mutex
	step    string // what the function was invoked for, where there are several such things
	phase   string
	calls   []call
	counts  map[string]int
	injects []*injection
	killed  bool // a fault has killed the function
	began   time.Time
	story   strings.Builder // the calls, for the reader of a failure

	ended   chan struct{}
	working sync.WaitGroup // requests that are carried out late
}

func newWire(injects []*injection) *wire {
	return &wire{injects: injects, counts: map[string]int{}, began: time.Now(), ended: make(chan struct{}), kill: func() {}}
}

// end ends all waits, and returns when they are over.
func (w *wire) end() {
	close(w.ended)
	w.working.Wait()
}

// killFunction kills the function, and remembers it.
func (w *wire) killFunction() {
	w.mu.Lock()
	w.killed = true
	w.mu.Unlock()
	w.kill()
}

func (w *wire) hasKilled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.killed
}

func (w *wire) add(s *injection) {
	s.times = 1
	w.mu.Lock()
	defer w.mu.Unlock()
	w.injects = append(w.injects, s)
}

// enter notes what the function is invoked for.
func (w *wire) enter(step string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step = step
}

// maxBody is more than any request has.
const maxBody = 8 << 20

// wrap puts the wire in front of a service.
func (w *wire) wrap(s service, next http.Handler) http.Handler {
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, maxBody))
		if err != nil {
			panic(http.ErrAbortHandler) // the caller is gone
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		made := s.identify(request, body)
		if made.ignored {
			next.ServeHTTP(writer, request)
			return
		}
		injected := w.arrive(s.source, made, request.RemoteAddr)
		if injected == nil {
			next.ServeHTTP(writer, request)
			return
		}
		injected.happen(w, s, body, next, writer, request)
	})
}

// arrive counts a call and returns the fault that is injected into it, or nil.
func (w *wire) arrive(source sandbox.Source, made identity, from string) *injection {
	w.mu.Lock()
	defer w.mu.Unlock()
	arrived := call{source: source, identity: made, phase: strings.TrimSpace(w.step + " " + w.phase)}
	key := arrived.phase + "|" + made.name
	w.counts[key]++
	arrived.nth = w.counts[key]
	w.calls = append(w.calls, arrived)
	if made.begins != "" {
		w.phase = made.begins
	}
	var hit *injection
	for _, s := range w.injects {
		if hit == nil && s.hits(arrived) {
			s.injected++
			hit = s
		}
	}
	fmt.Fprintf(&w.story, "%7.1f s  %s  %s #%d (%s)", time.Since(w.began).Seconds(), from, made.name, arrived.nth, arrived.phase)
	if hit != nil {
		fmt.Fprintf(&w.story, ": %s", hit.kind)
	}
	w.story.WriteString("\n")
	return hit
}

func (w *wire) reported() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.story.String()
}

// made are the calls so far.
func (w *wire) made() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]call(nil), w.calls...)
}

// injected reports whether every fault was injected.
func (w *wire) injected() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.injects {
		if s.injected == 0 {
			return false
		}
	}
	return true
}

// answer is one of a service, kept before it is sent.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) send(writer http.ResponseWriter) {
	for name, values := range a.header {
		writer.Header()[name] = values
	}
	writer.WriteHeader(a.status)
	_, _ = writer.Write(a.body) // the caller may be gone
}

// keeper is a ResponseWriter that keeps the answer.
type keeper struct {
	answer
	body bytes.Buffer
}

func (k *keeper) Header() http.Header { return k.header }

func (k *keeper) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *keeper) Write(p []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(p)
}

// receiver is a thief's server, which keeps whatever is sent to it.
type receiver struct {
	url string

	mu  sync.Mutex
	got bytes.Buffer
}

// stolen begins the paths to which a redirect leads. Requests for others have come to the wrong server.
const stolen = "/stolen"

func (r *receiver) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if !strings.HasPrefix(request.URL.Path, stolen) {
		http.NotFound(writer, request)
		return
	}
	body, _ := io.ReadAll(http.MaxBytesReader(writer, request.Body, maxBody))
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = request.Header.Write(&r.got) // into memory
	r.got.WriteString(request.URL.String())
	r.got.Write(body)
	writer.WriteHeader(http.StatusOK)
}

func (r *receiver) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.got.Bytes())
}
