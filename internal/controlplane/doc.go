// Package controlplane starts a real Kubernetes control plane on loopback, for tests and the sandbox:
// the binary of the nested module test/kubernetes, which [Build] compiles once for a machine.
//
//	binary, err := controlplane.Build(ctx, func(line string) { … })
//	plane, err := controlplane.Start(ctx, binary)
//	defer plane.Close()
package controlplane
