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
// Instances are fresh if the note says so. Else, of the restarts that were ordered, by this process or, as the note says, by an
// earlier one, by the times and restarts of replicas as Azure shows them; of any other, by replicas that are clearly younger than
// the last change of the app.
//
// # Restarts
//
// The ID of a restart is REVISION@WHEN;REPLICA=CREATED+RESTARTS;…: when it was ordered, by Azure's clock, and the replicas that
// were there before. So a later process knows old replicas from new ones, also where Azure restarts containers in place. Once a
// restart was ordered its revision is judged by its replicas alone, and given time: Azure may show no replica for minutes, and
// call a revision degraded or failed whose replicas run. Before a refresh such a revision is not ready. An order that Azure has
// not begun after 90 minutes counts as lost.
//
// A revision that Azure refuses to restart does not hold back the others: all are tried, and one error names each that failed.
//
// # What is proved before a refresh, and what cannot be
//
// Azure has no dry run. [Runner.Check] asks for a restart of a revision that cannot exist, which is refused in any case: how
// shows whether the identity may do the like, and whether the app is locked. Then it sends a change that alters nothing: all
// secrets as they were listed right before, with the location. That is what a rotation will send, but for one value, so that
// Azure Policy, deny assignments and Azure's own checks of the secrets are asked as they will be; and it is waited for until it
// has ended. It goes out under the lock, once, and moves the app's lastModifiedAt, which is left out of the clocks. A plan
// ([Config].Dry) sends a change that is not even JSON in its place, and asks no policy. That new replicas come up is not proved.
//
// # What is sent once
//
// The SDK repeats a request that got no answer or was one of too many. A change of the secrets and a restart are not repeated so:
// each new try goes through a fresh list, and the lock.
//
// Neither is that nobody changes another secret of the app in the moment between the list of the secrets and their change, as
// there is no ETag. A change that is under way before that is waited for, and one that begins in that moment is a conflict for
// one of the two; only one that also ends in it would be lost.
package containerapp
