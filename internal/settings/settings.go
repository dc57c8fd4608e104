// Package settings reads what the functions of all clouds take from their environment: variables that begin with MAIA_.
// Every error is of the kind [rotate.Configuration] and names the variable, what is wrong with it, and what is expected.
package settings

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The variables that all functions have.
const (
	ClientID       = "MAIA_CLIENT_ID"
	ClientSecret   = "MAIA_CLIENT_SECRET"
	AgentIDs       = "MAIA_AGENT_IDS"
	Region         = "MAIA_REGION"
	APIURL         = "MAIA_API_URL"
	TokenURL       = "MAIA_TOKEN_URL"
	Drain          = "MAIA_ROTATE_DRAIN"
	DrainTimeout   = "MAIA_ROTATE_DRAIN_TIMEOUT"
	ConnectTimeout = "MAIA_ROTATE_CONNECT_TIMEOUT"
)

// The variables of a function that itself decides when a rotation is due.
const (
	Every  = "MAIA_ROTATE_EVERY"
	Window = "MAIA_ROTATE_WINDOW"
	First  = "MAIA_ROTATE_FIRST"
	Soak   = "MAIA_ROTATE_SOAK"
)

// Scheduling are these.
var Scheduling = []string{Every, Window, First, Soak}

// Common are the variables that all functions have.
var Common = []string{ClientID, ClientSecret, AgentIDs, Region, APIURL, TokenURL, Drain, DrainTimeout, ConnectTimeout}

// Environment is the MAIA_ variables of an environment.
type Environment map[string]string

// Read takes an environment in the form of os.Environ. A variable that is not among the known ones is an error.
func Read(environ []string, known []string) (Environment, error) {
	env := Environment{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "MAIA_") {
			env[name] = strings.TrimSpace(value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !slices.Contains(known, name) {
			return nil, Errorf("the variable %s is not known; did you mean %s?", name, nearest(name, known))
		}
	}
	return env, nil
}

// nearest is the known variable that an unknown one was probably meant to be.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		return levenshtein.ComputeDistance(name, a) - levenshtein.ComputeDistance(name, b)
	})
}

// List has the items of a comma-separated variable.
func (e Environment) List(name string) []string {
	var items []string
	for item := range strings.SplitSeq(e[name], ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Credential is the credential of the Maia API; zero if the reference variable is set, which names the secret that holds it. The
// name of that variable is empty for a function whose platform puts the secret itself into the environment.
func (e Environment) Credential(reference string) (maia.Credentials, error) {
	id, secret := e[ClientID], e[ClientSecret]
	switch direct := id != "" || secret != ""; {
	case e[reference] != "" && direct:
		return maia.Credentials{}, Errorf("%s and %s/%s are both set, expected one of the two", reference, ClientID, ClientSecret)
	case e[reference] != "":
		return maia.Credentials{}, nil
	case !direct && reference == "":
		return maia.Credentials{}, Errorf("%s and %s are not set: they are the Maia API credential", ClientID, ClientSecret)
	case !direct:
		return maia.Credentials{}, Errorf("%s is not set: it names the secret with the client_id and client_secret of the Maia API credential",
			reference)
	case id == "":
		return maia.Credentials{}, Errorf("%s is set and %s is not, expected both", ClientSecret, ClientID)
	case secret == "":
		return maia.Credentials{}, Errorf("%s is set and %s is not, expected both", ClientID, ClientSecret)
	}
	return maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)}, nil
}

// Shared is what all functions take from their environment, checked.
type Shared struct {
	AgentIDs    []string         // the agents that may be served; empty: whichever the deployments name
	Credentials maia.Credentials // of the Maia API; zero where a variable names the secret that holds them
	Endpoints
	Policy rotate.Policy
}

