// Command cmd builds the control plane for tests, if this machine has none yet, and prints the path of its binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/maia-rotate/maia-rotate/internal/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	binary, err := controlplane.Build(ctx, func(line string) { fmt.Println(line) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(binary)
}
