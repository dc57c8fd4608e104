// Command azure is the function that Azure's timer calls, as a custom handler of Azure Functions: it heals and rotates the
// runners of Container Apps. Package rotation does the work.
//
// The host starts it as host.json says, and tells the port in FUNCTIONS_CUSTOMHANDLER_PORT.
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
	signal.Ignore(syscall.SIGPIPE) // a host that is gone, and with it the log, does not end a rotation in the middle
	rotation.New(os.Environ(), os.Stdout).ListenAndServe(ctx, os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	stop()
	os.Exit(1) // whatever ended it: the host does not start a handler again that has left with 0
}
