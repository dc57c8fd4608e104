package settings

import (
	"cmp"
	"errors"
	"strings"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

// Endpoints are where Maia is.
type Endpoints struct{ Region, APIURL, TokenURL string }

// Endpoints reads and checks the endpoints. A region may be left to the runner's deployment.
func (e Environment) Endpoints() (Endpoints, error) {
	endpoints := Endpoints{strings.ToLower(e[Region]), e[APIURL], e[TokenURL]}
	if endpoints.Region != "" && endpoints.APIURL != "" {
		return Endpoints{}, Errorf("%s and %s are both set, expected one of the two", Region, APIURL)
	}
	region := endpoints.Region
	if region == "" {
		region = "eu1" // any that is valid
	}
	_, err := endpoints.Client(region, unread())
	return endpoints, err
}

// Place is where the deployment of a runner names its region.
type Place struct {
	Name  string // such as "task definition"
	Lacks string // what the error says of one that names none, such as "has no MATILLION_REGION"
}

// RegionOf is the region of a runner, given the region in its deployment, which may be empty. It is empty if a configured URL
// makes it needless.
func (e Endpoints) RegionOf(discovered string, place Place) (string, error) {
	switch {
	case e.APIURL != "":
		return "", nil
	case e.Region == "" && discovered == "":
		return "", Errorf("the runner's %s %s, and %s is not set", place.Name, place.Lacks, Region)
	case discovered != "" && !isRegion(discovered):
		return "", Errorf("MATILLION_REGION in the runner's %s is %q, which is no region of Maia's (eu1, us1, au1)", place.Name,
			discovered).
			WithHint("correct it there; if the runner works with it, "+
				"set %s of this function to that of the account's region, such as https://eu1.api.matillion.com/dpc", APIURL)
	case e.Region == "":
		return discovered, nil
	case discovered != "" && discovered != e.Region:
		return "", Errorf("%s is %s, but that in the runner's %s is %s", Region, e.Region, place.Name, discovered)
	}
	return e.Region, nil
}

// isRegion reports whether Maia has this region.
func isRegion(region string) bool {
	_, err := Endpoints{}.Client(region, unread())
	return err == nil
}

// unread has a made-up credential, for checks that are not about it.
func unread() maia.Config {
	return maia.Config{ClientID: "not-read-yet", ClientSecret: maia.NewSecret("not-read-yet")}
}

// Client is one of the Maia API in a region, with the rest of the configuration. Its errors name the function's variables.
func (e Endpoints) Client(region string, config maia.Config) (*maia.Client, error) {
	config.Region, config.APIURL, config.TokenURL = region, e.APIURL, e.TokenURL
	client, err := maia.New(config)
	var wrong *maia.ConfigError
	if errors.As(err, &wrong) {
		variables := map[string]string{
			"Region": Region, "APIURL": APIURL, "TokenURL": TokenURL, "ClientID": "the client ID", "ClientSecret": "the client secret",
		}
		return nil, Errorf("%s %s", cmp.Or(variables[wrong.Field], wrong.Field), wrong.Problem)
	}
	return client, err
}
