package gcp

import (
	"encoding/json"
	"net/http"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/sandbox"
	"github.com/maia-rotate/maia-rotate/pkg/maia/maiatest"
)

// login is what the runner in a pod posts, see the control plane's stand-in for a kubelet.
type login struct {
	Event        string `json:"event"`
	Namespace    string `json:"namespace"`
	Pod          string `json:"pod"`
	AgentID      string `json:"agentId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
}

// pods are the runner's, each with its connection to Maia.
type pods struct {
	namespace string
	maia      *sandbox.Maia
	journal   *sandbox.Journal

	mu      sync.Mutex
	started int
	here    map[string]*maiatest.Instance // nil for one that was refused
}

// ServeHTTP is where runners log in.
func (p *pods) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	var says login
	if err := json.NewDecoder(request.Body).Decode(&says); err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	if says.Namespace != p.namespace {
		http.Error(writer, "a pod of another world", http.StatusNotFound)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	instance, known := p.here[says.Pod]
	switch {
	case says.Event == "stop" && known:
		if instance != nil {
			instance.Close()
		}
		p.journal.Add(sandbox.FromKubernetes, "pod-stopped", "pod %s is gone", shortName(says.Pod))
		delete(p.here, says.Pod)
	case says.Event == "start" && !known:
		p.started++
		var err error
		p.here[says.Pod], err = p.maia.LogIn("pod "+shortName(says.Pod), says.AgentID, says.ClientID, says.ClientSecret)
		if err != nil {
			http.Error(writer, "refused", http.StatusUnauthorized)
		}
	}
}

// shortName is the name of a pod without its Deployment's.
func shortName(pod string) string { return pod[len(Deployment)+1:] }

// connected reports whether the runner in each of the named pods has its connection.
func (p *pods) connected(names []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if instance := p.here[name]; instance == nil || !instance.Connected() {
			return false
		}
	}
	return len(names) > 0
}

// count is how many pods have ever started.
func (p *pods) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

// gone reports whether none is left.
func (p *pods) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.here) == 0
}
