// Package function is what the functions of all clouds share: the rotator of a runner, one call at a time, the end of the time
// of a call, and what a failure leaves in the log. The package of each cloud keeps its trigger and its answer.
//
// It imports nothing of a cloud.
package function

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Rotators makes the rotator of each runner. Clients of the Maia API, and their tokens, are kept for later calls.
type Rotators struct {
	settings.Shared
	Place      settings.Place // where the deployments name their region
	UserAgent  string
	HTTPClient *http.Client // nil: that of [maia.New]

	mu      sync.Mutex
	clients map[clientKey]*maia.Client
}

// clientKey is what clients differ by. The credential of the Maia API may be rotated too.
type clientKey struct {
	region, clientID string
	secret           maia.Fingerprint
}

// Discovered is a runner that was found in a cloud.
type Discovered interface {
	AgentID() string
	Region() string // empty if its deployment names none
}

// Of is the rotator of a runner. It is an error if the runner may not be served, see [Allow]. The credential of the Maia API is
// read when all else is right.
func (r *Rotators) Of(runner Discovered, credential func() (maia.Credentials, error), log *slog.Logger) (*rotate.Rotator, error) {
	if err := Allow(r.AgentIDs, runner.AgentID()); err != nil {
		return nil, err
	}
	region, err := r.RegionOf(runner.Region(), r.Place)
	if err != nil {
		return nil, err
	}
	credentials, err := credential()
	if err != nil {
		return nil, err
	}
	client, err := r.client(region, credentials)
	if err != nil {
		return nil, err
	}
	return &rotate.Rotator{Maia: client, Policy: r.Policy, Log: log.With("runner", runner.AgentID())}, nil
}

func (r *Rotators) client(region string, credentials maia.Credentials) (*maia.Client, error) {
	key := clientKey{region, credentials.ClientID, credentials.ClientSecret.Fingerprint()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if client := r.clients[key]; client != nil {
		return client, nil
	}
	client, err := r.Client(region, maia.Config{
		ClientID: credentials.ClientID, ClientSecret: credentials.ClientSecret, UserAgent: r.UserAgent, HTTPClient: r.HTTPClient,
	})
	if err != nil {
		return nil, err
	}
	if r.clients == nil {
		r.clients = map[clientKey]*maia.Client{}
	}
	r.clients[key] = client
	return client, nil
}

// Allow is an error if the agent that a deployment names may not be served. Where no agents are listed all may be.
func Allow(agentIDs []string, named string) error {
	if len(agentIDs) == 0 || slices.ContainsFunc(agentIDs, func(id string) bool { return strings.EqualFold(id, named) }) {
		return nil
	}
	return settings.Errorf("the deployment names agent %s, which this function may not serve", named).
		WithHint("add it to MAIA_AGENT_IDS if it is yours; if not, find out who has changed the deployment")
}
