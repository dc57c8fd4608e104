// Package controlplanetest gives the tests of one binary a real Kubernetes control plane.
package controlplanetest

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
)

// Variable must be 1 for a control plane to be used: its first build takes minutes.
const Variable = "MAIA_ROTATE_CONTROL_PLANE"

const startTimeout = 2 * time.Minute

var (
	binary = sync.OnceValues(func() (string, error) { return controlplane.Build(context.Background(), nil) })
	shared = sync.OnceValues(func() (*controlplane.ControlPlane, error) {
		file, err := binary()
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		return controlplane.Start(ctx, file)
	})
)

// Binary is that of a control plane, for tests that start their own. Without [Variable] the test is skipped.
func Binary(t testing.TB) string {
	t.Helper()
	if os.Getenv(Variable) != "1" {
		t.Skip("needs a Kubernetes control plane, which takes minutes to build the first time: make test-kubernetes, or set " + Variable + "=1")
	}
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// ForTest is the control plane of this test binary. It is started when it is first asked for, and ends with the process.
// Without [Variable] the test is skipped.
func ForTest(t testing.TB) *controlplane.ControlPlane {
	t.Helper()
	Binary(t)
	plane, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return plane
}
