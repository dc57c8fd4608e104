// Package settings reads what the functions of all clouds take from their environment: variables that begin with MAIA_.
// Every error is of the kind [rotate.Configuration] and names the variable, what is wrong with it, and what is expected.
package settings

import (
	"cmp"
	"errors"
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
	Every          = "MAIA_ROTATE_EVERY" // not where the trigger decides when a rotation is due
)

// Common are the variables that all functions have, but for [Every].
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

// List is a variable's value, which is comma-separated.
func (e Environment) List(name string) []string {
	var items []string
	for item := range strings.SplitSeq(e[name], ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// Credential is that of the Maia API, or zero where the reference variable names the secret that holds it. A function that
// has no such variable, because its platform puts the secret itself into the environment, gives an empty name.
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
		return maia.Credentials{}, Errorf("%s is not set: it names the secret with the client_id and client_secret of the Maia API credential", reference)
	case id == "":
		return maia.Credentials{}, Errorf("%s is set and %s is not, expected both", ClientSecret, ClientID)
	case secret == "":
		return maia.Credentials{}, Errorf("%s is set and %s is not, expected both", ClientID, ClientSecret)
	}
	return maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)}, nil
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

// Policy is the default one, changed by the variables. No time-out is longer than the limit, which is how long the function
// may run.
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
)

// Age is the one at which a runner's credentials are due for rotation.
func (e Environment) Age() (time.Duration, error) {
	text := e[Every]
	if text == "" {
		return defaultEvery, nil
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < shortestEvery {
		return 0, Errorf("%s is %q, expected a duration like 720h, %s or more", Every, text, shortestEvery)
	}
	return parsed, nil
}

// Endpoints say where Maia is.
type Endpoints struct{ Region, APIURL, TokenURL string }

// Endpoints are checked, but for a region that is the runner's own and not known yet.
func (e Environment) Endpoints(userAgent string) (Endpoints, error) {
	endpoints := Endpoints{strings.ToLower(e[Region]), e[APIURL], e[TokenURL]}
	if endpoints.Region != "" && endpoints.APIURL != "" {
		return Endpoints{}, Errorf("%s and %s are both set, expected one of the two", Region, APIURL)
	}
	region := endpoints.Region
	if region == "" {
		region = "eu1" // any that is valid
	}
	_, err := endpoints.client(region, unread, userAgent)
	return endpoints, err
}

// Place is where the deployment of a runner says in which region it is.
type Place struct {
	Name  string // such as "task definition"
	Lacks string // what it is told if it does not say, such as "has no MATILLION_REGION"
}

// Client is one of the Maia API for a runner, with the region that its deployment says; empty if it says nothing.
func (e Endpoints) Client(discovered string, place Place, credentials maia.Credentials, userAgent string) (*maia.Client, error) {
	region, err := e.RegionOf(discovered, place)
	if err != nil {
		return nil, err
	}
	return e.client(region, credentials, userAgent)
}

// RegionOf is the region of a runner; empty if the configured URL makes it needless.
func (e Endpoints) RegionOf(discovered string, place Place) (string, error) {
	switch {
	case e.APIURL != "":
		return "", nil
	case e.Region == "" && discovered == "":
		return "", Errorf("the runner's %s %s, and %s is not set", place.Name, place.Lacks, Region)
	case discovered != "" && !e.isRegion(discovered):
		return "", Errorf("MATILLION_REGION in the runner's %s is %q, which is no region of Maia's (eu1, us1, au1)", place.Name,
			discovered).
			WithHint("correct it there; if the runner works with it, set %s of this function to that of the account's region, such as https://eu1.api.matillion.com/dpc", APIURL)
	case e.Region == "":
		return discovered, nil
	case discovered != "" && discovered != e.Region:
		return "", Errorf("%s is %s, but that in the runner's %s is %s", Region, e.Region, place.Name, discovered)
	}
	return e.Region, nil
}

// isRegion reports whether Maia has this region.
func (e Endpoints) isRegion(region string) bool {
	_, err := e.client(region, unread, "")
	return err == nil
}

// unread stands for a credential in checks that are not about it.
var unread = maia.Credentials{ClientID: "not-read-yet", ClientSecret: maia.NewSecret("not-read-yet")}

// client's errors name the function's variables.
func (e Endpoints) client(region string, credentials maia.Credentials, userAgent string) (*maia.Client, error) {
	client, err := maia.New(maia.Config{
		Region: region, APIURL: e.APIURL, TokenURL: e.TokenURL,
		ClientID: credentials.ClientID, ClientSecret: credentials.ClientSecret, UserAgent: userAgent,
	})
	var wrong *maia.ConfigError
	if errors.As(err, &wrong) {
		variables := map[string]string{"Region": Region, "APIURL": APIURL, "TokenURL": TokenURL, "ClientID": "the client ID", "ClientSecret": "the client secret"}
		return nil, Errorf("%s %s", cmp.Or(variables[wrong.Field], wrong.Field), wrong.Problem)
	}
	return client, err
}

// Errorf is an error of the configuration.
func Errorf(format string, args ...any) *rotate.Error {
	return rotate.Errorf(rotate.Configuration, format, args...)
}
