package maiatest

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// AgentSpec describes an agent to add. Only the ID is required.
type AgentSpec struct {
	ID            string // a UUID
	Name          string
	Description   string
	Type          string // data_productivity_cloud if empty
	CloudProvider string // aws if empty
	Deployment    string // fargate if empty
	ClientID      string // "client-" and the ID if empty
	Secret        string // generated if empty
	Status        string // reported whatever the agent does, unless empty
	RunningTasks  int
	TaskDuration  time.Duration // a task ends by itself this long after it was set to run; 0 is never
}

// agent is the state of one, guarded by the server's mutex.
type agent struct {
	AgentSpec
	secrets     []issued // the last is live, the others are revoked
	connections []change
	instances   map[*Instance]bool
	tasks       []time.Time // when each ends, zero for never
	pauses      []pauseChange
	pauseLength time.Duration // of the last pause
	pausedDown  bool          // paused while it was disconnected
	backAt      time.Time     // when it connected again after it had been disconnected
	asked       map[Name]int  // how often since the last refresh
	shown       int           // how often the secret of the last refresh was shown
	refreshes   int
	lost        int
}

type issued struct {
	secret string
	at     time.Time
}

type change struct {
	connected bool
	at        time.Time
}

// pauseChange is a pause that begins, or, if until is zero, ends.
type pauseChange struct {
	until, at time.Time
}

// AddAgent adds an agent, disconnected and not paused.
func (s *Server) AddAgent(spec AgentSpec) {
	if err := maia.CheckAgentID(spec.ID); err != nil {
		panic("maiatest: AddAgent: " + err.Error())
	}
	spec.Type = cmp.Or(spec.Type, "data_productivity_cloud")
	spec.CloudProvider = cmp.Or(spec.CloudProvider, "aws")
	spec.Deployment = cmp.Or(spec.Deployment, "fargate")
	spec.ClientID = cmp.Or(spec.ClientID, "client-"+spec.ID)
	spec.Secret = cmp.Or(spec.Secret, newSecret())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(spec.ID) != nil {
		panic("maiatest: AddAgent: there is already an agent " + spec.ID)
	}
	a := &agent{AgentSpec: spec, secrets: []issued{{spec.Secret, time.Now()}}, instances: map[*Instance]bool{}, asked: map[Name]int{}}
	a.setTasks(spec.RunningTasks)
	s.agents = append(s.agents, a)
}

func newSecret() string { return rand.Text() + rand.Text() }

// find returns nil if there is no such agent.
func (s *Server) find(agentID string) *agent {
	for _, a := range s.agents {
		if strings.EqualFold(a.ID, agentID) {
			return a
		}
	}
	return nil
}

// with runs f on the agent under the mutex.
func (s *Server) with(agentID string, f func(*agent)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.find(agentID)
	if a == nil {
		panic(fmt.Sprintf("maiatest: there is no agent %q", agentID))
	}
	f(a)
}

// LiveSecret returns the secret that is valid now.
func (s *Server) LiveSecret(agentID string) (secret string) {
	s.with(agentID, func(a *agent) { secret = a.live() })
	return secret
}

// Revoked returns the secrets that were valid before, oldest first.
func (s *Server) Revoked(agentID string) (secrets []string) {
	s.with(agentID, func(a *agent) {
		for _, old := range a.secrets[:len(a.secrets)-1] {
			secrets = append(secrets, old.secret)
		}
	})
	return secrets
}

// Accepts reports whether a runner could log in like this.
func (s *Server) Accepts(agentID, clientID, secret string) (ok bool) {
	s.with(agentID, func(a *agent) { ok = a.accepts(clientID, secret) })
	return ok
}

// Refreshes returns how many refreshes that were asked for over the API were carried out, answered or not.
func (s *Server) Refreshes(agentID string) (n int) {
	s.with(agentID, func(a *agent) { n = a.refreshes })
	return n
}

// Lost returns how many tasks were running when a refresh killed them.
func (s *Server) Lost(agentID string) (n int) {
	s.with(agentID, func(a *agent) { n = a.lost })
	return n
}

// SetRunningTasks replaces the tasks that run by n new ones.
func (s *Server) SetRunningTasks(agentID string, n int) {
	s.with(agentID, func(a *agent) { a.setTasks(n) })
}

// FinishTasks ends all tasks that run.
func (s *Server) FinishTasks(agentID string) { s.SetRunningTasks(agentID, 0) }

// SetStatus has the agent report this status whatever it does, until it is set to "".
func (s *Server) SetStatus(agentID, status string) {
	s.with(agentID, func(a *agent) { a.Status = status })
}

// ConsoleRefresh does what a person does in the web console: refreshes the credentials. It returns the new secret, and does not count
// among Refreshes.
func (s *Server) ConsoleRefresh(agentID string) (secret string) {
	s.with(agentID, func(a *agent) {
		a.refresh()
		secret = a.live()
	})
	return secret
}

// ConsolePause does what a person does in the web console: pauses the agent for d.
func (s *Server) ConsolePause(agentID string, d time.Duration) {
	s.with(agentID, func(a *agent) { a.pause(d) })
}

// ConsoleResume does what a person does in the web console: ends a pause.
func (s *Server) ConsoleResume(agentID string) { s.with(agentID, (*agent).resume) }

func (a *agent) live() string { return a.secrets[len(a.secrets)-1].secret }

