// Package containerapps emulates Azure Container Apps as Azure Resource Manager shows them over HTTP: apps with secrets,
// revisions, and replicas that read the secrets when they start.
//
//	server := containerapps.New(containerapps.Options{Token: "token", StartReplica: …})
//	server.Add(containerapps.Spec{ID: "/subscriptions/…/providers/Microsoft.App/containerApps/runner", …})
//
// Emulated: GET and PATCH of an app, the apps of a resource group, listSecrets, the revisions of an app, their restart, and
// their replicas; lists come in pages.
//
// It is strict where the service is: no values in a GET; a PATCH is a JSON merge patch that replaces the array of secrets
// whole; a secret without a value is refused; one that is dropped and in use makes the operation hang; a change during
// another is a conflict; the operation's own status may not be read, as that needs a right on the whole subscription; and
// a changed secret is read by nobody until a revision is restarted. Errors are in Resource Manager's format.
//
// Left out: a change of the template, which would make a new revision, is refused; Key Vault is not asked.
package containerapps
