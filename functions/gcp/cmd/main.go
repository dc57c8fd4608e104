// Command cmd serves the function locally, on 127.0.0.1 and the port in PORT (8080 if that is not set).
package main

import (
	"cmp"
	"fmt"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"github.com/maia-rotate/maia-rotate/functions/gcp"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	if err := os.Setenv("FUNCTION_TARGET", gcp.EntryPoint); err != nil {
		return err
	}
	return funcframework.StartHostPort("127.0.0.1", cmp.Or(os.Getenv("PORT"), "8080"))
}
