package rotation

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/function/functiontest"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

const (
	agentID   = "0b7a1f6e-3d52-4c1b-9a37-2f8f3f5b6c10"
	cluster   = "projects/acme/locations/europe-west1/clusters/runners"
	version   = "projects/acme/secrets/maia-api/versions/latest"
	apiSecret = "KZXW6YTBOJRGC6TJNZTQ"
)

// valid is an environment with everything set that can be set together.
func valid() map[string]string {
	return map[string]string{
		"MAIA_HELM_RELEASES":          cluster + ", " + cluster + "/namespaces/second/releases/runner",
		"MAIA_HELM_SECRET_PATH":       "config.secret",
		"MAIA_CREDENTIALS_SECRET":     version,
		"MAIA_AGENT_IDS":              agentID,
		"MAIA_REGION":                 "EU1",
		"MAIA_ROTATE_EVERY":           "240h",
		"MAIA_ROTATE_DRAIN":           "none",
		"MAIA_ROTATE_DRAIN_TIMEOUT":   "90s",
		"MAIA_ROTATE_CONNECT_TIMEOUT": "10m",
		"PATH":                        "/usr/bin",
	}
}

func TestParseConfig(t *testing.T) {
	config, err := ParseConfig(functiontest.Environ(valid()))
	if err != nil {
		t.Fatal(err)
	}
	want := []Release{{cluster, "matillion-agent", "matillion-agent"}, {cluster, "second", "runner"}}
	if !slices.Equal(config.Releases, want) || config.SecretPath != "config.secret" || config.CredentialsSecret != version ||
		config.Endpoints.Region != "eu1" {
		t.Errorf("got %+v", config)
	}
	if p := config.Policy; p.Every != 240*time.Hour || p.Drain != rotate.DrainNone || p.DrainTimeout != 90*time.Second ||
		p.ConnectTimeout != 10*time.Minute {
		t.Errorf("the policy is %+v", p)
	}
	if got := config.Releases[1].String(); got != cluster+"/namespaces/second/releases/runner" {
		t.Errorf("the release calls itself %s", got)
	}
	if got := config.Releases[1].Project(); got != "acme" {
		t.Errorf("its project is %s", got)
	}
}

