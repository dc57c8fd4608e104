// Package gcp is the function that Cloud Scheduler calls: it heals and rotates the runners of Helm releases on GKE. It
// registers itself with the Functions Framework under the name RotateRunnerSecrets; package rotation does the work.
//
// A call may be of any method, and what it sends is not read: what to work on is configured, never asked for.
package gcp

import (
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"k8s.io/klog/v2"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
)

// EntryPoint is the name of the function.
const EntryPoint = "RotateRunnerSecrets"

func init() {
	klog.SetSlogLogger(rotation.NewLog(os.Stdout)) // what client-go cannot return as an error
	functions.HTTP(EntryPoint, rotation.New(os.Environ(), os.Stdout).ServeHTTP)
}
