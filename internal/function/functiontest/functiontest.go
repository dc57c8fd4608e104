// Package functiontest is what the tests of the functions of all clouds share.
package functiontest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/maia-rotate/maia-rotate/pkg/rotate"
)

// Environ is an environment as [os.Environ] has it.
func Environ(variables map[string]string) (environ []string) {
	for name, value := range variables {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// Lines are the lines of a log, each of which must be a JSON object.
func Lines(t testing.TB, log []byte) (all []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(log) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("the line %q is not JSON: %v", line, err)
		}
		all = append(all, object)
	}
	return all
}

// WantConfiguration checks that a parser's error is a Configuration error, names what is wrong, and does not hold the secret.
func WantConfiguration(t testing.TB, err error, names, secret string) {
	t.Helper()
	if rotate.KindOf(err) != rotate.Configuration || !strings.Contains(err.Error(), names) {
		t.Errorf("the error does not name %s: %v", names, err)
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("the error holds the secret: %v", err)
	}
}
