package helmrelease

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
)

func TestReplicasAreKeptAndNothingElseChanges(t *testing.T) {
	const rendered = `---
# Source: runner/templates/app.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  labels: {replicas: "2"}
  name:   app
spec:
  replicas:   2   # next to an HPA
  template:
    spec: {terminationGracePeriodSeconds: 43200}
---
kind: Deployment
metadata: {name: flow}
spec: {replicas: 1, paused: false}
---
kind: Deployment
metadata: {name: unstated}
spec: {}
---
kind: Deployment
metadata: {name: of-another}
spec:
  replicas: 7
---
kind: StatefulSet
metadata: {name: app}
spec: {replicas: 2}
---
kind: ConfigMap
metadata: {name: text}
data:
  manifest: |
    kind: Deployment
    metadata: {name: app}
    spec: {replicas: 2}
`
	want := strings.Replace(strings.Replace(rendered, "replicas:   2   #", "replicas:   11   #", 1), "{replicas: 1, paused",
		"{replicas: 30, paused", 1)
	got, err := withReplicas([]byte(rendered), map[string]int32{"app": 11, "flow": 30, "unstated": 4})
	if err != nil || string(got) != want {
		t.Errorf("error %v, got\n%s\nwant\n%s", err, got, want)
	}
	for _, bad := range []string{"kind: [", "kind: Deployment\nmetadata: {name: app}\nspec: {replicas: 2}\n---\n\tx"} {
		if _, err := withReplicas([]byte(bad), map[string]int32{"app": 3}); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

const runnerManifest = `---
apiVersion: v1
kind: Secret
metadata: {name: decoy}
stringData: {OAUTH_CLIENT_SECRET: s3cret}
---
apiVersion: v1
kind: Secret
metadata: {name: config}
data: {OAUTH_CLIENT_SECRET: czNjcmV0, OAUTH_CLIENT_ID: Y2xpZW50}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      containers:
        - name: runner
          envFrom: [{secretRef: {name: config}}]
---
# nothing but a comment
`

func TestTheSecretOfAManifest(t *testing.T) {
	parsed, err := parseManifest(runnerManifest)
	if err != nil {
		t.Fatal(err)
	}
	deployments, err := all[appsv1.Deployment](parsed, "Deployment")
	if err != nil || len(deployments) != 1 {
		t.Fatalf("%d Deployments, error %v", len(deployments), err)
	}
	if name, err := parsed.secretOf(maia.NewSecret("s3cret"), deployments); err != nil || name != "config" {
		t.Errorf("Secret %q, error %v; want the one that the Deployment reads", name, err)
	}
	if _, err := parsed.secretOf(maia.NewSecret("another"), deployments); err == nil {
		t.Error("a Secret with another value is taken for the runner's")
	}
	if _, err := parseManifest("kind: Secret\nmetadata: [s3cret"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a manifest that is no YAML: error %v", err)
	}
}

func TestOverrides(t *testing.T) {
	from := func(prefix string, names ...string) (sources []corev1.EnvFromSource) {
		for _, name := range names {
			sources = append(sources, corev1.EnvFromSource{Prefix: prefix,
				SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}})
		}
		return sources
	}
	ref := func(variable, name, key string) []corev1.EnvVar {
		return []corev1.EnvVar{{Name: variable,
			ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}}}
	}
	for name, test := range map[string]struct {
		container corev1.Container
		variable  bool
		later     int
	}{
		"as the vendor's chart": {corev1.Container{EnvFrom: from("", "config")}, false, 0},
		"another variable":      {corev1.Container{EnvFrom: from("", "config"), Env: ref("OTHER", "x", "y")}, false, 0},
		"the variable from elsewhere": {corev1.Container{EnvFrom: from("", "config"),
			Env: ref(clientSecretVariable, "x", clientSecretVariable)}, true, 0},
		"the variable as text": {corev1.Container{EnvFrom: from("", "config"),
			Env: []corev1.EnvVar{{Name: clientSecretVariable, Value: "x"}}}, true, 0},
		"the variable from the Secret": {corev1.Container{Env: ref(clientSecretVariable, "config", clientSecretVariable)}, false, 0},
		"from another key of it":       {corev1.Container{Env: ref(clientSecretVariable, "config", "OLD")}, true, 0},
		"a source before":              {corev1.Container{EnvFrom: from("", "x", "config")}, false, 0},
		"two sources after":            {corev1.Container{EnvFrom: from("", "x", "config", "y", "z")}, false, 2},
		"one with a prefix that fits":  {corev1.Container{EnvFrom: append(from("", "config"), from("OAUTH_", "y")...)}, false, 1},
		"one with another prefix":      {corev1.Container{EnvFrom: append(from("", "config"), from("Y_", "y")...)}, false, 0},
	} {
		if variable, later := overrides(test.container, "config"); variable != test.variable || len(later) != test.later {
			t.Errorf("%s: variable %t, later %v", name, variable, later)
		}
	}
}
