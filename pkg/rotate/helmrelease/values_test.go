package helmrelease

import (
	"maps"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

func releaseWith(values map[string]any) *release.Release {
	return &release.Release{Name: "runner", Version: 3, Config: values,
		Chart: &chart.Chart{Metadata: &chart.Metadata{Name: "c"}, Values: map[string]any{
			"config": map[string]any{"of": "the chart", "oauthClientId": "default"},
		}}}
}

func TestValuesThatCannotBe(t *testing.T) {
	const secret = "Zq8wN3tVb6Rk1YxLm5Hs0Dj2"
	for name, test := range map[string]struct {
		path   string
		values map[string]any
		want   string
	}{
		"no table": {"config.oauthClientSecret", map[string]any{}, "release runner has no value config.oauthClientSecret"},
		"no value": {"config.oauthClientSecret", map[string]any{"config": map[string]any{"other": secret}},
			"release runner has no value config.oauthClientSecret"},
		"null": {"config.oauthClientSecret", map[string]any{"config": map[string]any{"oauthClientSecret": nil}},
			"release runner has no value config.oauthClientSecret"},
		"a number": {"config.oauthClientSecret", map[string]any{"config": map[string]any{"oauthClientSecret": 12.5}},
			"is of type float64, expected a string"},
		"a table": {"config.oauthClientSecret",
			map[string]any{"config": map[string]any{"oauthClientSecret": map[string]any{"a": secret}}},
			"is of type map[string]interface {}, expected a string"},
		"a list": {"config.oauthClientSecret", map[string]any{"config": map[string]any{"oauthClientSecret": []any{secret}}},
			"is of type []interface {}, expected a string"},
		"empty": {"config.oauthClientSecret", map[string]any{"config": map[string]any{"oauthClientSecret": ""}},
			"expected a string that is not empty"},
		"text for tables": {"config.of.it", map[string]any{}, "has no value config.of.it"},
		"no client ID":    {"other.secret", map[string]any{"other": map[string]any{"secret": secret}}, "has no value other.oauthClientId"},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := valuesOf(releaseWith(test.values))
			if err != nil {
				t.Fatal(err)
			}
			_, err = values.credentials(test.path)
			if err == nil || rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want a configuration error with %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the error holds the value")
			}
		})
	}
}

func TestCredentialsOfValues(t *testing.T) {
	given := map[string]any{"config": map[string]any{"oauthClientSecret": "s3cret", "oauthClientId": "client"}}
	values, err := valuesOf(releaseWith(given))
	if err != nil {
		t.Fatal(err)
	}
	got, err := values.credentials(defaultSecretPath)
	if want := (maia.Credentials{ClientID: "client", ClientSecret: maia.NewSecret("s3cret")}); err != nil || !got.Equal(want) {
		t.Errorf("credentials of client %q, error %v", got.ClientID, err)
	}
	if len(given["config"].(map[string]any)) != 2 {
		t.Error("the release's own values were changed")
	}
	top, err := valuesOf(releaseWith(map[string]any{"secret": "s", "oauthClientId": "client"}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := top.credentials("secret"); err != nil || got.ClientID != "client" {
		t.Errorf("at the top: client %q, error %v", got.ClientID, err)
	}
}

func TestDifferOnlyIn(t *testing.T) {
	base := func() map[string]any {
		return map[string]any{"config": map[string]any{"oauthClientSecret": "a", "n": 12345678901.0}, "list": []any{"x"}}
	}
	other, more := base(), base()
	other["config"].(map[string]any)["oauthClientSecret"] = "b"
	more["extra"] = true
	if !differOnlyIn(defaultSecretPath, base(), other) {
		t.Error("only the secret differs, and it is not said")
	}
	if differOnlyIn(defaultSecretPath, base(), more) {
		t.Error("something else differs, and it is not said")
	}
	if maps.EqualFunc(base(), other, func(a, b any) bool { return &a == &b }) {
		t.Error("the values were made one")
	}
	if base()["config"].(map[string]any)["oauthClientSecret"] != "a" || other["config"].(map[string]any)["oauthClientSecret"] != "b" {
		t.Error("the values were changed")
	}
}

func TestCheckPath(t *testing.T) {
	for path, ok := range map[string]bool{"config.oauthClientSecret": true, "secret": true, "": false, ".a": false, "a.": false,
		"a..b": false} {
		if err := checkPath(path); (err == nil) != ok {
			t.Errorf("path %q: error %v", path, err)
		}
	}
}

// Records that would take up the memory of the function are refused by name, one or many.
func TestRecordsThatAreTooLong(t *testing.T) {
	record := func(name string, length int) corev1.Secret {
		return corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"release": packed(make([]byte, length))}}
	}
	if err := checkLength(record("a", 1<<20), record("b", longestRecord), corev1.Secret{}); err != nil {
		t.Error(err)
	}
	for _, records := range [][]corev1.Secret{
		{record("a", 1<<20), record("bad", longestRecord+1)},
		{record("a", longestRecord), record("b", longestRecord), record("c", longestRecord), record("d", longestRecord), record("bad", 1)},
	} {
		if err := checkLength(records...); rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), "Secret bad") {
			t.Errorf("got %v", err)
		}
	}
}
