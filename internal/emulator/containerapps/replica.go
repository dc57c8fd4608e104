package containerapps

import (
	"fmt"
	"slices"
	"time"
)

func (s *Server) newReplica(r *revision) *replica {
	s.made++
	return &replica{name: fmt.Sprintf("%s-%08x", r.name, s.made), created: time.Now()}
}

// end takes a replica's end from it, to be called without the lock.
func (r *replica) end() func() {
	stop := r.stop
	r.stop, r.ready = nil, false
	if stop == nil {
		return func() {}
	}
	return stop
}

// start starts what a replica runs, with what it reads now.
func (s *Server) start(a *app, r *revision, one *replica, fails bool) {
	s.mu.Lock()
	if s.closed || !slices.Contains(r.replicas, one) {
		s.mu.Unlock()
		return
	}
	s.changing(a, false)
	environment := a.environment(r)
	s.mu.Unlock()

	stop, err := func() {}, error(nil)
	if s.options.StartReplica != nil && !fails {
		stop, err = s.options.StartReplica(a.document["name"].(string), environment)
	}
	s.mu.Lock()
	s.changing(a, false)
	gone := s.closed || !slices.Contains(r.replicas, one)
	if !gone {
		one.failed = fails || err != nil
		one.stop, one.ready = stop, !one.failed
	}
	s.mu.Unlock()
	if gone && stop != nil {
		stop()
	}
}

// restart replaces the replicas of a revision, one after the other. The lock is held.
func (s *Server) restart(a *app, r *revision) {
	r.restarts, r.restarted = r.restarts+1, time.Now()
	fails := r.breaks > 0
	if fails {
		r.breaks--
	}
	if s.options.Recreate {
		time.AfterFunc(s.options.Roll, func() { s.recreate(a, r, fails) })
		return
	}
	for place, old := range slices.Clone(r.replicas) {
		time.AfterFunc(s.rollTime(place), func() { s.replace(a, r, old, fails) })
	}
}

// replace ends a replica, and starts what comes in its place.
func (s *Server) replace(a *app, r *revision, old *replica, fails bool) {
	s.mu.Lock()
	i := slices.Index(r.replicas, old)
	if s.closed || i < 0 {
		s.mu.Unlock()
		return
	}
	s.changing(a, false)
	one := old
	stop := old.end()
	if s.options.InPlace {
		one.restarts++
	} else {
		one = s.newReplica(r)
		if s.options.SameNames {
			one.name = old.name
		}
		r.replicas[i] = one
		s.linger(r, old)
	}
	one.failed = false
	s.mu.Unlock()
	stop()
	time.AfterFunc(s.options.Start, func() { s.start(a, r, one, fails) })
}

// linger shows a replica that was replaced for a while. The lock is held.
func (s *Server) linger(r *revision, old *replica) {
	if s.options.Linger == 0 {
		return
	}
	r.leaving = append(r.leaving, old)
	time.AfterFunc(s.options.Linger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		r.leaving = slices.DeleteFunc(r.leaving, func(one *replica) bool { return one == old })
	})
}

// recreate ends all replicas of a revision, and makes as many new ones after a while.
func (s *Server) recreate(a *app, r *revision, fails bool) {
	var stops []func()
	s.mu.Lock()
	s.changing(a, false)
	for _, old := range r.replicas {
		stops = append(stops, old.end())
	}
	r.replicas = nil
	s.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	time.AfterFunc(s.options.Roll, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changing(a, false)
		for range stops {
			one := s.newReplica(r)
			r.replicas = append(r.replicas, one)
			time.AfterFunc(s.options.Start, func() { s.start(a, r, one, fails) })
		}
	})
}
