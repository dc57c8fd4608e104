package helmrelease_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// template adds one to the release's chart, as whoever may change the release can.
func (r *rig) template(name, text string) {
	r.t.Helper()
	r.record(func(rel *release.Release) {
		rel.Chart.Templates = append(rel.Chart.Templates, &chart.File{Name: "templates/" + name, Data: []byte(text)})
	})
}

func (r *rig) login() {
	r.t.Helper()
	_, err := r.maia.Connect(rigAgent, rigClient, r.maia.LiveSecret(rigAgent))
	r.must(err)
}

// TestAChartThatRendersWithoutEndFailsAlone: in time, and without the memory of the function.
func TestAChartThatRendersWithoutEndFailsAlone(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, text := range map[string]string{
		"one text of 600 MB":      `{{ repeat 600000000 "x" | trunc 1 }}`,
		"nested ranges":           `{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`,
		"a text that doubles":     `{{ $x := "xxxxxxxx" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}`,
		"a long list":             `{{ len (until 2000000000) }}`,
		"a long output":           `{{ range until 100000 }}{{ repeat 1000 "# x" }}{{ "\n" }}{{ end }}`,
		"a width of an indention": `{{ indent 600000000 "x" | trunc 1 }}`,
		"replaced by itself":      `{{ $x := repeat 1000000 "x" }}{{ replace "x" $x $x | trunc 1 }}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.login()
			r.template("endless.yaml", text)
			began := time.Now()
			r.refused(rotate.Configuration,
				[]string{"rendering the chart of release " + releaseName + " takes more than 20s, 96 MiB of memory or 2 MiB of text"})
			if took := time.Since(began); took > 40*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestALookupOutsideTheNamespaceIsRefused, though the function may read there, as it may where it serves several runners.
func TestALookupOutsideTheNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const value = "of-another-tenant"
	for name, test := range map[string]struct{ text, what string }{
		"copied":       {`# {{ (lookup "v1" "Secret" "%s" "other").data }}`, "secrets other in namespace "},
		"in a failure": {`{{ fail (lookup "v1" "Secret" "%s" "other").data.password }}`, "secrets other in namespace "},
		"all": {`{{ $ns := "%s" }}# {{ len (lookup "v1" "Secret" "" "").items }}`,
			"secrets, which is of the cluster or of all namespaces,"},
		"the namespace": {`# {{ lookup "v1" "Namespace" "" "%s" }}`, "which is of the cluster or of all namespaces,"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other, r := newRig(t, p), newRig(t, p)
			_, err := other.clients.CoreV1().Secrets(other.namespace).Create(t.Context(), &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Name: "other"}, StringData: map[string]string{"password": value},
			}, metav1.CreateOptions{})
			r.must(err)
			r.login()
			r.template("curious.yaml", fmt.Sprintf(test.text, other.namespace))
			r.refused(rotate.Configuration, []string{test.what, "is outside the release's namespace " + r.namespace})
			_, err = r.rotate(time.Second)
			for _, form := range []string{value, "b2YtYW5vdGhlci10ZW5hbnQ="} {
				if err == nil || strings.Contains(err.Error(), form) || strings.Contains(r.log.String(), form) {
					t.Errorf("an answer of the cluster is in the error: %v", err)
				}
			}
		})
	}
}

// TestARenderErrorIsNotQuoted: a chart may have it say anything.
func TestARenderErrorIsNotQuoted(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, test := range map[string]struct{ text, where string }{
		"fail": {`{{ fail (lookup "v1" "Secret" .Release.Namespace "foreign").data.password }}`,
			"at matillion-runner/templates/revealing.yaml:1:3"},
		"required": {`{{ required (print "a value " .Values.config.extra) nil }}`, "at matillion-runner/templates/revealing.yaml:1:3"},
		"no YAML":  {"a: b\n  c: of another: kept", "at matillion-runner/templates/revealing.yaml, which is no YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			r.login()
			r.template("revealing.yaml", test.text)
			r.refused(rotate.Configuration,
				[]string{"the chart of release " + releaseName + " cannot be rendered with its values " + test.where})
			_, err := r.rotate(time.Second)
			for _, value := range []string{"of another", "b2YgYW5vdGhlcg==", "kept"} {
				if err == nil || strings.Contains(err.Error(), value) {
					t.Errorf("a value is quoted: %v", err)
				}
			}
		})
	}
}

