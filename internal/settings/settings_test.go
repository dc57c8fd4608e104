package settings_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/settings"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	agent     = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	reference = "MAIA_CREDENTIALS_SECRET"
	other     = "ffffffff-3d52-4c1b-9a37-2f8f3f5b6c10"
	secret    = "KZXW6YTBOJRGC6TJNZTQ"
)

var known = slices.Concat([]string{reference, "MAIA_HELM_RELEASES"}, settings.Scheduling, settings.Common)

// everything reads all that an environment can hold.
func everything(environ []string) error {
	env, err := settings.Read(environ, known)
	if err != nil {
		return err
	}
	for _, read := range []func() error{
		func() error { _, err := env.Credential(reference); return err },
		func() error { _, err := env.Agents(); return err },
		func() error { _, err := env.Policy(time.Hour); return err },
		func() error { _, err := env.Schedule([]string{agent}); return err },
		func() error { _, err := env.Endpoints(); return err },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

func TestBadEnvironments(t *testing.T) {
	for name, test := range map[string]struct {
		environ []string
		words   []string
	}{
		"unknown":       {[]string{"MAIA_HELM_RELEASE=x"}, []string{"MAIA_HELM_RELEASE is not known", "did you mean MAIA_HELM_RELEASES?"}},
		"no credential": {nil, []string{reference + " is not set", "client_id and client_secret"}},
		"both credentials": {[]string{reference + "=x", "MAIA_CLIENT_ID=a"},
			[]string{reference, "MAIA_CLIENT_ID/MAIA_CLIENT_SECRET", "expected one of the two"}},
		"no client ID": {[]string{"MAIA_CLIENT_SECRET=" + secret},
			[]string{"MAIA_CLIENT_SECRET is set and MAIA_CLIENT_ID is not", "expected both"}},
		"no client secret": {[]string{"MAIA_CLIENT_ID=a"}, []string{"MAIA_CLIENT_ID is set and MAIA_CLIENT_SECRET is not", "expected both"}},
		"agent": {[]string{reference + "=x", "MAIA_AGENT_IDS=" + agent + ", nobody"},
			[]string{"MAIA_AGENT_IDS", `"nobody"`, "UUIDs"}},
		"drain": {[]string{reference + "=x", "MAIA_ROTATE_DRAIN=wait"},
			[]string{"MAIA_ROTATE_DRAIN", `"wait"`, "expected pause or none"}},
		"no duration": {[]string{reference + "=x", "MAIA_ROTATE_DRAIN_TIMEOUT=5"},
			[]string{"MAIA_ROTATE_DRAIN_TIMEOUT", `"5"`, "expected a duration like 5m"}},
		"too long": {[]string{reference + "=x", "MAIA_ROTATE_CONNECT_TIMEOUT=61m"},
			[]string{"MAIA_ROTATE_CONNECT_TIMEOUT", `"61m"`, "at most 1h0m0s"}},
		"negative": {[]string{reference + "=x", "MAIA_ROTATE_CONNECT_TIMEOUT=-1m"},
			[]string{"MAIA_ROTATE_CONNECT_TIMEOUT", `"-1m"`, "above 0"}},
		"too often": {[]string{reference + "=x", "MAIA_ROTATE_EVERY=1m"},
			[]string{"MAIA_ROTATE_EVERY", `"1m"`, "expected a duration like 720h, 1h0m0s or more"}},
		"days": {[]string{reference + "=x", "MAIA_ROTATE_EVERY=30d"},
			[]string{"MAIA_ROTATE_EVERY", `"30d"`, "expected a duration like 720h"}},
		"window": {[]string{reference + "=x", "MAIA_ROTATE_WINDOW=nights"},
			[]string{"MAIA_ROTATE_WINDOW", `"nights" is no time`, "expected days and a time like Sat,Sun 02:00-05:00 Europe/London"}},
		"first": {[]string{reference + "=x", "MAIA_ROTATE_FIRST=" + other},
			[]string{"MAIA_ROTATE_FIRST", other, "expected agents that are in MAIA_AGENT_IDS"}},
		"soak without first": {[]string{reference + "=x", "MAIA_ROTATE_SOAK=1h"},
			[]string{"MAIA_ROTATE_SOAK is set and MAIA_ROTATE_FIRST is not"}},
		"soak": {[]string{reference + "=x", "MAIA_ROTATE_FIRST=" + agent, "MAIA_ROTATE_SOAK=1 day"},
			[]string{"MAIA_ROTATE_SOAK", `"1 day"`, "expected a duration like 24h, 0s or more"}},
		"region": {[]string{reference + "=x", "MAIA_REGION=mars1"}, []string{"MAIA_REGION", "mars1"}},
		"region and URL": {[]string{reference + "=x", "MAIA_REGION=eu1", "MAIA_API_URL=https://maia.test"},
			[]string{"MAIA_REGION and MAIA_API_URL are both set"}},
		"URL":                {[]string{reference + "=x", "MAIA_API_URL=ftp://maia.test"}, []string{"MAIA_API_URL", "https"}},
		"URL without TLS":    {[]string{reference + "=x", "MAIA_API_URL=http://maia.test"}, []string{"MAIA_API_URL", "https"}},
		"token URL":          {[]string{reference + "=x", "MAIA_TOKEN_URL=nothing"}, []string{"MAIA_TOKEN_URL"}},
		"unknown and secret": {[]string{"MAIA_CLIENT_SECRETS=" + secret}, []string{"MAIA_CLIENT_SECRETS is not known", "MAIA_CLIENT_SECRET"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := everything(test.environ)
			if rotate.KindOf(err) != rotate.Configuration {
				t.Fatalf("got %v, expected an error of the configuration", err)
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is missing in: %v", word, err)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a secret is in: %v", err)
			}
		})
	}
}

func TestGoodEnvironment(t *testing.T) {
	env, err := settings.Read([]string{
		"PATH=/bin", "MAIA_CLIENT_ID= id ", "MAIA_CLIENT_SECRET=" + secret, "MAIA_AGENT_IDS= " + agent + " ,, ", "MAIA_REGION=US1",
		"MAIA_ROTATE_DRAIN=NONE", "MAIA_ROTATE_DRAIN_TIMEOUT=7m", "MAIA_ROTATE_CONNECT_TIMEOUT=90s", "MAIA_ROTATE_EVERY=48h",
		"MAIA_ROTATE_WINDOW= Sat 02:00-05:00 Europe/London ", "MAIA_ROTATE_FIRST=" + strings.ToUpper(agent), "MAIA_ROTATE_SOAK=1h",
	}, known)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := env.Credential(reference)
	if err != nil || credential.ClientID != "id" || credential.ClientSecret.Reveal() != secret {
		t.Errorf("the credential is %v, %v", credential, err)
	}
	if agents, err := env.Agents(); err != nil || len(agents) != 1 || agents[0] != agent {
		t.Errorf("the agents are %q, %v", agents, err)
	}
	policy, err := env.Policy(time.Hour)
	if err != nil || policy.Drain != rotate.DrainNone || policy.DrainTimeout != 7*time.Minute || policy.ConnectTimeout != 90*time.Second {
		t.Errorf("the policy is %+v, %v", policy, err)
	}
	if schedule, err := env.Schedule([]string{agent}); err != nil || schedule.Every != 48*time.Hour || schedule.Soak != time.Hour ||
		len(schedule.First) != 1 || schedule.Window.String() != "Sat 02:00-05:00 Europe/London" {
		t.Errorf("the schedule is %+v, %v", schedule, err)
	}
	endpoints, err := env.Endpoints()
	if err != nil || endpoints.Region != "us1" {
		t.Errorf("the endpoints are %+v, %v", endpoints, err)
	}
}

func TestDefaults(t *testing.T) {
	env, err := settings.Read([]string{reference + "=x"}, known)
	if err != nil {
		t.Fatal(err)
	}
	if policy, err := env.Policy(time.Hour); err != nil || policy != rotate.DefaultPolicy() {
		t.Errorf("the policy is %+v, %v", policy, err)
	}
	if schedule, err := env.Schedule(nil); err != nil || schedule.Every != 720*time.Hour || schedule.Window != nil ||
		schedule.Soak != 24*time.Hour {
		t.Errorf("the schedule is %+v, %v", schedule, err)
	}
	if credential, err := env.Credential(reference); err != nil || !credential.ClientSecret.IsZero() {
		t.Errorf("the credential is %v, %v", credential, err)
	}
}

// A platform that puts the secret itself into the environment needs no variable that names it.
func TestCredentialWithoutAReference(t *testing.T) {
	for text, environ := range map[string][]string{
		"MAIA_CLIENT_ID and MAIA_CLIENT_SECRET are not set: they are the Maia API credential": nil,
		"MAIA_CLIENT_ID is set and MAIA_CLIENT_SECRET is not, expected both":                  {"MAIA_CLIENT_ID=id"},
		"MAIA_CLIENT_SECRET is set and MAIA_CLIENT_ID is not, expected both":                  {"MAIA_CLIENT_SECRET=" + secret},
	} {
		env, err := settings.Read(environ, known)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := env.Credential(""); rotate.KindOf(err) != rotate.Configuration || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("got %v, expected %s", err, text)
		}
	}
	env, err := settings.Read([]string{"MAIA_CLIENT_ID=id", "MAIA_CLIENT_SECRET=" + secret}, known)
	if err != nil {
		t.Fatal(err)
	}
	if credential, err := env.Credential(""); err != nil || credential.ClientID != "id" || credential.ClientSecret.Reveal() != secret {
		t.Errorf("the credential is %v, %v", credential, err)
	}
}