func TestReleases(t *testing.T) {
	const inKubeconfig = "namespaces/a/releases/b"
	for text, test := range map[string]struct {
		kubeconfig bool
		want       []Release
		words      string
	}{
		cluster:                              {want: []Release{{cluster, "matillion-agent", "matillion-agent"}}},
		cluster + ",":                        {want: []Release{{cluster, "matillion-agent", "matillion-agent"}}},
		cluster + "/namespaces/n":            {want: []Release{{cluster, "n", "matillion-agent"}}},
		cluster + "/namespaces/n/releases/r": {want: []Release{{cluster, "n", "r"}}},
		"projects/example.com:acme/locations/europe-west1-b/clusters/c": {
			want: []Release{{"projects/example.com:acme/locations/europe-west1-b/clusters/c", "matillion-agent", "matillion-agent"}},
		},
		inKubeconfig:   {kubeconfig: true, want: []Release{{"", "a", "b"}}},
		"namespaces/a": {kubeconfig: true, want: []Release{{"", "a", "matillion-agent"}}},

		"":                                   {words: "MAIA_HELM_RELEASES is not set"},
		" , ":                                {words: "MAIA_HELM_RELEASES is not set"},
		cluster + "/":                        {words: "item 1 of MAIA_HELM_RELEASES"},
		"/" + cluster:                        {words: "item 1 of MAIA_HELM_RELEASES"},
		cluster + "," + "x":                  {words: `item 2 of MAIA_HELM_RELEASES is "x", expected as projects/PROJECT`},
		cluster + "/releases/r":              {words: "item 1"},
		cluster + "/releases/r/namespaces/n": {words: "item 1"},
		cluster + "/namespaces/n/releases/r/pods/p": {words: "item 1"},
		cluster + "/namespaces/N":                   {words: "item 1"},
		cluster + "/namespaces/":                    {words: "item 1"},
		cluster + "/namespaces/a b":                 {words: "item 1"},
		cluster + "/namespaces/..":                  {words: "item 1"},
		"projects/acme/zones/z/clusters/c":          {words: "item 1"},
		"projects/acme":                             {words: "item 1"},
		cluster + "," + cluster + "/namespaces/matillion-agent": {words: "names " + cluster +
			"/namespaces/matillion-agent/releases/matillion-agent twice"},
		cluster + " " + cluster: {words: "item 1"},
		inKubeconfig + "/x": {kubeconfig: true,
			words: "expected as namespaces/NAMESPACE/releases/RELEASE, in the cluster of KUBECONFIG"},
		cluster + "/namespaces/a":     {kubeconfig: true, words: "item 1"},
		"namespaces/b":                {words: "item 1"},
		strings.Repeat("a/", 500_000): {words: "item 1"},
	} {
		env := valid()
		env["MAIA_HELM_RELEASES"] = text
		if test.kubeconfig {
			env["KUBECONFIG"] = "/etc/kubeconfig"
		}
		config, err := ParseConfig(functiontest.Environ(env))
		switch {
		case test.words == "" && (err != nil || !slices.Equal(config.Releases, test.want)):
			t.Errorf("%s: got %v, %v, expected %v", text, config.Releases, err, test.want)
		case test.words != "" && (rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), test.words)):
			t.Errorf("%.80s: got %.300v, expected %q", text, err, test.words)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for name, test := range map[string]struct {
		change map[string]string // empty: unset
		words  []string
	}{
		"several releases and no agents": {map[string]string{"MAIA_AGENT_IDS": ""}, []string{"MAIA_AGENT_IDS is not set", "several releases"}},
		"secret without a version": {map[string]string{"MAIA_CREDENTIALS_SECRET": "projects/acme/secrets/maia-api"},
			[]string{"MAIA_CREDENTIALS_SECRET", "versions/VERSION", "latest"}},
		"no credential":   {map[string]string{"MAIA_CREDENTIALS_SECRET": ""}, []string{"MAIA_CREDENTIALS_SECRET is not set"}},
		"two credentials": {map[string]string{"MAIA_CLIENT_ID": "a", "MAIA_CLIENT_SECRET": apiSecret}, []string{"both set"}},
		"a typing error": {map[string]string{"MAIA_HELM_RELEASE": cluster},
			[]string{"MAIA_HELM_RELEASE is not known", "MAIA_HELM_RELEASES"}},
		"every":  {map[string]string{"MAIA_ROTATE_EVERY": "1s"}, []string{"MAIA_ROTATE_EVERY", "1h0m0s or more"}},
		"drain":  {map[string]string{"MAIA_ROTATE_DRAIN": "x"}, []string{"MAIA_ROTATE_DRAIN"}},
		"region": {map[string]string{"MAIA_REGION": "x"}, []string{"MAIA_REGION"}},
		"agent":  {map[string]string{"MAIA_AGENT_IDS": "x"}, []string{"MAIA_AGENT_IDS"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := valid()
			maps.Copy(env, test.change)
			maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
			_, err := ParseConfig(functiontest.Environ(env))
			if rotate.KindOf(err) != rotate.Configuration {
				t.Fatalf("got %v", err)
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is missing in: %v", word, err)
				}
			}
			if strings.Contains(err.Error(), apiSecret) {
				t.Errorf("a secret is in: %v", err)
			}
		})
	}
}

func TestOneReleaseNeedsNoAgents(t *testing.T) {
	env := valid()
	env["MAIA_HELM_RELEASES"] = cluster
	delete(env, "MAIA_AGENT_IDS")
	if _, err := ParseConfig(functiontest.Environ(env)); err != nil {
		t.Error(err)
	}
}
