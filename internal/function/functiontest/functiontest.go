// Package functiontest is what the tests of the functions of all clouds share.
package functiontest

import (
	"bytes"
	"encoding/json"
	"testing"
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
