// Package containerapp rotates a runner on Azure Container Apps: its client_secret is a secret of the app, and its revisions
// are restarted.
//
//	runner, err := containerapp.Discover(ctx, containerapp.Config{Credential: credential, App: resourceID, State: container})
//	report, err := rotator.Run(ctx, runner, rotate.Rotate)
//
// The app knows its runner: its containers have the agent's ID and region as plain variables, and OAUTH_CLIENT_SECRET refers
// to the secret.
//
// # What is where
//
//   - The store is the app's secret. Azure replaces the array of secrets whole, so all of them are listed and sent again;
//     those that Key Vault holds stay references. There is no ETag: they are listed right before, and compared right after.
//   - The instances are the replicas of every active revision that uses the secret. They read it when they start: a changed
//     secret restarts nothing.
//   - The lock is a lease of a blob named AGENT.json in the function's own storage account, and the note is its content. The
//     app's tags are no place for it: the vendor's Terraform resets them.
//
// Instances are fresh if the note says so. Else, of this process's own restarts, by the times and restarts of replicas as
// Azure shows them; of any other, by replicas that are clearly younger than the last change of the app.
//
// # What is proved before a refresh, and what cannot be
//
// Azure has no dry run. [Runner.Check] asks for a change that is not even JSON and for a restart of a revision that cannot
// exist: both are refused in any case, and by how, it shows whether the identity may do the like and whether the app is locked.
// Azure's activity log shows the two as failed. That a change will be carried out and that new replicas come up is not
// proved.
//
// Neither is that nobody changes another secret of the app in the moment between the list of the secrets and their change, as
// there is no ETag. A change that is under way before that is waited for, and one that begins in that moment is a conflict for
// one of the two; only one that also ends in it would be lost.
package containerapp
