// Package azure holds what an operator applies for Azure, for those who prove it.
package azure

import _ "embed" // of the template

// Template is the ARM template of the function app and of what belongs to it.
//
//go:embed azuredeploy.json
var Template []byte
