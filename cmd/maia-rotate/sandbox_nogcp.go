//go:build nogcp

package main

// leftOut is the cloud whose libraries take minutes to compile the first time.
const leftOut = "gcp"

var furtherClouds []cloudSandbox
