// Command maia-rotate rotates the credentials of Maia runners, and shows on one machine how that goes.
//
//	maia-rotate sandbox                          a whole rotation with emulated services
//	maia-rotate sandbox --fault refresh-late     the same, and something goes wrong
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // of windows, on machines without
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
