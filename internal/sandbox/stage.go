package sandbox

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Stage is what the worlds of all clouds are built on. W is such a world, which embeds it.
type Stage[W any] struct {
	Trial
	Guarded Secrets // must leak nowhere
	Servers Servers
	Fault   Fault[W]

	wrap func(Source, http.Handler) http.Handler // may be nil

	mu        sync.Mutex
	runs      int
	refreshed time.Time
	answers   bytes.Buffer
}

// Open begins with Maia. The runner's pipeline goes on for a time after the runner is first paused; 0 is as the fault wants it. onEvent
// gets the events from Ready on. wrap gets the handler of each service and returns the one that is served in its place. Both may be nil.
func (s *Stage[W]) Open(ctx context.Context, fault Fault[W], pipeline time.Duration, onEvent func(Event),
	wrap func(Source, http.Handler) http.Handler) error {
	s.Fault, s.wrap = fault, wrap
	s.Journal.Listen(onEvent)
	if pipeline == 0 && !fault.Endless {
		pipeline = PipelineTime
	}
	s.Maia = newMaia(&s.Journal, &s.Guarded, pipeline)
	url, err := s.Serve(ctx, FromMaia, s.Maia.tap(s.Maia.Server))
	if err != nil {
		return err
	}
	return s.Maia.servedAt(url)
}

// Serve serves a service, and returns where.
func (s *Stage[W]) Serve(ctx context.Context, source Source, handler http.Handler) (url string, err error) {
	if s.wrap != nil {
		handler = s.wrap(source, handler)
	}
	return s.Servers.Serve(ctx, handler)
}

// Ready has the runner run a pipeline, and injects the fault, now that all is there.
func (s *Stage[W]) Ready(ctx context.Context, world W) error {
	s.Maia.Watch(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refreshed = time.Now()
	})
	s.Maia.SetRunningTasks(AgentID, 1)
	if s.Fault.Inject != nil {
		if err := s.Fault.Inject(ctx, world); err != nil {
			return err
		}
	}
	s.Journal.Start()
	return ctx.Err()
}

// NewRun counts a run, and returns which one it is, from 1.
func (s *Stage[W]) NewRun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	return s.runs
}

// Runs is how many there were.
func (s *Stage[W]) Runs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs
}

// Keep keeps an answer of the function, to be searched for secrets.
func (s *Stage[W]) Keep(answer []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers.Write(answer)
}

// Due is how many refreshes may have been carried out.
func (s *Stage[W]) Due() int { return s.Fault.Due(1) }

// Refreshed is when the last refresh was carried out.
func (s *Stage[W]) Refreshed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshed
}

// Refreshes is how many Maia has carried out for the function.
func (s *Stage[W]) Refreshes() int { return s.Maia.Refreshes(AgentID) }

// Downtimes is, for each time that a refresh cut the runner off, how long it took until it was connected again.
func (s *Stage[W]) Downtimes() []time.Duration { return s.Maia.Downtimes() }

// ProveFault begins the proofs: the fault has happened, and Maia has made a new secret.
func (s *Stage[W]) ProveFault() {
	if s.Fault.Name != "" {
		s.ProveHappened()
	}
	s.Maia.ProveRevoked(s.Prove)
}

// LeaksIn names the secrets that are in one of the places, an answer of the function, or what was printed.
func (s *Stage[W]) LeaksIn(places map[string][]byte, printed []*bytes.Buffer) []string {
	s.Maia.Learn()
	for _, buffer := range printed {
		places["the output of the sandbox"] = slices.Concat(places["the output of the sandbox"], buffer.Bytes())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	places["the function's answers"] = s.answers.Bytes()
	return s.Guarded.Leaks(places)
}

// ProveUnleaked adds, as the last proof, that there are no leaks.
func (s *Stage[W]) ProveUnleaked(text string, leaks []string) []Proof {
	s.Prove(text, len(leaks) == 0, strings.Join(leaks, "; "))
	return s.All()
}

// Close ends what Open and Serve have begun.
func (s *Stage[W]) Close() {
	s.Journal.Stop()
	s.Servers.Close()
	if s.Maia != nil {
		s.Maia.Close()
	}
}
