package containerapps

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/emulator/quirk"
	"github.com/maia-rotate/maia-rotate/internal/emulator/resourcemanager"
	"github.com/maia-rotate/maia-rotate/internal/emulator/wire"
)

const (
	undocumented = "not documented"
	pagePolicy   = "microsoft/azure-container-apps 1381 (2025)"
	pageState    = "microsoft/azure-container-apps 1268 (2024)"
	pageLimits   = "Azure Resource Manager documentation, request limits"
	pageRevision = "Container Apps documentation, revisions"
)

// Quirks are the ways in which Container Apps may behave that [Server.Play] knows. They hold for every app.
func Quirks() []quirk.Quirk {
	return []quirk.Quirk{
		{Name: "rollout-1s", Behaviour: "a restart has replaced every replica after a second", Source: undocumented},
		{Name: "rollout-9m", Behaviour: "replicas run on for nine minutes after a restart, and are replaced then", Source: undocumented},
		{Name: "rollout-60m", Behaviour: "replicas run on for an hour after a restart, and are replaced then", Source: undocumented},
		{Name: "no-replicas-shown", Behaviour: "the list of replicas is empty for four minutes after a restart",
			Source: "microsoft/azure-container-apps 614 (2023)"},
		{Name: "in-place", Behaviour: "a restart restarts the containers of each replica", Source: pageRevision},
		{Name: "same-names", Behaviour: "a replica has the name of the one that it replaces", Source: undocumented},
		{Name: "failed-after-restart", Behaviour: "for ten minutes after a restart a revision is Failed and Unhealthy, though its replicas run",
			Source: pageState},
		{Name: "state-failed", Behaviour: "a revision is Failed, though its replicas run", Source: pageState, Refused: "Failed"},
		{Name: "state-unhealthy", Behaviour: "a revision is Unhealthy, though its replicas run", Source: pageState, Refused: "Unhealthy"},
		{Name: "state-degraded", Behaviour: "a revision is Degraded, though its replicas run", Source: pageRevision, Refused: "Degraded"},
		{Name: "state-unknown", Behaviour: "the state of a revision is Unknown", Source: pageRevision, Refused: "Unknown"},
		{Name: "capp-references", Behaviour: "a revision shows capp- and the app's name in place of each secretRef",
			Source: "microsoft/azure-container-apps 370 (2022), 1705 (2026)"},
		{Name: "operation-75s", Behaviour: "a change is answered with 202 and ends after 75 s", Source: undocumented},
		{Name: "operation-10m", Behaviour: "a change is answered with 202 and ends after ten minutes",
			Source: undocumented, Refused: "is in progress for more than"},
		{Name: "policy-on-apps", Behaviour: "a policy denies every change of an app",
			Source: pagePolicy, Refused: "RequestDisallowedByPolicy"},
		{Name: "policy-on-secrets", Behaviour: "a policy denies a change that carries secrets",
			Source: pagePolicy, Refused: "RequestDisallowedByPolicy"},
		{Name: "deny-assignment", Behaviour: "a deny assignment forbids changes and restarts",
			Source:  "Azure role-based access control, deny assignments",
			Refused: "DenyAssignmentAuthorizationFailed"},
		{Name: "locked", Behaviour: "a lock lets an app only be read",
			Source: "Azure Resource Manager documentation, locks", Refused: "ScopeLocked"},
		{Name: "quota", Behaviour: "a change is refused for want of quota", Source: undocumented, Refused: "QuotaExceeded"},
		{Name: "throttled", Behaviour: "each sixth call is refused with 429 and a Retry-After of 20 s", Source: pageLimits},
		{Name: "slow-answers", Behaviour: "each seventh call is carried out and answered after 25 s", Source: undocumented},
		{Name: "lag-5s", Behaviour: "reads show what was there 5 s before", Source: undocumented},
		{Name: "lag-30s", Behaviour: "reads show what was there 30 s before", Source: undocumented},
		{Name: "lag-back", Behaviour: "after a change or a restart one of the reads shows once more what was there before",
			Source: undocumented},
		{Name: "sibling-fails", Behaviour: "the first revision refuses its first restart", Source: undocumented},
		{Name: "vault-values", Behaviour: "secrets of Key Vault are listed with a value, too",
			Source: "hashicorp/terraform-provider-azurerm 25820"},
	}
}