// TestWhatIsRenderedIsWhatHelmRenders: with everything that a template may ask for, in the manifest, the notes and the hooks, and
// the record keeps the chart itself.
func TestWhatIsRenderedIsWhatHelmRenders(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	r := newRig(t, p)
	r.template("everything.yaml", `
apiVersion: v1
kind: ServiceAccount
metadata:
  name: everything
  annotations:
    values: {{ toJson .Values.ours | quote }}
    release: {{ with .Release }}
      {{- printf "%s %s %d %t %t %s" .Name .Namespace (add .Revision 0) .IsUpgrade .IsInstall .Service | quote }}{{ end }}
    first: {{ eq .Release.Revision 1 | quote }}
    chart: {{ printf "%s %s" .Chart.Name .Chart.Version | quote }}
    knows: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}
    kube: {{ .Capabilities.KubeVersion.Version | quote }}
    helm: {{ .Capabilities.HelmVersion.Version | quote }}
    file: {{ .Files.Get "of.txt" | quote }}
    template: {{ .Template.Name | quote }}
    found: {{ (lookup "v1" "Secret" .Release.Namespace "foreign").data.password | quote }}
    none: {{ lookup "v1" "Secret" .Release.Namespace "nothing" | toJson | quote }}
    braces: {{ "{{ not }} a {{- template" | quote }}
    tpl: {{ tpl "{{ .Values.config.extra }}" . | quote }}
`)
	r.template("NOTES.txt", "Use {{ \"{{ this }}\" }} of {{ .Values.config.extra }}.\n")
	r.template("hook.yaml",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hook, annotations: {helm.sh/hook: pre-upgrade}}\ndata: {of: {{ "+
			".Values.config.extra }}}\n")
	r.record(func(rel *release.Release) {
		rel.Chart.Files = append(rel.Chart.Files, &chart.File{Name: "of.txt", Data: []byte("a file")})
	})
	want := r.operatorsUpgrade(nil, func(u *action.Upgrade) {
		u.ResetThenReuseValues, u.DisableHooks, u.PostRenderer = true, true, replicas(scaledTo)
	})
	r.rotated()
	got, err := r.helm.Releases.Last(releaseName)
	r.must(err)
	// The differences are the secret, and the number of the revision.
	same := func(text string, secrets ...string) string {
		for _, secret := range secrets {
			text = strings.ReplaceAll(text, base64.StdEncoding.EncodeToString([]byte(secret)), "…")
		}
		return strings.NewReplacer("2 true false", "N true false", "3 true false", "N true false").Replace(text)
	}
	secrets := append(r.maia.Revoked(rigAgent), r.maia.LiveSecret(rigAgent))
	if a, b := same(want.Manifest, secrets...), same(got.Manifest, secrets...); a != b || !strings.Contains(b, "b2YgYW5vdGhlcg==") {
		t.Errorf("Helm itself renders\n%s\nand here is rendered\n%s", a, b)
	}
	if want.Info.Notes != got.Info.Notes || !strings.Contains(got.Info.Notes, "Use {{ this }} of kept.") {
		t.Errorf("notes %q, of Helm's own %q", got.Info.Notes, want.Info.Notes)
	}
	if len(got.Hooks) != 1 || asJSON(got.Hooks) != asJSON(want.Hooks) {
		t.Errorf("hooks\n%s\nof Helm's own\n%s", asJSON(got.Hooks), asJSON(want.Hooks))
	}
	if asJSON(got.Chart) != asJSON(want.Chart) {
		t.Error("the record has another chart")
	}
}

// TestAnObjectOfAnotherNamespaceIsRefused: an upgrade would change it with the function's rights, wide as they may be.
func TestAnObjectOfAnotherNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for name, test := range map[string]struct{ text, what string }{
		"in another namespace": {"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: policy, namespace: %s}\nspec: " +
			"{podSelector: {}}\n",
			"has NetworkPolicy policy, which is in namespace "},
		"a Deployment of another namespace": {"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other, namespace: %s}\nspec: " +
			"{replicas: 0, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: " +
			"registry.test/a}]}}}\n",
			"has Deployment other, which is in namespace "},
		"of the cluster": {"apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: %s}\nvalue: 7\n",
			", which is of the cluster: only what is in the release's own namespace "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, p)
			elsewhere := r.namespace + "-elsewhere"
			r.must(controlplane.ApplyYAML(t.Context(), r.admin,
				[]byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: "+elsewhere+"}\n")))
			r.template("elsewhere.yaml", fmt.Sprintf(test.text, elsewhere))
			r.operatorsUpgrade(nil, func(u *action.Upgrade) { u.ReuseValues = true })
			r.login()
			role := map[string]any{
				"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": elsewhere},
				"roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
				"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User",
					"name": functionUser + "-" + elsewhere}},
			}
			text, err := yaml.Marshal(role)
			r.must(err)
			if r.user, _, err = p.AddUser(t.Context(), functionUser+"-"+elsewhere); err != nil {
				t.Fatal(err)
			}
			r.must(controlplane.ApplyYAML(t.Context(), r.admin, text))
			r.must(controlplane.AwaitAllowed(t.Context(), r.user, elsewhere, "patch", "networking.k8s.io", "networkpolicies"))
			r.refused(rotate.Configuration, []string{test.what, "a release of its own"})
		})
	}
}

// TestALookupThatTheRoleDoesNotAllow says which.
func TestALookupThatTheRoleDoesNotAllow(t *testing.T) {
	t.Parallel()
	r := newRig(t, newPlace(t))
	r.login()
	r.template("lookup.yaml", `# {{ lookup "v1" "ConfigMap" .Release.Namespace "one" }}`)
	r.refused(rotate.Permission, []string{"read what the chart of release",
		"403 Forbidden for /api/v1/namespaces/" + r.namespace + "/configmaps/one", "Role in namespace"})
}

// TestValuesThatDoNotFitTheSchemaAreNotQuoted, though Helm does.
func TestValuesThatDoNotFitTheSchemaAreNotQuoted(t *testing.T) {
	t.Parallel()
	r := newRig(t, newPlace(t))
	r.login()
	r.record(func(rel *release.Release) {
		rel.Chart.Schema = []byte(`{"properties":{"config":{"properties":{"extra":{"const":"another"}}}}}`)
	})
	r.refused(rotate.Configuration, []string{"the chart of release " + releaseName + " cannot be rendered with its values"})
	if _, err := r.rotate(time.Second); err == nil || strings.Contains(err.Error(), "kept") {
		t.Errorf("a value is quoted: %v", err)
	}
}