func TestRegionOfARunner(t *testing.T) {
	for name, test := range map[string]struct {
		endpoints  settings.Endpoints
		discovered string
		want       string
		words      string
	}{
		"the runner's":   {settings.Endpoints{}, "eu1", "eu1", ""},
		"the configured": {settings.Endpoints{Region: "us1"}, "", "us1", ""},
		"both, the same": {settings.Endpoints{Region: "us1"}, "us1", "us1", ""},
		"a URL":          {settings.Endpoints{APIURL: "https://maia.test"}, "us1", "", ""},
		"neither":        {settings.Endpoints{}, "", "", "the runner's values name none, and MAIA_REGION is not set"},
		"of a cloud": {settings.Endpoints{}, "eu-west-1", "",
			`MATILLION_REGION in the runner's values is "eu-west-1", which is no region of Maia's (eu1, us1, au1)`},
		"of a cloud, both": {settings.Endpoints{Region: "eu1"}, "eu-west-1", "", "set MAIA_API_URL of this function"},
		"both, but others": {settings.Endpoints{Region: "us1"}, "eu1", "", "MAIA_REGION is us1, but that in the runner's values is eu1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.endpoints.RegionOf(test.discovered, settings.Place{Name: "values", Lacks: "name none"})
			if got != test.want || (err == nil) != (test.words == "") || err != nil && !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
