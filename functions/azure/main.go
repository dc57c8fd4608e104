// Command azure is the function that Azure's timer calls, as a custom handler of Azure Functions: it heals and rotates the
// runners of Container Apps. Package rotation does the work.
//
// The host starts it as host.json says, with the port in FUNCTIONS_CUSTOMHANDLER_PORT.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // a rotation does not end in the middle because the host, which reads the log, is gone
	rotation.New(os.Environ(), os.Stdout).ListenAndServe(ctx, os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	stop()
	os.Exit(1) // in any case: the host does not start a handler again that has exited with 0
}