// Play has the server behave as the quirks of these names say, from now on.
func (s *Server) Play(names ...string) error {
	if err := quirk.Known(Quirks(), names); err != nil {
		return fmt.Errorf("containerapps: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.played[name] = true
	}
	if s.played["locked"] {
		for _, a := range s.order {
			a.locked = true
		}
	}
	for name, set := range map[string]func(){
		"in-place":      func() { s.options.InPlace = true },
		"same-names":    func() { s.options.SameNames = true },
		"operation-75s": func() { s.options.Provision = 75 * time.Second },
		"operation-10m": func() { s.options.Provision = 10 * time.Minute },
		"rollout-1s":    func() { s.options.Start = 0 },
		"sibling-fails": func() { s.refusals = 1 },
	} {
		if s.played[name] {
			set()
		}
	}
	return nil
}

// Hasten makes the rollouts of quirks so many times faster, for callers in real time.
func (s *Server) Hasten(times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hastened = times
}

// rollTime is from a restart until the replica of a place is replaced. The lock is held, here and below.
func (s *Server) rollTime(place int) time.Duration {
	after := time.Duration(place) * time.Second
	switch {
	case s.played["rollout-1s"]:
		return time.Second
	case s.played["rollout-9m"]:
		return 9*time.Minute/s.pace() + after
	case s.played["rollout-60m"]:
		return time.Hour/s.pace() + after
	}
	return time.Duration(place+1) * s.options.Roll
}

func (s *Server) pace() time.Duration { return time.Duration(max(1, s.hastened)) }

// busy refuses some of the calls.
func (s *Server) busy() (refused *wire.Answer) {
	if s.calls++; !s.played["throttled"] || s.calls%6 != 0 {
		return nil
	}
	answer := resourcemanager.New(http.StatusTooManyRequests, "TooManyRequests", "The request is being throttled.").Answer()
	answer.Header.Set("Retry-After", "20")
	return &answer
}

// slow is how long an answer takes.
func (s *Server) slow() time.Duration {
	if s.played["slow-answers"] && s.calls%7 == 0 {
		return 25 * time.Second
	}
	return 0
}

// denial refuses a change or a restart, whoever asks.
func (s *Server) denial(to target, body []byte) *resourcemanager.Problem {
	write := to.operation == opWrite
	switch {
	case write && s.played["policy-on-apps"], write && s.played["policy-on-secrets"] && strings.Contains(string(body), `"secrets"`):
		return resourcemanager.New(http.StatusForbidden, "RequestDisallowedByPolicy",
			"Resource '"+to.id[strings.LastIndex(to.id, "/")+1:]+"' was disallowed by policy. "+
				`Policy identifiers: '[{"policyAssignment":{"name":"deny changes"}}]'.`)
	case (write || to.operation == opRestart) && s.played["deny-assignment"]:
		return resourcemanager.New(http.StatusForbidden, "DenyAssignmentAuthorizationFailed",
			"The client has permission to perform action '"+to.action()+"' on scope '"+to.resource()+"', "+
				"however the access is denied because of the deny assignment with name 'stack'.")
	case write && s.played["quota"]:
		return resourcemanager.New(http.StatusBadRequest, "QuotaExceeded", "The change would exceed the quota of the environment.")
	}
	return nil
}

// refuses reports whether a revision refuses a restart: the first of its app does for a while.
func (s *Server) refuses(a *app, r *revision) bool {
	if s.refusals == 0 || r != a.revisions[0] {
		return false
	}
	s.refusals--
	return true
}

// misstate shows the state of a revision that has replicas as the quirks say.
func (s *Server) misstate(r *revision, properties map[string]any) {
	if len(r.replicas) == 0 {
		return
	}
	for name, state := range map[string]string{"state-failed": "Failed", "state-degraded": "Degraded", "state-unknown": "Unknown"} {
		if s.played[name] {
			properties["runningState"] = state
		}
	}
	if s.played["state-unhealthy"] {
		properties["healthState"] = "Unhealthy"
	}
	if s.played["failed-after-restart"] && r.restarts > 0 && time.Since(r.restarted) < 10*time.Minute {
		properties["runningState"], properties["provisioningState"], properties["healthState"] = "Failed", "Failed", "Unhealthy"
	}
}

// masked are the containers of a revision as they are shown.
func (s *Server) masked(a *app, containers []any) []any {
	if !s.played["capp-references"] {
		return containers
	}
	shown := plain(map[string]any{"containers": containers})["containers"].([]any)
	for _, variable := range variables(shown) {
		if variable["secretRef"] != nil {
			variable["secretRef"] = "capp-" + a.document["name"].(string)
		}
	}
	return shown
}

// listed are the secrets of an app as they are listed.
func (s *Server) listed(a *app) []Secret {
	all := append([]Secret{}, a.secrets...)
	for i := range all {
		if all[i].KeyVaultURL != "" && s.played["vault-values"] {
			all[i].Value = "as Key Vault holds it"
		}
	}
	return all
}

// shot is what reads of an app have shown until a time.
type shot struct {
	until                   time.Time
	app, secrets, revisions any
	replicas                map[string]any // by the revision's name
	reads                   map[string]int // by what is read: how often it was since
	requested               bool           // a client asked for the change that ended it
}

// lags reports whether reads may show the past.
func (s *Server) lags() bool { return s.lag() > 0 || s.played["lag-back"] }

func (s *Server) lag() time.Duration {
	switch {
	case s.played["lag-30s"]:
		return 30 * time.Second
	case s.played["lag-5s"]:
		return 5 * time.Second
	}
	return 0
}

// changing keeps what an app shows until now, right before it changes. requested says that a client asked for it.
func (s *Server) changing(a *app, requested bool) {
	if !s.lags() {
		return
	}
	kept := shot{until: time.Now(), app: a.shown(), secrets: s.listed(a), revisions: s.shownRevisions(a), replicas: map[string]any{},
		reads: map[string]int{}, requested: requested}
	for _, r := range a.revisions {
		kept.replicas[r.name] = s.shownReplicas(r)
	}
	a.past = append(a.past, kept)
}

// read is what a read shows: what there is, or, where reads lag, what there was.
func (s *Server) read(a *app, what string, now any, from func(shot) any) any {
	if lag := s.lag(); lag > 0 {
		for _, kept := range a.past {
			if kept.until.After(time.Now().Add(-lag)) {
				return from(kept)
			}
		}
	}
	if !s.played["lag-back"] {
		return now
	}
	for i := len(a.past) - 1; i >= 0; i-- {
		if !a.past[i].requested {
			continue
		}
		if a.past[i].reads[what]++; a.past[i].reads[what] == goesBackAt {
			return from(a.past[i])
		}
		break
	}
	return now
}

// goesBackAt is the number of the read after a change that shows once more what was there before.
const goesBackAt = 4
