//go:build nogcp

package main

import "github.com/spf13/cobra"

// leftOut is the cloud whose libraries take minutes to compile the first time.
const leftOut = "gcp"

var furtherClouds []cloudSandbox

var furtherDoctors, furtherPlans []func() *cobra.Command
