package helmrelease

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/releaseutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	syaml "sigs.k8s.io/yaml"

	"github.com/maia-rotate/maia-rotate/pkg/maia"
	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// The runner's variables.
const (
	clientIDVariable     = "OAUTH_CLIENT_ID"
	clientSecretVariable = "OAUTH_CLIENT_SECRET"
	agentIDVariable      = "AGENT_ID"
	regionVariable       = "MATILLION_REGION"
)

// object is one document of a manifest.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	text              string
}

// manifest is what a revision rendered, in the order of its documents.
type manifest []object

func parseManifest(text string) (manifest, error) {
	documents := releaseutil.SplitManifests(text)
	keys := make([]string, 0, len(documents))
	for key := range documents {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int { return number(a) - number(b) })
	var parsed manifest
	for _, key := range keys {
		one := object{text: documents[key]}
		if err := syaml.Unmarshal([]byte(one.text), &one); err != nil {
			// the cause quotes it
			return nil, rotate.Errorf(rotate.Configuration, "document %d of the release's manifest is not YAML", number(key)+1).
				WithHint("upgrade the release with a chart that renders YAML")
		}
		if one.Kind != "" {
			parsed = append(parsed, one)
		}
	}
	return parsed, nil
}

// number is that of a document, of releaseutil's key "manifest-7".
func number(key string) (n int) {
	_, _ = fmt.Sscanf(key, "manifest-%d", &n)
	return n
}

// all decodes the objects of a kind.
func all[T any](m manifest, kind string) ([]T, error) {
	var found []T
	for _, one := range m {
		if one.Kind != kind {
			continue
		}
		var decoded T
		if err := syaml.Unmarshal([]byte(one.text), &decoded); err != nil {
			// the cause quotes it
			return nil, rotate.Errorf(rotate.Configuration, "%s %s of the release's manifest cannot be read as one", kind, one.Name)
		}
		found = append(found, decoded)
	}
	return found, nil
}

