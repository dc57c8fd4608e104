// Command azure is the function that Azure's timer calls, as a custom handler of Azure Functions: it heals and rotates the
// runners of Container Apps. Package rotation does the work.
//
// The host starts it as host.json says, with the port in FUNCTIONS_CUSTOMHANDLER_PORT.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/maia-rotate/maia-rotate/functions/azure/rotation"
)

// zonesFile has the time zones of windows. It lies next to the program: the platform's image may have none, and in the program they
// would be half a megabyte more to be fetched at each cold start, as they are.
const zonesFile = "zoneinfo.zip"

func findZones() {
	const variable = "ZONEINFO" // of package time, which goes on to the system's where the file is not there
	if program, err := os.Executable(); err == nil && os.Getenv(variable) == "" {
		_ = os.Setenv(variable, filepath.Join(filepath.Dir(program), zonesFile))
	}
}

func main() {
	findZones()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE) // a rotation does not end in the middle because the host, which reads the log, is gone
	rotation.New(os.Environ(), os.Stdout).ListenAndServe(ctx, os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	stop()
	os.Exit(1) // in any case: the host does not start a handler again that has exited with 0
}