func (a *agent) accepts(clientID, secret string) bool {
	return clientID == a.ClientID && secret == a.live()
}

// shownSecret is what a read gives: the live secret, or an older one while reads lag.
func (a *agent) shownSecret(o *options) string {
	lag := max(o.readLag, o.behaviour.secretLag)
	shown := 0
	for i, later := range a.secrets[1:] {
		if time.Since(later.at) >= lag {
			shown = i + 1
		}
	}
	if shown > 0 && shown == len(a.secrets)-1 {
		if a.shown++; o.behaviour.secretFalls && a.shown == 2 {
			shown--
		}
	}
	return a.secrets[shown].secret
}

func (a *agent) setTasks(n int) {
	var end time.Time
	if a.TaskDuration > 0 {
		end = time.Now().Add(a.TaskDuration)
	}
	a.tasks = slices.Repeat([]time.Time{end}, n)
}

func (a *agent) runningTasks() (n int) {
	for _, end := range a.tasks {
		if end.IsZero() || time.Now().Before(end) {
			n++
		}
	}
	return n
}

// Actual is the status and the connection of an agent as they are, whatever lags and quirks show of them.
func (s *Server) Actual(agentID string) (status maia.AgentStatus, connected bool) {
	s.with(agentID, func(a *agent) {
		plain := &options{}
		status, connected = a.status(plain), a.connected(plain)
	})
	return status, connected
}

func (a *agent) refresh() {
	a.secrets = append(a.secrets, issued{newSecret(), time.Now()})
	a.shown = 0
	clear(a.asked)
	a.lost += a.runningTasks()
	a.tasks = nil
	a.pausedDown = false
	clear(a.instances)
	a.connectionChanged()
}

func (a *agent) pause(d time.Duration) {
	a.pauseLength = d
	a.pauses = append(a.pauses, pauseChange{time.Now().Add(d).Truncate(time.Second), time.Now()})
	a.pausedDown = len(a.instances) == 0
}

func (a *agent) resume() {
	a.pauses, a.pausedDown = append(a.pauses, pauseChange{at: time.Now()}), false
}

// pausedUntil is the end of the pause that shows, zero if none does.
func (a *agent) pausedUntil(o *options) (until time.Time) {
	for _, pause := range a.pauses {
		lag := o.behaviour.agentLag
		if !pause.until.IsZero() {
			lag += o.behaviour.pauseLag
		}
		if time.Since(pause.at) >= lag {
			until = pause.until
		}
	}
	return until
}

// comesBack is called when an instance is about to log in.
func (a *agent) comesBack(o *options) {
	if len(a.instances) > 0 || len(a.connections) == 0 {
		return
	}
	a.backAt = time.Now()
	if last := len(a.pauses) - 1; o.behaviour.pauseRestarts && last >= 0 && a.backAt.Before(a.pauses[last].until) {
		a.pauses[last].until = a.backAt.Add(a.pauseLength).Truncate(time.Second)
	}
}

// connectionChanged notes the connection as it is now.
func (a *agent) connectionChanged() {
	a.connections = append(a.connections, change{len(a.instances) > 0, time.Now()})
}

// connected is the connection as it shows. A world that is made by a test has its first connection long since.
func (a *agent) connected(o *options) bool {
	lag := max(o.connectedLag, o.behaviour.agentLag)
	connected := false
	for i, c := range a.connections {
		if since := time.Since(c.at); since >= lag || i == 0 && since >= o.connectedLag {
			connected = c.connected
		}
	}
	if back := time.Since(a.backAt) - lag; o.behaviour.flaps && back < unsettled && back/flapTime%2 == 1 {
		return false
	}
	return connected
}

// status follows from the time, the tasks, the pause and the connection.
func (a *agent) status(o *options) maia.AgentStatus {
	connected, paused := a.connected(o), time.Now().Before(a.pausedUntil(o))
	back := time.Since(a.backAt) - max(o.connectedLag, o.behaviour.agentLag)
	switch {
	case a.Status != "":
		return maia.AgentStatus(a.Status)
	case connected && o.behaviour.words && back < unsettled/2:
		return "provisioning"
	case connected && o.behaviour.words && back < unsettled:
		return "draining"
	case paused && connected && a.runningTasks() == 0:
		return maia.StatusPaused
	case paused && (connected || a.pausedDown):
		return maia.StatusPausing
	case connected:
		return maia.StatusRunning
	}
	return maia.StatusUnknown
}

// document is the agent as the API shows it.
func (a *agent) document(o *options) map[string]any {
	status := a.status(o)
	document := map[string]any{
		"agentId": a.ID, "name": a.Name, "description": a.Description, "agentStatus": status,
		"agentType": cmp.Or(o.behaviour.agentType, a.Type), "cloudProvider": a.CloudProvider, "deployment": a.Deployment,
		"connected": a.connected(o), "enableAutoUpdates": true, "restrictedAccess": false,
		"versionDetails": map[string]any{"agentVersion": "10.1234.0", "trackName": "current", "updateRequired": false},
	}
	until := a.pausedUntil(o)
	if status != maia.StatusPausing && status != maia.StatusPaused || until.IsZero() {
		return document
	}
	var shown any = until.UTC().Format(time.RFC3339)
	if form := o.behaviour.pauseEnd; form != nil {
		shown = form(until, a.asked[GetAgent])
	}
	if shown != nil {
		document["pausedUntil"] = shown
	}
	return document
}