// pods are the pods that an object describes, itself or by a template.
func (o object) pods() ([]corev1.PodSpec, error) {
	type templated struct {
		Template corev1.PodTemplateSpec `json:"template"`
	}
	var decoded struct {
		Spec struct {
			corev1.PodSpec // of a Pod
			templated      // of a StatefulSet, a DaemonSet, a Job …
			JobTemplate    struct {
				Spec templated `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	if err := syaml.Unmarshal([]byte(o.text), &decoded); err != nil {
		// the cause quotes it
		return nil, rotate.Errorf(rotate.Configuration, "%s %s of the release's manifest cannot be read as one", o.Kind, o.Name)
	}
	return []corev1.PodSpec{decoded.Spec.PodSpec, decoded.Spec.Template.Spec, decoded.Spec.JobTemplate.Spec.Template.Spec}, nil
}

// secretOf is the name of the Secret in the manifest that holds a client_secret and that one of the Deployments reads.
func (m manifest) secretOf(secret maia.Secret, deployments []appsv1.Deployment) (string, error) {
	secrets, err := all[corev1.Secret](m, "Secret")
	if err != nil {
		return "", err
	}
	for _, candidate := range secrets {
		value, ok := candidate.StringData[clientSecretVariable]
		if !ok {
			value = string(candidate.Data[clientSecretVariable])
		}
		read := func(d appsv1.Deployment) bool { return reads(d.Spec.Template.Spec, candidate.Name) }
		if value == secret.Reveal() && slices.ContainsFunc(deployments, read) {
			return candidate.Name, nil
		}
	}
	return "", rotate.Errorf(rotate.Configuration,
		"the release has no Deployment that reads %s from a Secret of the release which holds the configured value", clientSecretVariable).
		WithHint("check that the release is a runner's, and the configured path of its client_secret")
}

// reads reports whether a container of the pod gets variables from a Secret.
func reads(pod corev1.PodSpec, secret string) bool {
	return slices.ContainsFunc(containers(pod), func(c corev1.Container) bool {
		return slices.ContainsFunc(c.EnvFrom, func(f corev1.EnvFromSource) bool { return f.SecretRef != nil && f.SecretRef.Name == secret }) ||
			slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return refersTo(e, secret) && e.Name == clientSecretVariable })
	})
}

func refersTo(e corev1.EnvVar, secret string) bool {
	return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == secret
}

func containers(pod corev1.PodSpec) []corev1.Container {
	return slices.Concat(pod.InitContainers, pod.Containers)
}

// overrides is what gives the variable another value in a container that reads a Secret: a variable of its own, or a later source
// of variables, which is a Secret whose keys are not known here.
func overrides(c corev1.Container, secret string) (variable bool, later []string) {
	for _, e := range c.Env {
		if e.Name == clientSecretVariable {
			return !refersTo(e, secret) || e.ValueFrom.SecretKeyRef.Key != clientSecretVariable, nil
		}
	}
	after := false
	for _, f := range c.EnvFrom {
		switch {
		case f.SecretRef == nil:
		case f.SecretRef.Name == secret:
			after, later = true, nil
		case after && strings.HasPrefix(clientSecretVariable, f.Prefix):
			later = append(later, f.SecretRef.Name)
		}
	}
	return false, later
}

// withReplicas is a manifest in which Deployments that state a number of replicas have the given one. Nothing else changes, not
// even a blank.
func withReplicas(text []byte, replicas map[string]int32) ([]byte, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var kept []byte
	done := 0 // bytes of text that are in kept
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return append(kept, text[done:]...), nil
		} else if err != nil {
			return nil, rotate.Errorf(rotate.Configuration, "what the chart renders is not YAML") // the cause quotes it
		}
		if scalar(&document, "kind") == nil || scalar(&document, "kind").Value != "Deployment" {
			continue
		}
		name, count := scalar(&document, "metadata", "name"), scalar(&document, "spec", "replicas")
		if name == nil || count == nil {
			continue
		}
		live, known := replicas[name.Value]
		if !known || count.Value == fmt.Sprint(live) {
			continue
		}
		at := offset(text, count.Line, count.Column)
		if at < done || !bytes.HasPrefix(text[at:], []byte(count.Value)) || count.Style != 0 || count.Value == "" {
			return nil, rotate.Errorf(rotate.Configuration,
				"the chart does not state the replicas of Deployment %s as a plain number, so that the live number cannot be kept", name.Value).
				WithHint("have the chart render a number without quotes, tag and anchor, or no replicas at all")
		}
		kept = append(append(kept, text[done:at]...), fmt.Sprint(live)...)
		done = at + len(count.Value)
	}
}

// offset is where a line and a column of YAML begin, in bytes: columns are characters, and there is more than one kind of line
// break. Both count from 1.
func offset(text []byte, line, column int) int {
	at := len(text) - len(bytes.TrimPrefix(text, []byte("\ufeff"))) // a mark at the beginning is no character
	for line, column = line-1, column-1; at < len(text) && (line > 0 || column > 0); {
		r, size := utf8.DecodeRune(text[at:])
		at += size
		switch r {
		case '\r':
			if at < len(text) && text[at] == '\n' {
				continue // one break of two characters
			}
			line--
		case '\n', '\u0085', '\u2028', '\u2029':
			line--
		default:
			if line == 0 {
				column--
			}
		}
	}
	return at
}

// scalar is the value at a path of a document.
func scalar(node *yaml.Node, path ...string) *yaml.Node {
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	for _, key := range path {
		if node.Kind != yaml.MappingNode {
			return nil
		}
		at := -1
		for i := 0; i < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				at = i + 1
			}
		}
		if at < 0 {
			return nil
		}
		node = node.Content[at]
	}
	if node.Kind != yaml.ScalarNode {
		return nil
	}
	return node
}