// Shared reads it, with the reference of [Environment.Credential] and the limit of [Environment.Policy].
func (e Environment) Shared(reference string, limit time.Duration) (shared Shared, err error) {
	if shared.Credentials, err = e.Credential(reference); err != nil {
		return shared, err
	}
	if shared.AgentIDs, err = e.Agents(); err != nil {
		return shared, err
	}
	if shared.Endpoints, err = e.Endpoints(); err != nil {
		return shared, err
	}
	shared.Policy, err = e.Policy(limit)
	return shared, err
}

// Agents are the agents that the function may serve.
func (e Environment) Agents() ([]string, error) {
	ids := e.List(AgentIDs)
	for _, id := range ids {
		if err := maia.CheckAgentID(id); err != nil {
			return nil, Errorf("%s has %q, expected agent IDs (UUIDs), comma-separated", AgentIDs, id)
		}
	}
	return ids, nil
}

// Policy is the default one, changed by the variables. No time-out is longer than the limit: the time that the function has.
func (e Environment) Policy(limit time.Duration) (rotate.Policy, error) {
	policy := rotate.DefaultPolicy()
	if drain := e[Drain]; drain != "" {
		policy.Drain = rotate.Drain(strings.ToLower(drain))
		if policy.Drain != rotate.DrainPause && policy.Drain != rotate.DrainNone {
			return policy, Errorf("%s is %q, expected %s or %s", Drain, drain, rotate.DrainPause, rotate.DrainNone)
		}
	}
	for _, field := range []struct {
		name string
		into *time.Duration
	}{{DrainTimeout, &policy.DrainTimeout}, {ConnectTimeout, &policy.ConnectTimeout}} {
		text := e[field.name]
		if text == "" {
			continue
		}
		parsed, err := time.ParseDuration(text)
		if err != nil || parsed <= 0 || parsed > limit {
			return policy, Errorf("%s is %q, expected a duration like 5m, above 0 and at most %s", field.name, text, limit)
		}
		*field.into = parsed
	}
	return policy, nil
}

const (
	defaultEvery  = 720 * time.Hour
	shortestEvery = time.Hour
	defaultSoak   = 24 * time.Hour
)

// Schedule is when runners are rotated by a function that decides it itself.
type Schedule struct {
	Every  time.Duration  // the age at which credentials are due
	Window *rotate.Window // nil: always
	First  []string       // agent IDs, see [fleet.Fleet]
	Soak   time.Duration
}

// Schedule reads it. The runners that are to be first must be among the agents that the function may serve, where these are listed.
func (e Environment) Schedule(agents []string) (schedule Schedule, err error) {
	if schedule.Every, err = e.atLeast(Every, defaultEvery, shortestEvery); err != nil {
		return schedule, err
	}
	if text := e[Window]; text != "" {
		if schedule.Window, err = rotate.ParseWindow(text); err != nil {
			return schedule, Errorf("%s is %q: %w; expected days and a time like Sat,Sun 02:00-05:00 Europe/London", Window, text, err)
		}
	}
	schedule.First = e.List(First)
	for _, id := range schedule.First {
		if !slices.ContainsFunc(agents, func(agent string) bool { return strings.EqualFold(agent, id) }) {
			return schedule, Errorf("%s has %q, expected agents that are in %s", First, id, AgentIDs)
		}
	}
	if len(schedule.First) == 0 && e[Soak] != "" {
		return schedule, Errorf("%s is set and %s is not, expected both", Soak, First)
	}
	schedule.Soak, err = e.atLeast(Soak, defaultSoak, 0)
	return schedule, err
}

// atLeast is a duration; the default where it is not set.
func (e Environment) atLeast(name string, otherwise, least time.Duration) (time.Duration, error) {
	text := e[name]
	if text == "" {
		return otherwise, nil
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < least {
		return 0, Errorf("%s is %q, expected a duration like %dh, %s or more", name, text, int(otherwise.Hours()), least)
	}
	return parsed, nil
}

// Errorf is an error of the configuration.
func Errorf(format string, args ...any) *rotate.Error {
	return rotate.Errorf(rotate.Configuration, format, args...)
}
