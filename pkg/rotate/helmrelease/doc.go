// Package helmrelease rotates a runner that a Helm release deploys, on any Kubernetes cluster: the value of its
// client_secret is set by an upgrade with the stored chart, and its Deployments are restarted.
//
//	runner, err := helmrelease.Discover(ctx, helmrelease.Config{REST: config, Namespace: "matillion-agent", Release: "matillion-agent"})
//	report, err := rotator.Run(ctx, runner, rotate.Rotate)
//
// The release knows its runner: its values hold the agent's ID and region and the client_secret, its manifest the Secret
// into which the chart puts that, and the Deployments that read the Secret.
//
// # What an upgrade does here
//
// It takes the chart and the values of the base revision, as Helm chooses it, and changes one value. It keeps the live
// number of replicas, which a chart may state next to an autoscaler, waits for nothing, runs no hooks, and is never
// taken back: a rollback would restore a revoked secret. Neither does it listen to a cancelled context, which would
// leave a release that is neither here nor there. The vendor's chart restarts nothing when the Secret changes; a mark on
// the pod template does. Where the upgrade changes the template itself, the mark is part of that change: one rollout.
//
// Where the upgrade fails, whatever the reason, the Secret is changed without it and the pods are restarted: the runner is back first, and
// [rotate.Platform].Unrecorded says that the release does not hold the value yet. Storing once more then upgrades the release, and
// leaves pod templates alone.
//
// # What is where
//
//   - The store is the live Secret and the values of the base revision: they must agree. Where they do not, the Lease and the newest
//     revision show why; without a known reason another writer is at the Secret, which is refused.
//   - The mark is two annotations of the pod template: the fingerprint of the secret, and the resourceVersion of the
//     Secret that held it when the restart was ordered. The instances read what is stored if both are those of the Secret;
//     a mark of another secret says nothing about pods that are newer than what the Secret holds. The ID of a restart is
//     the Deployment and the time in its mark, DEPLOYMENT@TIME.
//   - The lock is a Lease named maia-rotate-RELEASE in the release's namespace. Its annotations hold the note, and the
//     revision that an upgrade of ours has begun, by which a later run knows one that was cut off, and the fingerprint of what was
//     brought to the Secret and is not recorded.
//
// # What cannot be proved before a refresh
//
// That the nodes have room for new pods while old ones take their time to end, that an image can be pulled, and
// that nobody starts an upgrade of his own at the same moment.
//
// All of Helm is in this package.
package helmrelease
