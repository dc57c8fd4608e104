package containerapps

import (
	"slices"
	"strings"
	"time"
)

// with does something with an app, without asking for rights.
func (s *Server) with(id string, do func(a *app)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[strings.ToLower(id)]
	if a == nil {
		panic("containerapps: there is no app " + id)
	}
	do(a)
}

// Secret is one of an app's; zero if there is none.
func (s *Server) Secret(id, name string) (found Secret) {
	s.with(id, func(a *app) { found = a.secret(name) })
	return found
}

// Secrets are those of an app, in order.
func (s *Server) Secrets(id string) (all []Secret) {
	s.with(id, func(a *app) { all = slices.Clone(a.secrets) })
	return all
}

// SetSecret sets one, at once; one that is not there is added.
func (s *Server) SetSecret(id, name, value string) {
	s.with(id, func(a *app) {
		a.modified, a.modifier = time.Now(), "another writer"
		for i := range a.secrets {
			if a.secrets[i].Name == name {
				a.secrets[i].Value = value
				return
			}
		}
		a.secrets = append(a.secrets, Secret{Name: name, Value: value})
	})
}

// Begin begins another writer's operation on an app, during which others are refused. change is carried out when it ends; it may
// be nil.
func (s *Server) Begin(id string, change func()) (end func()) {
	s.with(id, func(a *app) { a.state, a.modified, a.modifier = "InProgress", time.Now(), "another writer" })
	return func() {
		if change != nil {
			change()
		}
		s.with(id, func(a *app) { a.state = "Succeeded" })
	}
}

// FailUpdates has the next n changes of an app end as failed after they were accepted.
func (s *Server) FailUpdates(id string, n int) {
	s.with(id, func(a *app) { a.fails = n })
}

// RestartAll restarts every active revision.
func (s *Server) RestartAll(id string) {
	s.with(id, func(a *app) {
		for _, r := range a.revisions {
			s.restart(a, r)
		}
	})
}

// BreakRestarts has the next n restarts of each revision fail: the new replicas do not come up. 0 puts right the restarts to
// come.
func (s *Server) BreakRestarts(id string, n int) {
	s.with(id, func(a *app) {
		for _, r := range a.revisions {
			r.breaks = n
		}
	})
}

// Scale gives each active revision so many replicas, at once. (The service would make a new revision.)
func (s *Server) Scale(id string, replicas int) {
	var scaled *app
	s.with(id, func(a *app) {
		scaled = a
		properties := a.document["properties"].(map[string]any)
		properties["template"].(map[string]any)["scale"] = map[string]any{"minReplicas": float64(replicas), "maxReplicas": float64(replicas)}
	})
	for _, r := range scaled.revisions {
		if r.active {
			s.scale(scaled, r, replicas)
		}
	}
}

// Stop stops an app, with all its replicas, as az containerapp stop does.
func (s *Server) Stop(id string) {
	var stopped *app
	s.with(id, func(a *app) { a.stopped, stopped = true, a })
	for _, r := range stopped.revisions {
		s.scale(stopped, r, 0)
	}
}

// AddRevision makes another active revision of an app, as a deployment does, whose replicas run when it returns.
func (s *Server) AddRevision(id string, one Revision) {
	var changed *app
	r := &revision{name: one.Name, created: time.Now(), active: true, containers: one.Containers}
	s.with(id, func(a *app) {
		if r.containers == nil {
			r.containers = a.containers()
		}
		a.revisions, changed = append(a.revisions, r), a
	})
	s.scale(changed, r, one.Replicas)
}

// Restarts is how often each revision was restarted so far.
func (s *Server) Restarts(id string) map[string]int {
	all := map[string]int{}
	s.with(id, func(a *app) {
		for _, r := range a.revisions {
			all[r.name] = r.restarts
		}
	})
	return all
}

// SetTag sets a tag of an app; an empty value takes it away.
func (s *Server) SetTag(id, name, value string) {
	s.with(id, func(a *app) {
		tags, _ := a.document["tags"].(map[string]any)
		if value == "" {
			delete(tags, name)
			return
		}
		tags[name] = value
	})
}

// Remove deletes an app.
func (s *Server) Remove(id string) {
	var removed *app
	s.with(id, func(a *app) { removed = a })
	for _, r := range removed.revisions {
		s.scale(removed, r, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, strings.ToLower(id))
	s.order = slices.DeleteFunc(s.order, func(a *app) bool { return a == removed })
}

// Lock puts a lock on an app, by which it can only be read.
func (s *Server) Lock(id string) {
	s.with(id, func(a *app) { a.locked = true })
}

// Shown is the app as a GET shows it.
func (s *Server) Shown(id string) (document map[string]any) {
	s.with(id, func(a *app) { document = a.shown() })
	return document
}
