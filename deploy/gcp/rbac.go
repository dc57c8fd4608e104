// Package gcp holds what an operator applies for Google Cloud, for those who prove it.
package gcp

import _ "embed" // of the Role

// RBAC is the Role of the function in a runner's namespace, with words in capitals to be replaced.
//
//go:embed kubernetes/rbac.yaml
var RBAC []byte
