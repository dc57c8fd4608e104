package helmrelease

import (
	"fmt"
	"reflect"
	"strings"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Where the vendor's chart has its values.
const (
	defaultSecretPath = "config.oauthClientSecret"
	clientIDKey       = "oauthClientId" // next to the secret
	agentIDPath       = "dpcAgent.dpcAgent.env.agentId"
	regionPath        = "dpcAgent.dpcAgent.env.matillionRegion"
)

// values are those of a revision, the chart's own included.
type values struct {
	chartutil.Values
	release string
}

// valuesOf copies the values, because Helm may change what it coalesces.
func valuesOf(r *release.Release) (values, error) {
	coalesced, err := chartutil.CoalesceValues(r.Chart, deepCopy(r.Config))
	if err != nil {
		// the cause may quote them
		return values{}, rotate.Errorf(rotate.Configuration, "the values of release %s, revision %d, do not fit its chart", r.Name, r.Version)
	}
	return values{coalesced, r.Name}, nil
}

// text is the string at a path.
func (v values) text(path string) (string, error) {
	at := any(map[string]any(v.Values))
	for _, key := range strings.Split(path, ".") {
		table, ok := at.(map[string]any)
		if !ok {
			table, ok = at.(chartutil.Values)
		}
		if at = table[key]; !ok || at == nil {
			return "", rotate.Errorf(rotate.Configuration, "release %s has no value %s", v.release, path).
				WithHint("check that the release is a runner's, and the configured path of its client_secret")
		}
	}
	text, ok := at.(string)
	if !ok || text == "" {
		return "", rotate.Errorf(rotate.Configuration, "the value %s of release %s is of type %T, expected a string that is not empty",
			path, v.release, at)
	}
	return text, nil
}

// credentials are the runner's, as the values say.
func (v values) credentials(secretPath string) (maia.Credentials, error) {
	secret, err := v.text(secretPath)
	if err != nil {
		return maia.Credentials{}, err
	}
	id, err := v.text(sibling(secretPath, clientIDKey))
	return maia.Credentials{ClientID: id, ClientSecret: maia.NewSecret(secret)}, err
}

// sibling is the path of a key in the same table.
func sibling(path, key string) string {
	return path[:strings.LastIndex(path, ".")+1] + key
}

// override is the values with nothing but the secret.
func override(path string, secret maia.Secret) map[string]any {
	keys := strings.Split(path, ".")
	var at any = secret.Reveal()
	for i := len(keys) - 1; i >= 0; i-- {
		at = map[string]any{keys[i]: at}
	}
	return at.(map[string]any)
}

// checkPath is for a configured path.
func checkPath(path string) error {
	for key := range strings.SplitSeq(path, ".") {
		if key == "" {
			return fmt.Errorf("%q is not a path of values, expected one like %s", path, defaultSecretPath)
		}
	}
	return nil
}

// differOnlyIn reports whether two sets of values are the same but for the one at a path. Helm's own functions would log values
// that do not fit together.
func differOnlyIn(path string, a, b map[string]any) bool {
	a, b = deepCopy(a), deepCopy(b)
	return without(path, a) && without(path, b) && reflect.DeepEqual(a, b)
}

// without empties the value at a path, and reports whether it could: every part of the path but the last must be a table.
func without(path string, values map[string]any) bool {
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		if _, there := values[key]; !there {
			values[key] = map[string]any{}
		}
		table, ok := values[key].(map[string]any)
		if !ok {
			return false
		}
		values = table
	}
	values[keys[len(keys)-1]] = nil
	return true
}

// deepCopy copies values, which are what YAML or JSON made.
func deepCopy(v map[string]any) map[string]any {
	return copyOf(v).(map[string]any)
}

func copyOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, value := range v {
			copied[key] = copyOf(value)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, value := range v {
			copied[i] = copyOf(value)
		}
		return copied
	}
	return v
}
