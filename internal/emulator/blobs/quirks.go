package blobs

import (
	"fmt"
	"net/http"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

// Quirks are the ways in which blob storage may behave that [Server.Play] knows.
func Quirks() []quirk.Quirk {
	return []quirk.Quirk{
		{Name: "blobs-dead-holder", Behaviour: "a blob is leased for 40 s more by a process that has died",
			Source: "blob storage documentation, Lease Blob"},
		{Name: "blobs-throttled", Behaviour: "each fifth call is refused with 503 ServerBusy",
			Source: "blob storage documentation, scalability targets"},
		{Name: "blobs-slow-answers", Behaviour: "each ninth call is carried out and answered after 6 s", Source: "not documented"},
		{Name: "blobs-lost-answers", Behaviour: "each eighth call is carried out, and its answer is lost", Source: "not documented"},
	}
}

// Play has the server behave as the quirks of these names say, from now on.
func (s *Server) Play(names ...string) error {
	if err := quirk.Known(Quirks(), names); err != nil {
		return fmt.Errorf("blobs: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.played[name] = true
	}
	return nil
}

// busy refuses some of the calls. The lock is held, here and below.
func (s *Server) busy() *failure {
	if s.calls++; s.played["blobs-throttled"] && s.calls%5 == 0 {
		return &failure{http.StatusServiceUnavailable, "ServerBusy"}
	}
	return nil
}

// late is how long an answer takes, and whether it is lost then.
func (s *Server) late() (slow time.Duration, lost bool) {
	if s.played["blobs-slow-answers"] && s.calls%9 == 0 {
		slow = 6 * time.Second
	}
	return slow, s.played["blobs-lost-answers"] && s.calls%8 == 0
}

// occupy leases a blob whose lease is asked for the first time, as a process may have done that has died since.
func (s *Server) occupy(b *blob) {
	if s.played["blobs-dead-holder"] && !b.occupied && !b.lease.active() {
		b.lease = newLease(wire.NewID(), 40*time.Second)
	}
	b.occupied = true
}
