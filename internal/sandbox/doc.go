// Package sandbox is what the sandboxes of all clouds share: Maia with one runner, the journal of what happens, the secrets
// that must leak nowhere, and the proofs at the end.
package sandbox
