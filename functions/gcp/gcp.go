// Package gcp is the function that Cloud Scheduler calls: it heals and rotates the runners of Helm releases on GKE. It
// registers itself with the Functions Framework under the name RotateRunnerSecrets; package rotation does the work.
//
// A call may be of any method, and its body is not read: the configuration says what to work on, not the caller.
package gcp

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"k8s.io/klog/v2"

	"github.com/maia-rotate/maia-rotate/functions/gcp/rotation"
)

// EntryPoint is the name of the function.
const EntryPoint = "RotateRunnerSecrets"

func init() {
	klog.SetSlogLogger(rotation.NewLog(os.Stdout)) // for what client-go does not return as an error
	handler := rotation.New(os.Environ(), os.Stdout)
	functions.HTTP(EntryPoint, handler.ServeHTTP)
	// The main package is Google's, in which a SIGTERM would end a run anywhere.
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	go func() {
		<-asked
		handler.End()
		os.Exit(0)
	}()
}
