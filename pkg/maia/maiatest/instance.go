package maiatest

import "errors"

// ErrLoginRefused is the answer to a login with anything but the live credentials.
var ErrLoginRefused = errors.New("maiatest: login refused: these are not the live credentials")

// Instance is a running copy of a runner that is, or was, logged in.
type Instance struct {
	server  *Server
	agentID string
}

// Connect logs an instance of a runner in. It is refused with ErrLoginRefused unless the credentials are the live ones. A pause of the
// agent
// goes on. The agent is connected while it has at least one instance.
func (s *Server) Connect(agentID, clientID, secret string) (*Instance, error) {
	instance := &Instance{server: s, agentID: agentID}
	err := ErrLoginRefused
	s.with(agentID, func(a *agent) {
		if !a.accepts(clientID, secret) {
			return
		}
		a.comesBack(&s.options)
		a.instances[instance] = true
		a.pausedDown = false
		a.connectionChanged()
		err = nil
	})
	if err != nil {
		return nil, err
	}
	return instance, nil
}

// Connected reports whether the instance has its connection still: a refresh cuts it for good.
func (i *Instance) Connected() (connected bool) {
	i.server.with(i.agentID, func(a *agent) { connected = a.instances[i] })
	return connected
}

// Close stops the instance.
func (i *Instance) Close() {
	i.server.with(i.agentID, func(a *agent) {
		if a.instances[i] {
			delete(a.instances, i)
			a.connectionChanged()
		}
	})
}
