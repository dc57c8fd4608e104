//go:build nogcp

package main

import "github.com/spf13/cobra"

// leftOut is the cloud whose libraries take minutes to compile the first time.
const leftOut = "gcp"

func furtherClouds() []cloudSandbox { return nil }

func furtherDoctors() []*cobra.Command { return nil }

func furtherPlans() []*cobra.Command { return nil }

func furtherHolds(bool) []*cobra.Command { return nil }

func furtherRotates() []*cobra.Command { return nil }
