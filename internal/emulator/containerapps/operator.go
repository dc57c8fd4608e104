package containerapps

import (
	"slices"
	"strings"
	"time"
)

// with does something with an app, as somebody who may do everything.
func (s *Server) with(id string, do func(a *app)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do(s.apps[strings.ToLower(id)])
}

// Secret is one of an app's.
func (s *Server) Secret(id, name string) (found Secret) {
	s.with(id, func(a *app) { found = a.secret(name) })
	return found
}

// Secrets are those of an app, in order.
func (s *Server) Secrets(id string) (all []Secret) {
	s.with(id, func(a *app) { all = slices.Clone(a.secrets) })
	return all
}

// SetSecret sets one, at once.
func (s *Server) SetSecret(id, name, value string) {
	s.with(id, func(a *app) {
		for i := range a.secrets {
			if a.secrets[i].Name == name {
				a.secrets[i].Value = value
			}
		}
		a.modified, a.modifier = time.Now(), "somebody else"
	})
}

// RestartAll restarts every active revision.
func (s *Server) RestartAll(id string) {
	s.with(id, func(a *app) {
		for _, r := range a.revisions {
			s.restart(a, r)
		}
	})
}

// BreakRestarts has the next n restarts of each revision fail: the new replicas do not come up. 0 mends that, for restarts to come.
func (s *Server) BreakRestarts(id string, n int) {
	s.with(id, func(a *app) {
		for _, r := range a.revisions {
			r.breaks = n
		}
	})
}

// Shown is the app as a GET shows it.
func (s *Server) Shown(id string) (document map[string]any) {
	s.with(id, func(a *app) { document = a.shown() })
	return document
}
